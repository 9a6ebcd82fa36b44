package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueEntries = 4096
	window       = 10 * time.Second // in which a refusal is written once
	maxRepeats   = 4096             // different refusals that are counted at a time
	complainOnce = 10 * time.Second // of lines that cannot be written
)

// ErrClosed is the error of a Log that was closed.
var ErrClosed = errors.New("audit log is closed")

// Stderr is the path that stands for standard error.
const Stderr = "stderr"

// A Decision is what became of a call.
type Decision string

// The decisions.
const (
	Allowed         Decision = "allowed"
	Refused         Decision = "refused"         // who asks is known, and has no right to it
	Unauthenticated Decision = "unauthenticated" // who asks is not known
)

// An Entry is a line. Its time is that of Record.
type Entry struct {
	Principal string   `json:"principal"`
	Address   string   `json:"address"`            // of the client
	Via       string   `json:"via,omitempty"`      // the node that it is connected to, if that is another
	Verb      string   `json:"verb,omitempty"`     // read, acquire, admin
	Resource  string   `json:"resource,omitempty"` // kind/name
	Method    string   `json:"method"`
	Decision  Decision `json:"decision"`
	Reason    string   `json:"reason,omitempty"`
	Index     uint64   `json:"index"` // of the log's entry that changed something; 0 if none did
}

// written is a line as it is in the file.
type written struct {
	Time string `json:"time"`
	Entry
	Count int64 `json:"count,omitempty"` // so many like it are not written
}

// A queued is an entry on its way.
type queued struct {
	Entry
	at time.Time
}

// A Log is an audit log. A nil Log records nothing. It may be used by several goroutines.
type Log struct {
	path   string
	logger *slog.Logger
	all    bool

	queue   chan queued
	dropped atomic.Int64
	reopen  chan chan error
	stop    chan struct{}
	closing sync.Once
	running sync.WaitGroup
}

// Open opens the log at a path, or Stderr, which is stderr. With all set decisions that
// nobody would ask about later are written too: allowed reads and acquisitions.
func Open(path string, stderr io.Writer, all bool, logger *slog.Logger) (*Log, error) {
	l := &Log{
		path: path, all: all, logger: logger, queue: make(chan queued, queueEntries),
		reopen: make(chan chan error), stop: make(chan struct{}),
	}
	w := &writer{log: l, out: stderr, repeats: make(map[Entry]*repeat)}
	if path != Stderr {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	l.running.Go(w.run)
	return l, nil
}

// All says that every decision is to be recorded.
func (l *Log) All() bool { return l != nil && l.all }

// Record has an entry written.
func (l *Log) Record(e Entry) {
	if l == nil {
		return
	}
	select {
	case l.queue <- queued{e, time.Now()}:
	default:
		l.dropped.Add(1)
	}
}

// PeerRefused records that the peer port turned somebody away, who says to be node.
func (l *Log) PeerRefused(address, node, why string) {
	l.Record(Entry{Principal: node, Address: address, Method: "peer", Decision: Unauthenticated, Reason: why})
}

// Reopen opens the file anew: the old one was renamed.
func (l *Log) Reopen() error {
	if l == nil || l.path == Stderr {
		return nil
	}
	done := make(chan error, 1)
	select {
	case l.reopen <- done:
		return <-done
	case <-l.stop:
		return ErrClosed
	}
}

// Close writes what was recorded, and closes the file.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.closing.Do(func() { close(l.stop) })
	l.running.Wait()
	return nil
}

// A repeat is a refusal that was written, and how many came since.
type repeat struct {
	until time.Time
	more  int64
}

// A writer is the goroutine of a Log.
type writer struct {
	log     *Log
	out     io.Writer
	file    *os.File          // out, unless that is stderr
	repeats map[Entry]*repeat // by what they have in common; the address without its port
	others  int64             // refusals while there were as many as may be

	complained time.Time // when it was last said that lines are lost
	lost       int64     // since then
}

func (w *writer) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case q := <-w.log.queue:
			w.take(q)
		case now := <-tick.C:
			w.flush(now)
		case done := <-w.log.reopen:
			done <- w.open()
		case <-w.log.stop:
			w.end()
			return
		}
	}
}

// end writes what is left.
func (w *writer) end() {
	for {
		select {
		case q := <-w.log.queue:
			w.take(q)
			continue
		default:
		}
		break
	}
	w.flush(time.Now().Add(window))
	if w.file != nil {
		_ = w.file.Close() // what was written was written before
	}
}

// open puts the file at the path in the place of the present one, if that can be had.
func (w *writer) open() error {
	f, err := os.OpenFile(w.log.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	if w.file != nil {
		_ = w.file.Close() // as in end
	}
	w.out, w.file = f, f
	return nil
}

// take writes an entry, unless it is one like another.
func (w *writer) take(q queued) {
	if q.Decision != Allowed {
		key := q.Entry
		if host, _, err := net.SplitHostPort(key.Address); err == nil {
			key.Address = host // another connection is no other refusal
		}
		switch r := w.repeats[key]; {
		case r != nil:
			r.more++
			return
		case len(w.repeats) == maxRepeats:
			w.others++
			return
		}
		w.repeats[key] = &repeat{until: q.at.Add(window)}
	}
	w.write(written{Time: stamp(q.at), Entry: q.Entry})
}

// flush writes how many refusals were not written whose time is over, and how many entries
// were dropped.
func (w *writer) flush(now time.Time) {
	// order-free: each is a line of its own
	for e, r := range w.repeats {
		if now.Before(r.until) {
			continue
		}
		delete(w.repeats, e)
		if r.more > 0 {
			w.write(written{Time: stamp(now), Entry: e, Count: r.more})
		}
	}
	if w.others > 0 {
		w.write(written{Time: stamp(now), Entry: Entry{Method: "audit", Decision: Refused, Reason: "more different ones than are counted"}, Count: w.others})
		w.others = 0
	}
	if n := w.log.dropped.Swap(0); n > 0 {
		w.write(written{Time: stamp(now), Entry: Entry{Method: "audit", Reason: "more came than could be written"}, Count: n})
	}
}

func (w *writer) write(line written) {
	data, err := json.Marshal(line)
	if err == nil {
		_, err = w.out.Write(append(data, '\n'))
	}
	if err == nil {
		return
	}
	w.lost++
	if now := time.Now(); now.Sub(w.complained) >= complainOnce {
		w.log.logger.Error("audit: lines are lost", "lines", w.lost, "err", err)
		w.complained, w.lost = now, 0
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
