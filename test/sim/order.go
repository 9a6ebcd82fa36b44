package main

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// order is what the log says, read a second time in the dumbest way: from the commands it
// knows who asked in which order and who ended what, from the events who was granted. It
// demands that nobody was granted before one who asked earlier and still waits, that what
// is granted is free, and that tokens rise. It knows nothing of how package machine works,
// and not the order of things within one entry: who left in an entry may have left first.
type order struct {
	entry    int
	clock    park.Clock
	sessions map[park.SessionID]*seen
	waits    map[park.ID]*asked
	holds    map[park.ID]*tenure
	changes  map[park.ID]*machine.Op // releases and resizes, until they are done
	queues   map[park.Object][]*asked
	done     map[park.ID]bool      // changes that took effect
	limits   map[park.Object]int64 // the highest of those in force in this entry
	resized  map[park.Object]int64 // in this entry, to what in the end
	tokens   map[park.Object]park.Token
	forced   map[park.SessionID]bool // an operator ended it at once
}

type seen struct {
	epoch uint64
	last  park.Seq
	left  bool
	over  bool

	ttl     park.Clock
	revoked bool
	until   park.Clock // when a revoked one must be over: its renewals are refused
}

// asked is a wait; gone is the entry in which it left.
type asked struct {
	id   park.ID
	wait *machine.Wait
	gone int
}

// tenure is a hold; gone is the entry in which it was given back.
type tenure struct {
	arms  []park.Arm
	token park.Token
	delay int64
	until park.Clock // of the delay of a dead one
	gone  int
}

func (o *order) init() {
	*o = order{
		sessions: map[park.SessionID]*seen{}, waits: map[park.ID]*asked{},
		holds: map[park.ID]*tenure{}, changes: map[park.ID]*machine.Op{}, done: map[park.ID]bool{},
		queues: map[park.Object][]*asked{}, limits: map[park.Object]int64{}, resized: map[park.Object]int64{},
		tokens: map[park.Object]park.Token{}, forced: map[park.SessionID]bool{},
	}
}

// applied reads entry i.
func (o *order) applied(w *world, m *machine.Machine, i int, commands []machine.Command, results []any, events []machine.Event) {
	o.entry, o.clock = i+1, m.Clock()
	for id, t := range o.holds {
		if t.until != 0 && t.until <= o.clock {
			delete(o.holds, id)
		}
	}
	for k, c := range commands {
		switch c := c.(type) {
		case *machine.Attach:
			o.attach(c, events)
		case *machine.Frame:
			o.frame(w, c)
		case *machine.Revoke:
			if results[k] == park.Done {
				o.revoke(w, c)
			}
		}
	}
	ends := 0
	for k := range events {
		e := &events[k]
		switch e.Type {
		case machine.EventOutcome:
			o.outcome(w, e)
		case machine.EventEnded:
			o.ended(w, e.Session)
			ends++
		default:
		}
	}
	if ends > 1 {
		w.tally.hit(tallyEndTogether)
	}
	for id, s := range o.sessions {
		if s.revoked && !s.over && o.clock > s.until {
			w.failf("order: session %v was revoked, and lives past %d", id, s.until)
		}
	}
	o.sweep()
}

func (o *order) revoke(w *world, r *machine.Revoke) {
	if r.Now {
		o.forced[r.Session] = true
		w.tally.hit(tallyRevokedNow)
	}
	if s := o.sessions[r.Session]; !s.revoked {
		s.revoked, s.until = true, o.clock+s.ttl
	}
}

// attach notes the epoch, and lets go of what is not listed.
func (o *order) attach(a *machine.Attach, events []machine.Event) {
	for i := range events {
		e := &events[i]
		if e.Type != machine.EventAttached || e.Instance != a.Instance || e.Epoch != a.Epoch {
			continue
		}
		if a.Session == 0 {
			if o.sessions[e.Session] != nil {
				continue // the Attach is in this entry twice, and opened two
			}
			o.sessions[e.Session] = &seen{epoch: a.Epoch, ttl: park.Clock(a.TTL)}
			continue
		}
		s := o.sessions[a.Session]
		if a.Epoch <= s.epoch {
			continue // the same, twice
		}
		s.epoch = a.Epoch
		for id, x := range o.waits {
			if id.Session == a.Session && !listed(a.Wanted, id.Seq) {
				x.gone = o.entry
			}
		}
		for id, t := range o.holds {
			if id.Session == a.Session && !listed(a.Wanted, id.Seq) {
				t.gone = o.entry
			}
		}
	}
}

func listed(rs []machine.Range, seq park.Seq) bool {
	return slices.ContainsFunc(rs, func(r machine.Range) bool { return r.First <= seq && seq <= r.Last })
}

func (o *order) frame(w *world, f *machine.Frame) {
	s := o.sessions[f.Session]
	if s == nil || s.over {
		return
	}
	if s.epoch != f.Epoch {
		w.tally.hit(tallyLateFrame)
		return
	}
	for i := range f.Ops {
		op := &f.Ops[i]
		if s.left || op.Seq > s.last+1 {
			return
		}
		if op.Seq <= s.last {
			continue
		}
		s.last = op.Seq
		o.op(park.ID{Session: f.Session, Seq: op.Seq}, op)
		s.left = op.Do == machine.DoLeave
	}
}

