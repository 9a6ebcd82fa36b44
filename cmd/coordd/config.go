package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"coordd.dev/internal/peer"
	"coordd.dev/internal/server"
)

// minSnapshotInterval is raft's own.
const minSnapshotInterval = 5 * time.Millisecond

// minStallLimit is more than a healthy disk takes for one write.
const minStallLimit = 100 * time.Millisecond

// A Config is what a node is told. Its flags are its documentation.
type Config struct {
	Name    string // for people
	DataDir string

	ListenClient string // host:port; port 0 takes a free one
	ListenPeer   string
	ListenAdmin  string

	AdvertiseClient string // host:port; empty: the listen address
	AdvertisePeer   string

	Join            []string
	BootstrapExpect int

	SnapshotEntries  uint64 // how many make one due; 0: the engine's default
	SnapshotInterval time.Duration

	DiskStallLimit time.Duration // of one write; 0: the engine's default

	AwaitRestore bool // no session opens before a backup is restored

	Engine    string // "raft"
	LogFormat string // "text" or "json"
	LogLevel  slog.Level

	// TLS: of the client and admin ports, and of the peer port. Empty: plain text.
	CertFile, KeyFile, TrustedCAFile             string
	ClientCertAuth                               bool
	PeerCertFile, PeerKeyFile, PeerTrustedCAFile string

	CredentialsFile string // empty: everybody may do everything
	AuditLog        string // a file, or "stderr"; empty: none
	AuditAll        bool

	MaxStreamsPerClient, MaxCallsPerClient int // 0: the server's defaults

	Pprof               bool
	InsecureAllowRemote bool
}

const settingsHelp = `Every flag may also be set in the environment, as COORDD_ and its name in capitals
(COORDD_DATA_DIR for --data-dir), or in a JSON file given by --config, whose keys are
the flags' names: {"name": "n1", "join": ["10.0.0.1:7601", "10.0.0.2:7601"]}.
A flag beats the environment, the environment beats the file.

Traces and metrics are exported as OpenTelemetry's variables say, for instance
OTEL_EXPORTER_OTLP_ENDPOINT; the metrics are also on the admin port, for Prometheus.

Memory is Go's GOGC (default here 200: up to three times what is in use) and GOMEMLIMIT.

Three nodes that form a cluster take the same --join and --bootstrap-expect; they may
be started in any order, and be started again with the same command line, which is
then ignored where the cluster knows better.`

const serveExample = `  # a single node, data in ./coordd-data
  coordd

  # one of three; on each the same but for its own addresses. coordctl cert init makes the files
  coordd --data-dir /var/lib/coordd \
    --listen-client 10.0.0.1:7600 --listen-peer 10.0.0.1:7601 \
    --join 10.0.0.1:7601,10.0.0.2:7601,10.0.0.3:7601 --bootstrap-expect 3 \
    --cert-file node.pem --key-file node-key.pem --trusted-ca-file ca.pem --client-cert-auth \
    --peer-cert-file node.pem --peer-key-file node-key.pem --peer-trusted-ca-file ca.pem

  # may it be used?
  curl http://127.0.0.1:7602/readyz?verbose`

