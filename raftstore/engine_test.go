package raftstore_test

import (
	"context"
	"fmt"
	"testing"

	"coordd.dev/raftstore"
	"coordd.dev/raftstore/internal/latest"
)

// A fakeEngine is an engine whose answers the test gives.
type fakeEngine struct {
	raftstore.Engine
	t         *testing.T
	state     *latest.Value[raftstore.State]
	appends   chan *appended
	transfers chan struct{}
}

// An appended is an entry that waits for its answer.
type appended struct {
	raftstore.Entry
	answer chan answer
}

type answer struct {
	index   uint64
	results []any
	err     error
}

func newFakeEngine(t *testing.T) *fakeEngine {
	return &fakeEngine{
		t:         t,
		state:     latest.New(raftstore.State{}),
		appends:   make(chan *appended),
		transfers: make(chan struct{}, 100),
	}
}

func (e *fakeEngine) State() (raftstore.State, <-chan struct{}) { return e.state.Get() }

func (e *fakeEngine) Append(ctx context.Context, data []byte) (uint64, []any, error) {
	entry, err := raftstore.DecodeEntry(data)
	if err != nil {
		e.t.Errorf("append: %v", err)
	}
	a := &appended{entry, make(chan answer, 1)}
	unknown := fmt.Errorf("append: %w", raftstore.ErrUnknown)
	select {
	case e.appends <- a:
	case <-ctx.Done():
		return 0, nil, unknown
	}
	select {
	case r := <-a.answer:
		return r.index, r.results, r.err
	case <-ctx.Done():
		return 0, nil, unknown
	}
}

func (e *fakeEngine) Transfer(context.Context, string) error {
	e.transfers <- struct{}{}
	return raftstore.ErrUnknown
}

// commit answers that the entry is applied; the result of a command is itself.
func (a *appended) commit(index uint64) {
	results := make([]any, len(a.Commands))
	for i, c := range a.Commands {
		results[i] = string(c)
	}
	a.answer <- answer{index, results, nil}
}

func (a *appended) fail(err error) { a.answer <- answer{0, nil, err} }

// commands returns the entry's commands as text.
func (a *appended) commands() []string {
	var s []string
	for _, c := range a.Commands {
		s = append(s, string(c))
	}
	return s
}

// startLog starts a log on a fake engine that leads term 1, behind its barrier.
func startLog(t *testing.T, cfg raftstore.Config) (*fakeEngine, *raftstore.Log) {
	e := newFakeEngine(t)
	l := raftstore.NewLog(e, cfg)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	e.lead(t, l, 1)
	return e, l
}

// lead makes the engine the leader of a term and commits the barrier.
func (e *fakeEngine) lead(t *testing.T, l *raftstore.Log, term uint64) {
	t.Helper()
	e.state.Set(raftstore.State{Term: term, Leader: true, LeaderID: "me"})
	barrier := <-e.appends
	if len(barrier.Commands) > 0 || barrier.Increment != 0 || barrier.Term != term {
		t.Errorf("barrier: %+v", barrier.Entry)
	}
	if lead, _ := l.Leadership(); lead.Leading {
		t.Error("leads before its barrier is applied")
	}
	barrier.commit(term * 1000)
	awaitLeading(l, true)
}

// awaitLeading waits until the log leads, or does not.
func awaitLeading(l *raftstore.Log, leading bool) raftstore.Leadership {
	for {
		lead, changed := l.Leadership()
		if lead.Leading == leading {
			return lead
		}
		<-changed
	}
}

// told collects what submissions were told.
type told struct{ lines []string }

func (o *told) submit(l *raftstore.Log, command string) {
	l.Submit([]byte(command), 0, raftstore.Ordinary, o.done(command))
}

func (o *told) done(command string) func(uint64, any, error) {
	return func(index uint64, result any, err error) {
		if err != nil {
			o.lines = append(o.lines, fmt.Sprintf("%s: %v", command, err))
			return
		}
		o.lines = append(o.lines, fmt.Sprintf("%s: %d %v", command, index, result))
	}
}
