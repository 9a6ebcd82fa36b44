package machine

import (
	"cmp"
	"time"

	"coordd.dev/channel"
	"coordd.dev/election"
	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/latch"
	"coordd.dev/lock"
	"coordd.dev/table"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	MinTTL      = int64(500 * time.Millisecond)
	MaxTTL      = int64(24 * time.Hour)
	MaxDelay    = int64(24 * time.Hour)
	MaxLimit    = int64(366 * 24 * time.Hour) // of a wait
	MaxWho      = 4 << 10
	MaxNote     = 4 << 10
	MaxTrace    = 64
	MaxArms     = 1_024
	MaxSessions = 100_000
	MaxWaiters  = 100_000   // on one object
	MaxParked   = 1_000_000 // arms of all waits, when one is admitted
	MaxNamed    = 1_000_000 // holds that all waits name, likewise
	MaxEnds     = 4_096     // sessions that end in one entry

	// MaxValues bounds the values of the arms of one wait, in bytes, so that no record is as long
	// as a chunk of a snapshot may be.
	MaxValues = 8 << 20

	// MaxParkedBytes bounds the values of the arms of all waits, mostly what is to be sent. It
	// is met only by who has to wait: who can proceed at once, or brings no value, is not refused
	// because others' values fill it.
	MaxParkedBytes = 256 << 20

	// MaxWanted is how many seqs an Attach may list: as many calls as a session can have,
	// releases included. Each is answered.
	MaxWanted = 2 * session.MaxOpen

	// MaxFloor is the highest floor of tokens, unix milliseconds << 20 in the year 2109.
	// It leaves as many again, so that no floor can make the counter run out.
	MaxFloor = park.Token(1) << 62

	// maxClock is where the cluster clock stands still, 146 years on, so that no sum of
	// it and a TTL, a limit or a delay overflows.
	maxClock = park.Clock(1) << 62
)

// A Machine is the replicated state: sessions, what they hold and wait for, the
// cluster clock. One goroutine owns it. Make it with New or Restore.
type Machine struct {
	index   uint64     // of the last entry
	clock   park.Clock // after it
	cluster string     // "" before Bootstrap
	floor   park.Token
	token   park.Token // the last one granted, or the floor
	steps   uint64     // ops and grants so far: the op counter of D3

	revision uint64 // of the last change
	version  uint64 // that the cluster may use

	opens park.Clock // no session opens before; 0 is at once (SEMANTICS C1)
	stage stage      // what a restore has brought so far

	book      session.Book
	lot       park.Lot
	locks     lock.Room
	elections election.Room
	groups    latch.Groups
	onces     latch.Onces
	tables    table.Room
	channels  channel.Room

	// Of the Apply under way; empty between.
	turns    cow.Index[turn, park.ID] // who is to be tried
	events   []Event
	freeings map[park.Object]freeing // never ranged over
	loose    []park.Object           // of which nothing may be left that must stay

	changes []Change // of the last Apply

	unsearched uint64 // waits, on this node; no part of the state
}

// New returns the machine before its Bootstrap.
func New() *Machine {
	return &Machine{
		book:  session.NewBook(),
		lot:   park.NewLot(),
		locks: lock.NewRoom(),
		turns: cow.NewIndex[turn, park.ID](),
		stage: newStage(""),

		version: firstVersion,

		elections: election.NewRoom(),
		groups:    latch.NewGroups(),
		onces:     latch.NewOnces(),
		tables:    table.NewRoom(),
		channels:  channel.NewRoom(),
	}
}

// A turn orders those to be tried: higher priority first, then the earlier ticket.
type turn struct {
	prio   int32
	ticket uint64
}

func (a turn) Compare(b turn) int {
	if c := cmp.Compare(b.prio, a.prio); c != 0 {
		return c
	}
	return cmp.Compare(a.ticket, b.ticket)
}

func turnOf(w *park.Waiter) turn { return turn{w.Prio, w.Ticket} }

// A Renewal is the answer for one session. The values are the wire's.
type Renewal uint8

// See coord.v1.Renewal.
const (
	Renewed Renewal = iota + 1
	RenewalOver
	RenewalRevoked
)

