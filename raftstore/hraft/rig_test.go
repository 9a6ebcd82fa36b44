package hraft

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/hraft/hrafttest"
)

// wire is a transport whose calls come from a test.
type wire struct {
	*raft.NetworkTransport
	calls   chan raft.RPC
	onClose func() // may be nil
}

func (w *wire) Close() error {
	if w.onClose != nil {
		w.onClose()
	}
	return w.NetworkTransport.Close()
}

func (w *wire) Consumer() <-chan raft.RPC { return w.calls }

// ask makes a call; the answer comes later.
func (w *wire) ask(command any, data []byte) <-chan raft.RPCResponse {
	answer := make(chan raft.RPCResponse, 1)
	w.calls <- raft.RPC{Command: command, Reader: bytes.NewReader(data), RespChan: answer}
	return answer
}

// A follower is a node of three; the test is the leader of term 2.
type follower struct {
	*Engine
	*wire
	t       *testing.T
	machine *tape
	stores  *hrafttest.Stores
}

func (f *follower) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n1"), Addr: []byte("n1:1")}
}

// append sends entries first to last, which are committed.
func (f *follower) append(first, last uint64) <-chan raft.RPCResponse {
	return f.appendIn(2, first, last, last)
}

// appendIn does so in a later term, whose first entries they are.
func (f *follower) appendIn(term, first, last, committed uint64) <-chan raft.RPCResponse {
	prev := uint64(2)
	if first == 2 {
		prev = 1 // of the configuration, with which all begin
	}
	return f.ask(f.request(term, prev, first, last, committed), nil)
}

func (f *follower) request(term, prev, first, last, committed uint64) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{
		RPCHeader: f.header(), Term: term, PrevLogEntry: first - 1, PrevLogTerm: prev, LeaderCommitIndex: committed,
	}
	for i := first; i <= last; i++ {
		l := logOf(i, term, commandsOf(term, "x"))
		l.Extensions = sealOf(l)
		r.Entries = append(r.Entries, l)
	}
	return r
}

// install sends the snapshot at an index.
func (f *follower) install(index uint64) <-chan raft.RPCResponse { return f.installIn(2, index) }

// installIn does so in a later term, of which the entry is.
func (f *follower) installIn(term, index uint64) <-chan raft.RPCResponse {
	return f.installOf(term, index, term)
}

// installOf does so of an entry of an earlier one.
func (f *follower) installOf(term, index, of uint64) <-chan raft.RPCResponse {
	data := framed(f.t, []byte("state"))
	return f.ask(&raft.InstallSnapshotRequest{
		RPCHeader: f.header(), SnapshotVersion: raft.SnapshotVersionMax, Term: term, LastLogIndex: index, LastLogTerm: of,
		Configuration:      raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: "n0:1"}}}),
		ConfigurationIndex: 1, Size: int64(len(data)),
	}, data)
}

func (f *follower) wantInstalled(answer <-chan raft.RPCResponse) {
	f.t.Helper()
	a := <-answer
	if r, _ := a.Response.(*raft.InstallSnapshotResponse); a.Error != nil || !r.Success {
		f.t.Errorf("install: %+v, %v", a.Response, a.Error)
	}
}

func (f *follower) wantAppended(answer <-chan raft.RPCResponse) {
	f.t.Helper()
	a := <-answer
	if r, _ := a.Response.(*raft.AppendEntriesResponse); a.Error != nil || !r.Success {
		f.t.Errorf("append: %+v, %v", a.Response, a.Error)
	}
}

// wantLog fails the test unless the log has the entries from first to last.
func (f *follower) wantLog(first, last uint64) {
	f.t.Helper()
	for i := first; i <= last; i++ {
		if err := f.stores.GetLog(i, new(raft.Log)); err != nil {
			f.t.Errorf("entry %d: %v", i, err)
		}
	}
}

// newFollower returns a follower that does not run, and the configuration of its cluster.
func newFollower(t *testing.T, disk *hrafttest.Disk) (*follower, Config) {
	t.Helper()
	stream, err := hrafttest.NewNetwork().Stream("n0:1")
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, machine: new(tape), stores: disk.Open()}
	f.wire = &wire{NetworkTransport: NewTransport(stream, nil), calls: make(chan raft.RPC, 8)}
	cfg := Config{
		LocalID: "n0", Machine: f.machine, Transport: f.wire,
		LogStore: f.stores, StableStore: f.stores, SnapshotStore: f.stores,
	}
	for _, name := range []string{"n0", "n1", "n2"} {
		cfg.Bootstrap = append(cfg.Bootstrap, raftstore.Member{ID: name, Address: name + ":1", Voter: true})
	}
	return f, cfg
}

// inTerm2 runs do with a follower, whose disk may have been another's before.
func inTerm2(t *testing.T, disk *hrafttest.Disk, do func(f *follower)) {
	t.Helper()
	inTerm2On(t, disk, func(s *hrafttest.Stores) raft.LogStore { return s }, do)
}

// inTerm2On does so with what is made of the disk's log.
func inTerm2On(t *testing.T, disk *hrafttest.Disk, log func(*hrafttest.Stores) raft.LogStore, do func(f *follower)) {
	t.Helper()
	f, cfg := newFollower(t, disk)
	cfg.LogStore = log(f.stores)
	var err error
	if f.Engine, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	do(f)
	if err := f.Engine.Close(); err != nil {
		t.Error(err)
	}
	disk.Crash()
}

// unguarded is inTerm2 with nothing between raft and its stores and transport: what
// happens then is what the guards are for.
func unguarded(t *testing.T, disk *hrafttest.Disk, do func(f *follower)) {
	t.Helper()
	unguardedOn(t, disk, func(s *hrafttest.Stores) raft.LogStore { return s }, do)
}

// unguardedOn does so with what is made of the disk's log.
func unguardedOn(t *testing.T, disk *hrafttest.Disk, log func(*hrafttest.Stores) raft.LogStore, do func(f *follower)) {
	t.Helper()
	f, cfg := newFollower(t, disk)
	cfg = cfg.withDefaults()
	cfg.LogStore = log(f.stores)
	if err := bootstrap(cfg, cfg.LogStore); err != nil {
		t.Fatal(err)
	}
	f.Engine = &Engine{failure: newFailure()}
	machine := &fsm{machine: f.machine, failure: f.failure, moved: func(position, int64) {}, unread: func(error) {}}
	r, err := raft.NewRaft(cfg.raft(), machine, cfg.LogStore, f.stores, placedStore{f.stores, func(error) {}}, f.wire)
	if err != nil {
		t.Fatal(err)
	}
	do(f)
	if err := errors.Join(r.Shutdown().Error(), f.wire.Close()); err != nil {
		t.Error(err)
	}
	disk.Crash()
}
