package hrafttest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeSize is how many bytes may be under way in one direction.
const pipeSize = 1 << 20

// A conn is one end of a connection.
type conn struct {
	network       *Network
	local, remote string
	in, out       *pipe
	key           *conn // the end that the network knows
}

var _ net.Conn = (*conn)(nil)

// Read is part of net.Conn.
func (c *conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write is part of net.Conn.
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close is part of net.Conn. What was written before is still delivered.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c.key)
	c.network.mu.Unlock()
	c.in.closeReader()
	c.out.closeWriter(io.EOF)
	return nil
}

// LocalAddr is part of net.Conn.
func (c *conn) LocalAddr() net.Addr { return addr(c.local) }

// RemoteAddr is part of net.Conn.
func (c *conn) RemoteAddr() net.Addr { return addr(c.remote) }

// SetDeadline is part of net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.reader.set(c.in, t)
	c.out.writer.set(c.out, t)
	return nil
}

// SetReadDeadline is part of net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { c.in.reader.set(c.in, t); return nil }

// SetWriteDeadline is part of net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.writer.set(c.out, t); return nil }

// A pipe is one direction of a connection. While the link is cut neither end sees what
// the other does.
type pipe struct {
	network  *Network
	from, to string

	mu             sync.Mutex
	buf            []byte // written and not yet read
	deaf           bool   // the reader has closed its end
	end            error  // what the reader gets at the end, once the writer has closed its end
	reader, writer deadline
	changed        chan struct{} // closed when any of the above changes
}

// A deadline is when a read or a write fails.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func newPipe(n *Network, from, to string) *pipe {
	return &pipe{network: n, from: from, to: to, changed: make(chan struct{})}
}

// change is called with mu held.
func (p *pipe) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) set(p *pipe, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.stop()
	if d.passed {
		d.passed = false
		p.change()
	}
	if t.IsZero() || p.deaf && d == &p.reader || p.end != nil && d == &p.writer {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer { // else it was set anew meanwhile
			d.passed = true
			p.change()
		}
	})
	d.timer = timer
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		up, linked := p.network.link(p.from, p.to)
		n, changed, err := p.tryRead(b, up)
		if changed == nil {
			return n, err
		}
		select {
		case <-changed:
		case <-linked:
		}
	}
}

// tryRead returns a channel to wait for if there is nothing to return.
func (p *pipe) tryRead(b []byte, up bool) (int, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.deaf:
		return 0, nil, net.ErrClosed
	case p.reader.passed:
		return 0, nil, os.ErrDeadlineExceeded
	case len(b) == 0:
		return 0, nil, nil
	case !up:
		return 0, p.changed, nil
	case len(p.buf) > 0:
		n := copy(b, p.buf)
		if p.buf = p.buf[n:]; len(p.buf) == 0 {
			p.buf = nil
		}
		p.change()
		return n, nil, nil
	case p.end != nil:
		return 0, nil, p.end
	}
	return 0, p.changed, nil
}

func (p *pipe) write(b []byte) (int, error) {
	written := 0
	for {
		up, linked := p.network.link(p.from, p.to)
		n, changed, err := p.tryWrite(b[written:], up)
		written += n
		if changed == nil {
			return written, err
		}
		select {
		case <-changed:
		case <-linked:
		}
	}
}

// tryWrite returns a channel to wait for if it did not write all.
func (p *pipe) tryWrite(b []byte, up bool) (int, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.end != nil:
		return 0, nil, net.ErrClosed
	case p.writer.passed:
		return 0, nil, os.ErrDeadlineExceeded
	case p.deaf && up:
		return 0, nil, syscall.EPIPE
	case p.deaf:
		return len(b), nil, nil // nobody will read it
	}
	n := min(len(b), pipeSize-len(p.buf))
	if n > 0 {
		p.buf = append(p.buf, b[:n]...)
		p.change()
	}
	if n == len(b) {
		return n, nil, nil
	}
	return n, p.changed, nil
}

func (p *pipe) closeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.deaf {
		p.deaf, p.buf = true, nil
		p.reader.stop()
		p.change()
	}
}

// closeWriter closes the writer's end; the reader gets what is under way and then io.EOF,
// or, if it is a reset, only that.
func (p *pipe) closeWriter(end error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		return
	}
	p.end = end
	if !errors.Is(end, io.EOF) {
		p.buf = nil
	}
	p.writer.stop()
	p.change()
}
