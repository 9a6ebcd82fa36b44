package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"coordd.dev/internal/audit"
	"coordd.dev/internal/rights"
)

// Gates are who may pass, and the book that is kept of it. Either may be nil.
type gates struct {
	rights *rights.Rights
	audit  *audit.Log

	hangups chan os.Signal // nil without an audit log
	running sync.WaitGroup // what waits for them
}

// openGates opens both before anything that could be asked for.
func (n *node) openGates() (*gates, error) {
	g := &gates{}
	if path := n.cfg.CredentialsFile; path != "" {
		var err error
		if g.rights, err = rights.Open(path, n.logger); err != nil {
			return nil, fmt.Errorf("--credentials-file: %w", err)
		}
		if n.cfg.InsecureAllowRemote {
			n.logger.Warn("tokens may go in plain text: --insecure-allow-remote with --credentials-file")
		}
	}
	if n.cfg.AuditLog == "" {
		return g, nil
	}
	var err error
	if g.audit, err = audit.Open(n.cfg.AuditLog, os.Stderr, n.cfg.AuditAll, n.logger); err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	g.hangups = make(chan os.Signal, 1)
	signal.Notify(g.hangups, syscall.SIGHUP)
	g.running.Go(func() {
		for range g.hangups {
			if err := g.audit.Reopen(); err != nil {
				n.logger.Error("audit log: the old file is written on", "err", err)
			}
		}
	})
	return g, nil
}

func (g *gates) close() error {
	if g.hangups != nil {
		signal.Stop(g.hangups)
		close(g.hangups)
		g.running.Wait()
	}
	return g.audit.Close()
}
