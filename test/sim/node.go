package main

import (
	"bytes"
	"slices"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A node is a replica and the shell that package server is around it.
type node struct {
	w      *world
	id     int
	clock  clock
	paused bool
	inbox  []func() // of a pause
	slow   bool

	m       *machine.Machine
	applied int
	results []any // of the last entry applied
	checked int
	saved   []byte // a snapshot
	kept    []machine.Change
	since   uint64 // the revision before the first of them

	// Of a leadership; gone with it.
	term     uint64
	serving  bool // its barrier is applied
	proposed time.Duration
	first    bool // nothing was proposed yet
	flying   int
	tick     bool
	queue    []command
	streams  []*stream
	bound    map[park.SessionID]*stream
	gathered []renewal
	pending  []pending
	timer    uint64
}

// A command waits to be proposed. done is called with its result, or with ok false.
type command struct {
	data []byte
	done func(result any, ok bool)
}

type renewal struct {
	session park.SessionID
	answer  func(machine.Renewal)
}

func newNode(w *world, id int) *node {
	return &node{
		w: w, id: id, m: machine.New(), clock: newClock(w.fate, w.Faults.has(faultRate)),
		bound: map[park.SessionID]*stream{},
	}
}

// run does f now, or when n goes on.
func (n *node) run(f func()) {
	if n.paused {
		n.inbox = append(n.inbox, f)
		return
	}
	f()
}

func (n *node) resume() {
	if !n.paused {
		return
	}
	n.paused = false
	n.w.tracef("node %d goes on", n.id)
	inbox := n.inbox
	n.inbox = nil
	for _, f := range inbox {
		n.run(f)
	}
}

// lag has a follower apply what was committed, later.
func (n *node) lag() {
	n.w.after(upTo(n.w.net, 20*time.Millisecond), func() { n.run(n.catchUp) })
}

// catchUp applies what is committed.
func (n *node) catchUp() {
	for n.applied < len(n.w.log.entries) && n.w.err == nil {
		n.apply(n.applied)
	}
}

func (n *node) apply(i int) {
	e := &n.w.log.entries[i]
	commands, err := e.decode()
	if err != nil {
		n.w.failf("decode entry %d: %w", i, err)
		return
	}
	clock := n.m.Clock()
	results, events := n.m.Apply(uint64(i)+1, e.increment, commands)
	n.applied = i + 1
	if n.m.Clock() < clock || time.Duration(n.m.Clock()) > n.w.now*106/100 {
		n.w.failf("clock: it is %v after %v", time.Duration(n.m.Clock()), time.Duration(clock))
	}
	changes := n.m.Changes()
	n.keep(changes)
	n.agree(i, commands, results, events, changes)
	n.results = results
	n.dispatch(events)
	n.setTimer()
}

// agree compares the state with that of the other nodes.
func (n *node) agree(i int, commands []machine.Command, results []any, events []machine.Event, changes []machine.Change) {
	hash := n.m.Hash()
	switch n.w.log.hashes[i] {
	case 0:
		n.w.log.hashes[i] = hash
		n.w.log.changes[i] = slices.Clone(changes)
		n.w.order.applied(n.w, n.m, i, commands, results, events, changes)
		n.w.believe()
		if n.checked++; n.checked%32 == 0 {
			n.check()
		}
	case hash:
		if !slices.Equal(n.w.log.changes[i], changes) {
			n.w.failf("changes: node %d has others in entry %d", n.id, i+1)
		}
	default:
		n.w.failf("hash: node %d has another state after entry %d", n.id, i+1)
	}
}

func (n *node) check() {
	if err := n.m.Check(); err != nil {
		n.w.failf("check: node %d: %w", n.id, err)
	}
}

// restart replaces the replica by one from a snapshot, maybe an old one, with what was
// committed since.
func (n *node) restart() {
	if n.saved == nil || chance(n.w.fate, 2) {
		n.save()
	}
	m, err := machine.Restore(bytes.NewReader(n.saved))
	if err != nil {
		n.w.failf("restore: %w", err)
		return
	}
	at := int(m.Index()) //nolint:gosec // an index of this run
	if at > 0 && m.Hash() != n.w.log.hashes[at-1] {
		n.w.failf("restore: another state")
	}
	n.w.tracef("node %d restarts from its snapshot at %d", n.id, at)
	n.w.tally.hit(tallyRestart)
	if at < n.applied {
		n.w.tally.hit(tallyReplayed)
	}
	n.follow()
	n.m, n.applied = m, at
	n.kept, n.since = nil, m.Revision()
	n.check()
	n.catchUp()
}

// save takes a snapshot.
func (n *node) save() {
	var b bytes.Buffer
	if _, err := n.m.Snapshot().WriteTo(&b); err != nil {
		n.w.failf("snapshot: %w", err)
	}
	n.saved = b.Bytes()
}

// lead begins a leadership: all that is committed is applied, then its barrier.
func (n *node) lead(term uint64) {
	n.follow()
	n.term, n.first = term, true
	n.run(func() {
		if n.term != term {
			return
		}
		n.catchUp()
		n.submitAnyway(command{
			data: machine.AppendCommand(nil, &machine.Bootstrap{Cluster: "sim", Floor: 1}),
			done: func(_ any, ok bool) { n.serving = ok && n.term == term },
		})
	})
}

// follow ends what n believed of its leadership: what waits or flies fails, streams are
// cut (SEMANTICS B, package server's duty 6).
func (n *node) follow() {
	n.term, n.serving, n.flying, n.tick = 0, false, 0, false
	n.timer++
	queue, streams := n.queue, n.streams
	n.queue, n.streams, n.gathered, n.pending = nil, nil, nil, nil
	clear(n.bound)
	for _, c := range queue {
		if c.done != nil {
			c.done(nil, false)
		}
	}
	for _, s := range streams {
		s.close(0)
	}
}

// submit takes a command if n serves.
func (n *node) submit(c command) bool {
	if !n.serving {
		return false
	}
	if n.w.Faults.has(faultDouble) && !n.w.healed && chance(n.w.fate, 24) {
		term := n.term
		n.w.after(upTo(n.w.fate, 300*time.Millisecond), func() {
			n.run(func() {
				if n.serving && n.term == term {
					n.w.tally.hit(tallyAgain)
					n.submitAnyway(command{data: c.data})
				}
			})
		})
	}
	n.submitAnyway(c)
	return true
}

func (n *node) submitAnyway(c command) {
	n.queue = append(n.queue, c)
	n.propose()
}

// propose makes an entry of what waits, if none is in flight.
func (n *node) propose() {
	if n.flying > 0 || n.term == 0 || n.paused || len(n.queue) == 0 && !n.tick {
		return
	}
	batch := n.queue
	n.queue, n.tick = nil, false
	p := &proposal{node: n, entry: entry{term: n.term, increment: n.increment()}}
	for i := range batch {
		p.commands = append(p.commands, batch[i].data)
	}
	if n.w.Faults.has(faultDouble) && !n.w.healed && chance(n.w.fate, 16) {
		p.commands = append(p.commands, p.commands...)
		n.w.tally.hit(tallyDouble)
	}
	p.done = func() { n.settle(p, batch) }
	n.flying++
	if n.w.Faults.has(faultUnknown) && !n.w.healed && n.serving && chance(n.w.fate, 64) {
		n.unknown(p)
	}
	n.w.log.propose(p)
}

// increment is the time since n's previous proposal of this term (SEMANTICS A1).
func (n *node) increment() int64 {
	now := n.clock.read(n.w.now)
	d := now - n.proposed
	if n.first {
		d = 0
	}
	n.proposed, n.first = now, false
	return int64(d)
}

// unknown has n lose sight of p, which may commit nevertheless. Its leadership is over;
// the next one, of the same term, begins behind whatever is in flight.
func (n *node) unknown(p *proposal) {
	p.done = nil
	term := n.term
	n.w.tally.hit(tallyUnknown)
	n.w.after(upTo(n.w.fate, 100*time.Millisecond), func() {
		n.run(func() {
			if n.term != term {
				return
			}
			first := n.first
			n.lead(term)
			n.first = first
		})
	})
}

// settle answers a batch that is applied here.
func (n *node) settle(p *proposal, batch []command) {
	if n.term != p.term || n.flying == 0 {
		return
	}
	n.flying--
	for i, c := range batch {
		if c.done != nil {
			c.done(n.results[i], true)
		}
	}
	n.propose()
}
