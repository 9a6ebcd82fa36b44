package server

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Bounds are how many connections a listener may have open.
type Bounds struct {
	All        int // default 10,000
	PerAddress int // of one host, loopback excepted: there all programs are one; default 2,000
	Logger     *slog.Logger
}

func (b Bounds) withDefaults() Bounds {
	if b.All <= 0 {
		b.All = 10_000
	}
	if b.PerAddress <= 0 {
		b.PerAddress = 2_000
	}
	if b.Logger == nil {
		b.Logger = slog.Default()
	}
	return b
}

// Bounded hangs up on whoever would be one too many. A connection costs memory before it has
// said who it is, and the process has only so many descriptors, of which its disk and its
// peers need some too.
func Bounded(l net.Listener, b Bounds) net.Listener {
	return &bounding{Listener: l, bounds: b.withDefaults(), from: make(map[string]int)}
}

type bounding struct {
	net.Listener
	bounds Bounds

	mu     sync.Mutex
	open   int
	from   map[string]int // open, by host
	warned time.Time      // when it was last said that there are too many
	turned int            // away, since then
}

// warnEvery is how often it is said that there are too many.
const warnEvery = 10 * time.Second

// Accept implements net.Listener.
func (l *bounding) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := hostOf(conn.RemoteAddr())
		if l.enter(host) {
			return &boundConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = conn.Close() // nothing is owed to it
	}
}

// hostOf is "" for those that are not counted apart.
func hostOf(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() {
		return ""
	}
	return tcp.IP.String()
}

func (l *bounding) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.bounds.All || host != "" && l.from[host] >= l.bounds.PerAddress {
		l.turned++
		if now := time.Now(); now.Sub(l.warned) >= warnEvery {
			l.bounds.Logger.Warn("too many connections of clients: others are hung up on",
				"open", l.open, "from", host, "of_it", l.from[host], "turned_away", l.turned)
			l.warned, l.turned = now, 0
		}
		return false
	}
	l.open++
	if host != "" {
		l.from[host]++
	}
	return true
}

func (l *bounding) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if host == "" {
		return
	}
	if l.from[host]--; l.from[host] == 0 {
		delete(l.from, host)
	}
}

type boundConn struct {
	net.Conn
	leave func()
}

// CloseWrite is for certs.Farewell.
func (c *boundConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
