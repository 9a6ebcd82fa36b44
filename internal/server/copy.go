package server

import (
	"fmt"
	"io"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

// A copied machine is what a Replica has: a *machine.Machine and nothing else. It is an
// interface for the compiler's sake. Who has a Replica, a Server or a coordtest.Cluster in a
// type of its own has the compiler describe all types that are in it, and with the machine's
// tables, which are generic, compile all their methods once more: 20 s of a processor for
// each such package, users' tests among them. An interface hides what is behind it.
type copied interface {
	Apply(index uint64, increment int64, commands []machine.Command) ([]any, []machine.Event)
	Changes() []machine.Change
	Index() uint64
	Hash() uint64
	Clock() park.Clock
	Cluster() string
	Counts() machine.Counts
	NextDue() (at park.Clock, ok bool)
	Waiting(on park.Object) int64
	Describe(on park.Object) *machine.Description
	Traits(on park.Object) park.Traits
	Read(r *machine.Read) machine.ReadResult
	Lease(s park.SessionID) (secret machine.Secret, ttl int64, ok bool)
	WaitGraph(on park.Object, most int) machine.WaitGraph
	Unsearched() uint64
	freeze() raftstore.Snapshot
}

type copyOf struct{ *machine.Machine }

func (c copyOf) freeze() raftstore.Snapshot { return frozen{c.Snapshot()} }

// frozen makes a machine's snapshot a raftstore's.
type frozen struct{ *machine.Snapshot }

func (f frozen) Persist(w io.Writer) error {
	if _, err := f.WriteTo(w); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}
