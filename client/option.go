package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/credentials"
)

// Limits of the cluster, checked here too so that the error can say what is wrong.
const (
	minTTL      = 500 * time.Millisecond
	maxTTL      = 24 * time.Hour
	maxDelay    = 24 * time.Hour
	maxName     = 256  // bytes
	maxMetadata = 4096 // bytes, of a session and of a note
	maxNames    = 1024 // of a LockAll
	maxLineage  = 64   // holds that a wait is made under
	maxValue    = 4096 // bytes, of a candidate
	maxPermits  = 1 << 40
	maxCapacity = 65_536
	maxElement  = 64 << 10 // bytes, of an element, of a map's value and of a once's result
	maxKey      = 1_024    // bytes, of a map's key
	maxCodec    = 64       // bytes, of a codec's name
	maxSelect   = 512 << 10

	codecDiffers = -2 // what a mismatch has as value that is about the codec
)

// An Option configures a client.
type Option interface{ client(*config) }

// A HandleOption configures one handle.
type HandleOption interface{ handle(*handleConfig) }

// config is what Options set; defaults and then the options given make it whole.
type config struct {
	ttl      time.Duration
	early    time.Duration
	name     string
	metadata map[string]string
	onLost   func(*LostError)
	network  network
}

// network is the part of config that a connection has; the sessions share it.
type network struct {
	tls      *tls.Config
	insecure bool
	// credentials is the path of a token's file, "" without; token reads it.
	credentials string
	token       credentials.PerRPCCredentials
	dial        func(ctx context.Context, addr string) (net.Conn, error)
	logger      *slog.Logger
}

type handleConfig struct {
	note     string
	delay    time.Duration
	priority int
	codec    Codec // nil is JSON
}

type option func(*config)

func (o option) client(c *config) { o(c) }

// A networkOption is about the connection.
type networkOption func(*network)

func (o networkOption) client(c *config) { o(&c.network) }

type handleOption func(*handleConfig)

func (o handleOption) handle(c *handleConfig) { o(c) }

// WithTTL sets the lease: 500 ms to 24 h, default 10 s. A shorter one frees a dead
// process's holds sooner and tolerates a shorter outage.
func WithTTL(d time.Duration) Option { return option(func(c *config) { c.ttl = d }) }

// WithEndEarly gives holds up d earlier than the lease requires, for work that needs
// time to be stopped (the kill-after of coordctl lock). At most a third of the TTL.
func WithEndEarly(d time.Duration) Option { return option(func(c *config) { c.early = d }) }

// WithName says who this is in describe; default the program's name.
func WithName(name string) Option { return option(func(c *config) { c.name = name }) }

// WithMetadata adds a pair to the session's metadata (host and pid are there).
func WithMetadata(key, value string) Option {
	return option(func(c *config) { c.metadata[key] = value })
}

// WithTLS secures the connection.
func WithTLS(conf *tls.Config) Option { return networkOption(func(n *network) { n.tls = conf }) }

// WithInsecure allows plain text beyond loopback.
func WithInsecure() Option { return networkOption(func(n *network) { n.insecure = true }) }

// WithLogger sets where the client logs; default slog.Default.
func WithLogger(l *slog.Logger) Option { return option(func(c *config) { c.network.logger = l }) }

// WithDialer replaces the network, for tests and tunnels.
func WithDialer(dial func(ctx context.Context, addr string) (net.Conn, error)) Option {
	return networkOption(func(n *network) { n.dial = dial })
}

// WithOnLost has f called at the instant a hold is lost, in a goroutine of its own, but
// not for what Close ends. Without it the sync-shaped Unlock of a lost hold panics with
// the *LostError; with it that Unlock does nothing. The usual f logs and exits.
func WithOnLost(f func(*LostError)) Option { return option(func(c *config) { c.onLost = f }) }

// WithNote is shown beside the holder: why it holds. At most 4 KiB.
func WithNote(text string) HandleOption {
	return handleOption(func(c *handleConfig) { c.note = text })
}

// WithLockDelay keeps a lock from others for d after a failure of its holder, never
// after a clean Unlock. Default 0, at most 24 h.
func WithLockDelay(d time.Duration) HandleOption {
	return handleOption(func(c *handleConfig) { c.delay = d })
}

// WithPriority ranks an Election's candidate; higher first, then FIFO. Default 0.
func WithPriority(p int) HandleOption {
	return handleOption(func(c *handleConfig) { c.priority = p })
}

// WithCodec encodes a Map's or Chan's values; default [JSON]. Its name is stored
// with the object and another one is refused ([ErrMismatch]).
func WithCodec(c Codec) HandleOption {
	return handleOption(func(h *handleConfig) { h.codec = c })
}

func defaults() config {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return config{
		ttl:  10 * time.Second,
		name: strings.ToValidUTF8(filepath.Base(os.Args[0]), "\uFFFD"),
		metadata: map[string]string{
			"host": strings.ToValidUTF8(host, "\uFFFD"),
			"pid":  strconv.Itoa(os.Getpid()),
		},
		network: network{
			dial: func(ctx context.Context, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			},
			logger: slog.Default(),
		},
	}
}

// with is a copy of c with the options applied. It says everything that is wrong.
func (c config) with(opts []Option) (config, error) {
	c.metadata = maps.Clone(c.metadata)
	for _, o := range opts {
		o.client(&c)
	}
	return c, c.validate()
}

func (c config) validate() error {
	var faults []error
	if c.ttl < minTTL || c.ttl > maxTTL {
		faults = append(faults, fmt.Errorf("%w: TTL %v is not within %v to %v", ErrInvalid, c.ttl, minTTL, maxTTL))
	}
	if c.early < 0 || c.early > c.ttl/3 {
		faults = append(faults, fmt.Errorf("%w: ending holds %v early: at most a third of the TTL, %v", ErrInvalid, c.early, c.ttl/3))
	}
	size, text := len(c.name), utf8.ValidString(c.name)
	for k, v := range c.metadata {
		size += len(k) + len(v)
		text = text && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if !text {
		faults = append(faults, fmt.Errorf("%w: name and metadata are not UTF-8", ErrInvalid))
	}
	if size > maxMetadata {
		faults = append(faults, fmt.Errorf("%w: name and metadata have %d bytes, more than %d", ErrInvalid, size, maxMetadata))
	}
	if c.network.logger == nil {
		faults = append(faults, fmt.Errorf("%w: nil logger", ErrInvalid))
	}
	if c.network.dial == nil {
		faults = append(faults, fmt.Errorf("%w: nil dialer", ErrInvalid))
	}
	return errors.Join(faults...)
}
