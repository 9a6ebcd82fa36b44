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
	now      []machine.Change        // of this entry
	givings  map[park.ID]int         // leaderships that are to be handed over, and in which entry
	heirs    map[park.SessionID]int  // to whom, and in which entry

	ledger
}

type seen struct {
	epoch uint64
	last  park.Seq
	left  bool
	over  bool

	requests map[string]*requested // of one without a stream
	ends     int                   // how many of them have ended

	ttl     park.Clock
	revoked bool
	until   park.Clock // when a revoked one must be over: its renewals are refused
}

// requested is a request id. Its key has a seq of the order's own.
type requested struct {
	key   park.ID
	op    *machine.Op // as it came last
	ended bool
	at    int // seen.ends then
}

// asked is a wait, in which entry it came, and in which it left.
type asked struct {
	id   park.ID
	wait *machine.Wait
	came int
	gone int
}

// tenure is a hold; gone is the entry in which it was given back.
type tenure struct {
	id    park.ID // in the changes
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
		givings: map[park.ID]int{}, heirs: map[park.SessionID]int{},
		ledger: ledger{holds: map[lot]*machine.Change{}},
	}
}

// applied reads entry i.
func (o *order) applied(
	w *world, m *machine.Machine, i int, commands []machine.Command, results []any, events []machine.Event, changes []machine.Change,
) {
	o.entry, o.clock, o.now = i+1, m.Clock(), changes
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
		case *machine.Open:
			if r, _ := results[k].(machine.Opened); r.Session != 0 {
				o.sessions[r.Session] = &seen{ttl: park.Clock(c.TTL), requests: map[string]*requested{}}
			}
		case *machine.Call:
			if r, _ := results[k].(machine.Called); r.Refusal == 0 {
				o.call(w, c)
			}
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
	o.ledger.fold(w, slices.Clone(changes))
	o.ledger.agree(w, o.holds)
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
		x := &asked{id: id, wait: &op.Wait, came: o.entry}
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
		o.end(target)
	case machine.DoTransfer:
		o.givings[park.ID{Session: id.Session, Seq: op.To}] = o.entry
		o.heirs[op.Heir] = o.entry
		o.changes[id] = op
	case machine.DoRelease, machine.DoResize, machine.DoProclaim:
		o.changes[id] = op
	default:
	}
}

func (o *order) end(target park.ID) {
	if x := o.waits[target]; x != nil {
		x.gone = o.entry
	}
	if t := o.holds[target]; t != nil {
		t.gone = o.entry
	}
}

func (o *order) outcome(w *world, e *machine.Event) {
	id := park.ID{Session: e.Session, Seq: e.Seq}
	if o.sessions[e.Session].over {
		w.failf("order: call %v has outcome %d after its session's end", id, e.Code)
	}
	if e.Request != "" {
		id = o.answered(w, e)
	}
	x := o.waits[id]
	switch e.Code {
	case park.Granted:
		if t := o.holds[id]; t != nil && (t.gone == 0 || t.token == e.Token) { // again
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
		o.changed(w, id)
	case park.Over:
		if x != nil && x.gone == 0 {
			w.failf("order: %v waits, and is over", id)
		}
	case park.Recalled:
	default:
		if op := o.changes[id]; op != nil && op.Do == machine.DoTransfer {
			w.tally.hit(tallyTransferRefused)
		}
		delete(o.changes, id)
		o.leave(x)
	}
}

// changed takes the first word that a change is done.
func (o *order) changed(w *world, id park.ID) {
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
	t := o.holds[target]
	switch {
	case t == nil && op.Do != machine.DoRelease:
		w.failf("order: change %v of a leadership is done, and %v does not lead", id, target)
	case t == nil:
	case op.Do == machine.DoProclaim:
		t.arms[0].Value = op.Value
	case op.Do == machine.DoTransfer:
		t.gone = o.entry
	default:
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
		case id.Session != s || t.gone != 0 && !o.delays(t.id):
		case t.delay == 0 || clean:
			t.gone = o.entry
		default:
			t.gone, t.until = 0, o.clock+park.Clock(t.delay)
			w.tally.hit(tallyLockDelay)
		}
	}
}

// delays reports whether a hold whose End is in this entry was in its lock-delay before, which
// commands and events do not tell.
func (o *order) delays(id park.ID) bool {
	return slices.ContainsFunc(o.now, func(c machine.Change) bool {
		return c.ID == id && c.Type == machine.ChangeDelayed
	})
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
func (o *order) believed(w *world, x holder) {
	t := o.holds[x.key()]
	n, known := x.permits()
	switch {
	case t == nil || t.until != 0:
		w.failf("believed: %v holds nothing", x)
	case len(t.arms) == 1 && known && t.arms[0].N != n:
		w.failf("believed: %v holds %d, it believes %d", x, t.arms[0].N, n)
	}
}