// Apply executes an entry whose increment is in nanoseconds. It is total: every command
// in every state has a result. The result of a command is a park.Code, a []Renewal for
// Renew, a SessionList for Sessions, an Opened for Open, a Called for Call, a *Description
// for Describe, an ObjectList for List, a ReadResult for Read, a Restored for what a restore
// is made of, and nil for Attach and Frame, which are answered by events. The events are in the order in which they must be
// sent; both slices are the caller's. What happened to which object, Changes says.
func (m *Machine) Apply(index uint64, increment int64, commands []Command) ([]any, []Event) {
	m.index = index
	before := m.clock
	m.clock += min(park.Clock(max(increment, 0)), maxClock-m.clock)
	results := make([]any, len(commands))
	m.events = make([]Event, 0, len(commands)) // most commands have one
	if m.changes = m.changes[:0]; cap(m.changes) > maxSpare {
		m.changes = nil
	}
	for i, c := range commands {
		if r, ok := c.(*Renew); ok {
			results[i] = m.renew(r, before)
		}
	}
	m.due()
	for i, c := range commands {
		switch c := c.(type) {
		case *Renew: // above
		case *Bootstrap:
			results[i] = m.bootstrap(c)
		case *Upgrade:
			results[i] = m.upgrade(c)
		case *Checkpoint, *Verdict: // they are the shell's: what it compares is no state
			results[i] = park.Done
		case *Attach:
			m.attach(c)
		case *Frame:
			m.frame(c)
		case *Revoke:
			results[i] = m.revoke(c)
		case *Sessions:
			results[i] = m.sessions()
		case *Open:
			results[i] = m.openUnary(c)
		case *Call:
			results[i] = m.call(c)
		case *Describe:
			results[i] = m.Describe(c.On)
		case *List:
			results[i] = m.list(c)
		case *Read:
			results[i] = m.Read(c)
		default:
			results[i] = m.restoration(c)
		}
		m.settle()
	}
	events := m.events
	m.events, m.freeings = nil, nil
	if cap(m.loose) > maxSpare {
		m.loose = nil
	}
	return results, events
}

// restoration executes a command of a restore.
func (m *Machine) restoration(c Command) Restored {
	switch c := c.(type) {
	case *RestoreBegin:
		return m.beginRestore(c)
	case *RestorePiece:
		return m.stagePiece(c)
	case *RestoreFinish:
		return m.finishRestore(c)
	case *RestoreAbort:
		return m.abortRestore(c)
	}
	panic("machine: a command that no decoder returns")
}

// bootstrap begins the cluster, or raises its floor (SEMANTICS C1).
func (m *Machine) bootstrap(b *Bootstrap) park.Code {
	if b.Cluster == "" || len(b.Cluster) > park.MaxName || b.Floor > MaxFloor {
		return park.Invalid
	}
	if m.cluster == "" {
		m.cluster = b.Cluster
	} else if m.cluster != b.Cluster {
		return park.Mismatch
	}
	m.floor = max(m.floor, b.Floor)
	m.token = max(m.token, b.Floor)
	return park.Done
}

// maxSpare is for how many changes, and other things, room is kept from one entry to the next.
const maxSpare = 4_096

const maxToken = 1<<63 - 1

// renew stamps sessions with the clock, this entry's increment included (SEMANTICS A2).
// One that was overdue before this entry, and lives only because too many ended at
// once, is refused.
func (m *Machine) renew(r *Renew, before park.Clock) []Renewal {
	answers := make([]Renewal, len(r.Sessions))
	for i, s := range r.Sessions {
		st, live := m.book.Live(s)
		switch {
		case !live || m.book.Overdue(s, before):
			answers[i] = RenewalOver
		case st.Revoked:
			answers[i] = RenewalRevoked
		default:
			answers[i] = Renewed
			m.book.Stamp(s, m.clock)
		}
	}
	return answers
}

// tell adds an event.
func (m *Machine) tell(e Event) { m.events = append(m.events, e) }

// answer tells what became of a call that leaves no hold; or, with Recalled, of its hold.
func (m *Machine) answer(id park.ID, code park.Code, value int64) {
	m.result(id, session.Kept{Code: code, Value: value})
}

// result is answer with all that a result may have.
func (m *Machine) result(id park.ID, k session.Kept) {
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: k.Code, Value: k.Value, Arm: int(k.Arm), Data: k.Data,
	})
	if k.Code != park.Recalled {
		m.conclude(id, k)
	}
}

// Index is the index of the last entry.
func (m *Machine) Index() uint64 { return m.index }

// Clock is the cluster clock after the last entry.
func (m *Machine) Clock() park.Clock { return m.clock }

// NextDue is when an entry is needed for what falls due; ok is false if nothing will. It
// may be early, never late.
func (m *Machine) NextDue() (at park.Clock, ok bool) { return m.book.NextDue() }

// Cluster is the cluster's id, "" before Bootstrap.
func (m *Machine) Cluster() string { return m.cluster }

// Lease is what a proposer must know of a session, which may be over, to check a Renew.
func (m *Machine) Lease(s park.SessionID) (secret Secret, ttl int64, ok bool) {
	l, ok := m.book.Lease(s)
	return l.Secret, l.TTL, ok
}

// Counts are of live records.
type Counts struct{ Sessions, Holds, Waiters int64 }

// Counts returns how many sessions live, calls hold and calls wait.
func (m *Machine) Counts() Counts {
	sessions, holds := m.book.Len()
	return Counts{sessions, holds, int64(m.lot.Len())}
}

// Waiting is how many waits are parked on an object.
func (m *Machine) Waiting(on park.Object) int64 { return m.lot.Waiting(on) }