// flags binds the configuration to its flags, with the defaults.
func (c *Config) flags(f *pflag.FlagSet) {
	host, err := os.Hostname()
	if err != nil {
		host = "coordd"
	}
	f.SortFlags = false
	f.StringVar(&c.Name, "name", host, "`name` of this node, for people")
	f.StringVar(&c.DataDir, "data-dir", "coordd-data", "`directory` of this node's data, for it alone")
	f.StringVar(&c.ListenClient, "listen-client", "127.0.0.1:7600", "`address` for clients (gRPC)")
	f.StringVar(&c.ListenPeer, "listen-peer", "127.0.0.1:7601", "`address` for the other nodes")
	f.StringVar(&c.ListenAdmin, "listen-admin", "127.0.0.1:7602", "`address` for the API as JSON, /livez, /readyz and /metrics (HTTP)")
	f.StringVar(&c.AdvertiseClient, "advertise-client", "", "`address` where clients reach this node (default --listen-client)")
	f.StringVar(&c.AdvertisePeer, "advertise-peer", "", "`address` where nodes reach this node, as in --join (default --listen-peer)")
	f.StringSliceVar(&c.Join, "join", nil, "peer `addresses` of the nodes that form the cluster, this one's included; ignored once there is data")
	f.IntVar(&c.BootstrapExpect, "bootstrap-expect", 0, "how `many` nodes form the cluster; 0 with --join: only join one that exists")
	f.Uint64Var(&c.SnapshotEntries, "snapshot-entries", 16<<10, "take a snapshot once the log has `so many` entries behind the last one")
	f.DurationVar(&c.SnapshotInterval, "snapshot-interval", 30*time.Second, "look whether one is due after this `time`, or up to twice that")
	f.DurationVar(&c.DiskStallLimit, "disk-stall-limit", 2*time.Second, "after this `time` in one write to the disk the process ends, so that another node can lead; longer for disks that pause, at the price of as long an outage")
	f.BoolVar(&c.AwaitRestore, "await-restore", false, "wait for coordctl snapshot restore: until then no session opens, and /readyz says so; nothing once a backup was restored into the cluster")
	c.tlsFlags(f)
	f.StringVar(&c.Engine, "engine", "raft", "what replicates the log: `raft`")
	f.String("config", "", "JSON `file` with settings")
	f.StringVar(&c.LogFormat, "log-format", "text", "`text|json`")
	f.Var(&levelFlag{&c.LogLevel}, "log-level", "`debug|info|warn|error`")
	f.StringVar(&c.CredentialsFile, "credentials-file", "", "JSON `file` that says who may do what, read anew when it changes; without it everybody may do everything")
	f.StringVar(&c.AuditLog, "audit-log", "", "write refusals, changes by administrators and openings of sessions to this `file`, or to stderr; opened anew on SIGHUP")
	f.BoolVar(&c.AuditAll, "audit-all", false, "write allowed reads and acquisitions to the audit log too")
	f.IntVar(&c.MaxStreamsPerClient, "max-streams-per-client", server.StreamsPerClient,
		"how `many` sessions of the Go client or coordctl one principal may have at this node; without --credentials-file one host, loopback excepted")
	f.IntVar(&c.MaxCallsPerClient, "max-calls-per-client", server.CallsPerClient, "how `many` calls of other clients it may have under way at this node")
	f.BoolVar(&c.Pprof, "pprof", false, "serve /debug/pprof on the admin address")
	f.BoolVar(&c.InsecureAllowRemote, "insecure-allow-remote", false, "listen beyond loopback without TLS")
}

// A levelFlag reads a slog.Level, in the words of the help only.
type levelFlag struct{ to *slog.Level }

func (l *levelFlag) String() string { return strings.ToLower(l.to.String()) }
func (l *levelFlag) Type() string   { return "level" }

func (l *levelFlag) Set(s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		return l.to.UnmarshalText([]byte(s))
	}
	return errors.New("must be debug, info, warn or error")
}

// validate joins all that can be known to be wrong before anything is opened.
func (c *Config) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, c.listenFaults()...)
	errs = append(errs, c.tlsFaults()...)
	for _, a := range []struct{ flag, address string }{
		{"--advertise-client", c.AdvertiseClient},
		{"--advertise-peer", c.AdvertisePeer},
	} {
		if a.address == "" {
			continue
		}
		if err := peer.CheckAddress(a.address); err != nil {
			fault("%s: %w", a.flag, err)
		}
	}
	if _, err := peer.ParseJoin(c.Join); err != nil {
		fault("--join: %w", err)
	}
	switch c.Engine {
	case "raft":
	case "etcd":
		fault("--engine etcd: not in this version; leave it out, or say raft")
	default:
		fault("--engine %q: must be raft", c.Engine)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		fault("--log-format %q: must be text or json", c.LogFormat)
	}
	if c.Name == "" {
		fault("--name: must not be empty")
	}
	if c.DataDir == "" {
		fault("--data-dir: must not be empty")
	}
	if c.SnapshotInterval != 0 && c.SnapshotInterval < minSnapshotInterval {
		fault("--snapshot-interval %v: must be at least %v", c.SnapshotInterval, minSnapshotInterval)
	}
	if c.DiskStallLimit != 0 && c.DiskStallLimit < minStallLimit {
		fault("--disk-stall-limit %v: must be at least %v", c.DiskStallLimit, minStallLimit)
	}
	if c.AuditAll && c.AuditLog == "" {
		fault("--audit-all: there is no audit log; say --audit-log too")
	}
	for _, n := range []struct {
		flag string
		most int
	}{
		{"--max-streams-per-client", c.MaxStreamsPerClient},
		{"--max-calls-per-client", c.MaxCallsPerClient},
	} {
		if n.most < 0 {
			fault("%s %d: must not be negative; 0 is the default", n.flag, n.most)
		}
	}
	if c.BootstrapExpect < 0 {
		fault("--bootstrap-expect %d: must not be negative", c.BootstrapExpect)
	}
	return errors.Join(errs...)
}

func (c *Config) quota() server.Quota {
	return server.Quota{Streams: c.MaxStreamsPerClient, Calls: c.MaxCallsPerClient}
}

// loopback says whether only this machine reaches the host. Of names it believes one:
// what others stand for is not its to know.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// logger writes the log.
func (c *Config) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(traceHandler{slog.NewJSONHandler(w, options)})
	}
	return slog.New(traceHandler{slog.NewTextHandler(w, options)})
}
