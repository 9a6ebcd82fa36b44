package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"coordd.dev/internal/peer"
)

// Listeners are the three ports of a node, open, before TLS.
type listeners struct {
	client, peer, admin net.Listener
}

// listen opens the ports first of all: a port that is taken is said at once, not after
// a cluster was formed.
func (c *Config) listen() (_ *listeners, err error) {
	l := new(listeners)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for _, p := range []struct {
		to            *net.Listener
		what, address string
	}{
		{&l.client, "listen-client", c.ListenClient},
		{&l.peer, "listen-peer", c.ListenPeer},
		{&l.admin, "listen-admin", c.ListenAdmin},
	} {
		opened, err := net.Listen("tcp", p.address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("--%s %s: %w: is another coordd running? stop it, or choose another address", p.what, p.address, err)
		}
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", p.what, p.address, err)
		}
		*p.to = opened
	}
	return l, nil
}

// close closes what is open; what its user closed already is no error.
func (l *listeners) close() error {
	var errs []error
	for _, p := range []net.Listener{l.client, l.peer, l.admin} {
		if p == nil {
			continue
		}
		if err := p.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// advertised is where others reach a port: as told, else as listened on, with the port
// that was taken for port 0.
func advertised(flag, told, listen string, l net.Listener) (string, error) {
	if told != "" {
		return told, nil // validate has checked it
	}
	address := listen
	if host, port, err := net.SplitHostPort(listen); err == nil && port == "0" {
		_, taken, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return "", fmt.Errorf("read address of listener: %w", err)
		}
		address = net.JoinHostPort(host, taken)
	}
	if err := peer.CheckAddress(address); err != nil {
		return "", fmt.Errorf("%w; say --advertise-%s host:port, where others reach this node", err, flag)
	}
	return address, nil
}

// turnAway hangs up on every connection until the function it returns is called. The
// port is open before there is anything to serve, and a client that is kept waiting
// tries no other node meanwhile.
func turnAway(l net.Listener) (stop func()) {
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return func() {} // it could not be stopped
	}
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the deadline, or closed
			}
			_ = conn.Close()
		}
	})
	return sync.OnceFunc(func() {
		_ = d.SetDeadline(time.Unix(1, 0)) // fails only if closed, and so ends the loop too
		loop.Wait()
		_ = d.SetDeadline(time.Time{})
	})
}