func (o *order) op(id park.ID, op *machine.Op) {
	switch op.Do {
	case machine.DoWait:
		x := &asked{id: id, wait: &op.Wait}
		o.waits[id] = x
		for _, a := range op.Wait.Arms {
			if q := o.queues[a.On]; len(q) == 0 || q[len(q)-1] != x {
				o.queues[a.On] = append(q, x)
			}
			if o.limits[a.On] == 0 {
				o.limits[a.On] = a.Limit
			}
		}
	case machine.DoEnd:
		target := park.ID{Session: id.Session, Seq: op.To}
		if x := o.waits[target]; x != nil {
			x.gone = o.entry
		}
		if t := o.holds[target]; t != nil {
			t.gone = o.entry
		}
	case machine.DoRelease, machine.DoResize:
		o.changes[id] = op
	default:
	}
}

func (o *order) outcome(w *world, e *machine.Event) {
	id := park.ID{Session: e.Session, Seq: e.Seq}
	x := o.waits[id]
	switch e.Code {
	case park.Granted:
		if t := o.holds[id]; t != nil { // again
			if t.token != e.Token {
				w.failf("order: %v has token %d, and had %d", id, e.Token, t.token)
			}
			w.tally.hit(tallyGrantedAgain)
			return
		}
		if x == nil {
			w.failf("order: %v is granted and does not wait", id)
			return
		}
		o.grant(w, x, e)
	case park.Done:
		o.change(id)
	case park.Over:
		if x != nil && x.gone == 0 {
			w.failf("order: %v waits, and is over", id)
		}
	case park.Recalled:
	default:
		delete(o.changes, id)
		o.leave(x)
	}
}

func (o *order) grant(w *world, x *asked, e *machine.Event) {
	t := &tenure{arms: x.wait.Arms, token: e.Token, delay: x.wait.Delay, gone: x.gone}
	if x.wait.Commit != park.Every {
		t.arms = slices.Clone(t.arms[e.Arm : e.Arm+1])
	} else {
		t.arms = slices.Clone(t.arms)
		if len(t.arms) > 1 {
			w.tally.hit(tallyAllGranted)
		}
	}
	for _, a := range t.arms {
		for _, other := range o.queues[a.On] {
			if other == x {
				break
			}
			if other.gone == 0 {
				w.failf("order: %v is granted %s, and %v asked before", x.id, a.On.Name, other.id)
			}
		}
		o.free(w, x.id, a)
		if a.On.Kind == park.KindLock && !a.Shared {
			if e.Token <= o.tokens[a.On] {
				w.failf("order: token %d of %s follows %d", e.Token, a.On.Name, o.tokens[a.On])
			}
			o.tokens[a.On] = e.Token
		}
	}
	o.leave(x)
	o.holds[x.id] = t
}

// free demands that what is granted can be had beside what is held.
func (o *order) free(w *world, id park.ID, a park.Arm) {
	held := a.N
	for other, t := range o.holds {
		if t.gone != 0 {
			continue
		}
		for _, b := range t.arms {
			if b.On != a.On {
				continue
			}
			held += b.N
			if a.On.Kind == park.KindLock && !(a.Shared && b.Shared) {
				w.failf("order: %v is granted %s, which %v holds", id, a.On.Name, other)
			}
		}
	}
	if a.On.Kind == park.KindSemaphore && held > o.limits[a.On] {
		w.failf("order: %d of %s are held, of %d", held, a.On.Name, o.limits[a.On])
	}
}

// change takes the first word that a change is done.
func (o *order) change(id park.ID) {
	op := o.changes[id]
	if op == nil {
		return
	}
	delete(o.changes, id)
	o.done[id] = true
	if op.Do == machine.DoResize {
		o.limits[op.On] = max(o.limits[op.On], op.N)
		o.resized[op.On] = op.N
		return
	}
	target := park.ID{Session: id.Session, Seq: op.To}
	if t := o.holds[target]; t != nil {
		if t.arms[0].N -= op.N; t.arms[0].N <= 0 {
			delete(o.holds, target)
		}
	}
}

// ended lets go of what a session had, or begins its lock-delays.
func (o *order) ended(w *world, s park.SessionID) {
	o.sessions[s].over = true
	clean := o.forced[s] || o.sessions[s].left
	for id, x := range o.waits {
		if id.Session == s {
			x.gone = o.entry
		}
	}
	for id, t := range o.holds {
		switch {
		case id.Session != s || t.gone != 0:
		case t.delay == 0 || clean:
			t.gone = o.entry
		default:
			t.until = o.clock + park.Clock(t.delay)
			w.tally.hit(tallyLockDelay)
		}
	}
}

// leave takes a wait off its queues.
func (o *order) leave(x *asked) {
	if x == nil {
		return
	}
	delete(o.waits, x.id)
	for _, a := range x.wait.Arms {
		q := o.queues[a.On]
		if i := slices.Index(q, x); i >= 0 {
			o.queues[a.On] = slices.Delete(q, i, i+1)
		}
	}
}

// sweep forgets what left in this entry.
func (o *order) sweep() {
	for _, x := range o.waits {
		if x.gone != 0 {
			o.leave(x)
		}
	}
	for id, t := range o.holds {
		if t.gone != 0 {
			delete(o.holds, id)
		}
	}
	for on, limit := range o.resized {
		o.limits[on] = limit
	}
	clear(o.resized)
}

// believed demands that the log agrees with what a client surely holds.
func (o *order) believed(w *world, x *op) {
	t := o.holds[x.body.id]
	switch {
	case t == nil || t.until != 0:
		w.failf("believed: call %d of client %d holds nothing", x.call, x.u.c.id)
	case len(t.arms) == 1 && x.giving == 0 && t.arms[0].N != x.n:
		w.failf("believed: call %d of client %d holds %d, it believes %d", x.call, x.u.c.id, t.arms[0].N, x.n)
	}
}
