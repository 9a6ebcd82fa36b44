package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft"
)

const (
	nodes      = 3
	readyLimit = 30 * time.Second
)

// engines are three nodes of the engine in this process, over TCP and on disk, with a
// machine that does nothing: what the log alone can commit.
type engines struct {
	logs  []*raftstore.Log
	close []func() error
}

// startEngines starts them below dir and waits for a leader.
func startEngines(ctx context.Context, dir string) (*engines, error) {
	e := &engines{}
	var members []raftstore.Member
	var layers []*tcpLayer
	for i := range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("start engines: %w", err)
		}
		layers = append(layers, &tcpLayer{l})
		members = append(members, raftstore.Member{
			ID: fmt.Sprintf("e%d", i+1), Address: l.Addr().String(), Voter: true,
		})
	}
	for i := range nodes {
		if err := e.start(filepath.Join(dir, members[i].ID), members[i].ID, members, layers[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("start engines: %w", err), e.stop())
		}
	}
	if _, err := e.leader(ctx); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *engines) start(dir, id string, members []raftstore.Member, layer *tcpLayer) error {
	disk, err := hraft.OpenDisk(dir, nil)
	if err != nil {
		return err
	}
	engine, err := hraft.Open(hraft.Config{
		LocalID: id, Machine: idle{}, Transport: hraft.NewTransport(layer, nil),
		LogStore: disk.LogStore, StableStore: disk.StableStore, SnapshotStore: disk.SnapshotStore,
		Bootstrap: members,
	})
	if err != nil {
		return errors.Join(err, disk.Close())
	}
	log := raftstore.NewLog(engine, raftstore.Config{})
	e.logs = append(e.logs, log)
	e.close = append(e.close, log.Close, engine.Close, disk.Close)
	return nil
}

// leader waits for a node that leads.
func (e *engines) leader(ctx context.Context) (*raftstore.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		var changes []<-chan struct{}
		for _, l := range e.logs {
			lead, changed := l.Leadership()
			if lead.Leading {
				return l, nil
			}
			changes = append(changes, changed)
		}
		select {
		case <-changes[0]:
		case <-changes[1]:
		case <-changes[2]:
		case <-ctx.Done():
			return nil, fmt.Errorf("await a leader of the engine: %w", ctx.Err())
		}
	}
}

// commits is raw commits from n callers, one command each at a time.
func (e *engines) commits(ctx context.Context, n int, warm, measure time.Duration) (result, error) {
	log, err := e.leader(ctx)
	if err != nil {
		return result{}, err
	}
	return drive(n, warm, measure, func(int) (time.Duration, error) {
		start := time.Now()
		_, _, err := log.Propose(ctx, make([]byte, 64))
		return time.Since(start), err
	})
}

func (e *engines) stop() error {
	var errs []error
	for _, f := range e.close {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// idle is a machine without a state.
type idle struct{}

func (idle) Apply(_ uint64, e raftstore.Entry) ([]any, error) {
	return make([]any, len(e.Commands)), nil
}
func (idle) Snapshot() raftstore.Snapshot { return idle{} }
func (idle) Restore(io.Reader) error      { return nil }
func (idle) Persist(io.Writer) error      { return nil }

// tcpLayer is raft's stream layer on plain TCP.
type tcpLayer struct{ net.Listener }

// Dial is part of raft.StreamLayer.
func (t *tcpLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}
