package session_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/internal/wire"
)

// A ledger is a book that is maps, and that knows when everything falls due.
type ledger struct {
	sessions map[park.SessionID]*account
	calls    map[park.ID]park.Clock // alarms of waits and holds
	clock    park.Clock
}

type account struct {
	ttl    int64
	stamp  park.Clock
	over   bool
	forget park.Clock
	last   park.Seq
	holds  map[park.Seq]session.Hold
	kept   map[park.Seq]session.Kept
	parked map[park.Seq]bool

	unary    bool
	requests []*entry // of a unary one, in the order of their calls
	ended    []*entry // those that ended, in that order
}

func (a *account) due() park.Clock {
	if a.over {
		return a.forget
	}
	return a.stamp + park.Clock(a.ttl)
}

// due lists what falls due by the clock, in order.
func (l *ledger) due() (ids []park.ID) {
	at := maps.Clone(l.calls)
	for s, a := range l.sessions {
		at[park.ID{Session: s}] = a.due()
	}
	for id, due := range at {
		if due <= l.clock {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b park.ID) int { return cmp.Or(cmp.Compare(at[a], at[b]), a.Compare(b)) })
	return ids
}

// A tester has the book and the ledger that it must equal.
type tester struct {
	book   session.Book
	ledger ledger
}

func (r *tester) session(t *rapid.T) (park.SessionID, *account) {
	if len(r.ledger.sessions) == 0 {
		r.open(t)
	}
	ids := slices.Sorted(maps.Keys(r.ledger.sessions))
	s := rapid.SampledFrom(ids).Draw(t, "session")
	return s, r.ledger.sessions[s]
}

func (r *tester) live(t *rapid.T) (park.SessionID, *account) {
	s, a := r.session(t)
	if a.over {
		s = r.open(t)
	}
	return s, r.ledger.sessions[s]
}

func (r *tester) spend(s park.SessionID, a *account) park.ID {
	a.last++
	id := park.ID{Session: s, Seq: a.last}
	r.book.Spend(id)
	return id
}

func (r *tester) open(t *rapid.T) park.SessionID {
	ttl := int64(rapid.IntRange(1, 20).Draw(t, "ttl"))
	unary := rapid.Bool().Draw(t, "unary")
	epoch := uint64(1)
	if unary {
		epoch = 0
	}
	s := r.book.Open(session.Lease{TTL: ttl, Who: "somebody"}, epoch, r.ledger.clock)
	if r.ledger.sessions[s] != nil {
		t.Fatalf("session %v is opened twice", s)
	}
	r.ledger.sessions[s] = &account{
		ttl: ttl, stamp: r.ledger.clock, holds: map[park.Seq]session.Hold{},
		kept: map[park.Seq]session.Kept{}, parked: map[park.Seq]bool{}, unary: unary,
	}
	return s
}

func (r *tester) renew(t *rapid.T) {
	s, a := r.live(t)
	a.stamp = r.ledger.clock
	r.book.Stamp(s, r.ledger.clock)
}

func (r *tester) park(t *rapid.T) {
	s, a := r.live(t)
	id := r.spend(s, a)
	a.parked[id.Seq] = true
	r.book.Park(id)
	if limit := rapid.IntRange(0, 20).Draw(t, "limit"); limit > 0 {
		r.ledger.calls[id] = r.ledger.clock + park.Clock(limit)
		r.book.SetAlarm(r.ledger.calls[id], id)
	}
}

func (r *tester) unpark(t *rapid.T) {
	s, a := r.session(t)
	for _, seq := range slices.Sorted(maps.Keys(a.parked)) {
		r.leave(park.ID{Session: s, Seq: seq})
		return
	}
}

func (r *tester) leave(id park.ID) {
	delete(r.ledger.sessions[id.Session].parked, id.Seq)
	r.book.Unpark(id)
	if at, ok := r.ledger.calls[id]; ok {
		delete(r.ledger.calls, id)
		r.book.StopAlarm(at, id)
	}
}

func (r *tester) grant(t *rapid.T) {
	s, a := r.live(t)
	id := r.spend(s, a)
	h := session.Hold{Token: park.Token(id.Seq), Terms: park.NewTerms(park.Terms{
		Delay: int64(rapid.IntRange(0, 100).Draw(t, "delay")),
	})}
	a.holds[id.Seq] = h
	r.book.Grant(id, h)
}

func (r *tester) drop(t *rapid.T) {
	s, a := r.session(t)
	seq := park.Seq(rapid.IntRange(1, 8).Draw(t, "seq"))
	h, held := a.holds[seq]
	if h.Free != 0 {
		return // its alarm would have to be stopped
	}
	delete(a.holds, seq)
	if _, ok := r.book.Drop(park.ID{Session: s, Seq: seq}); ok != held {
		t.Fatalf("Drop(%v/%d) returned %v", s, seq, ok)
	}
}

func (r *tester) keep(t *rapid.T) {
	s, a := r.live(t)
	if a.unary {
		return // its results are those of its requests
	}
	id := r.spend(s, a)
	a.kept[id.Seq] = session.Kept{
		Code: park.Done, Value: int64(id.Seq), Arm: rapid.Uint16Range(0, 2).Draw(t, "arm"), Data: drawData(t),
	}
	r.book.Keep(id, a.kept[id.Seq])
}

func (r *tester) ack(t *rapid.T) {
	s, a := r.session(t)
	first, last := park.Seq(rapid.IntRange(0, 8).Draw(t, "first")), park.Seq(rapid.IntRange(0, 20).Draw(t, "last"))
	r.book.Ack(s, first, last)
	maps.DeleteFunc(a.kept, func(seq park.Seq, _ session.Kept) bool { return first <= seq && seq <= last })
}

// end ends a session as the machine does: waits leave, holds go or begin their delay.
func (r *tester) end(s park.SessionID) {
	a := r.ledger.sessions[s]
	for _, seq := range slices.Sorted(maps.Keys(a.parked)) {
		r.leave(park.ID{Session: s, Seq: seq})
	}
	a.requests, a.ended = nil, nil
	a.over, a.forget = true, r.ledger.clock+park.Clock(session.Grace)
	for seq, h := range a.holds {
		id := park.ID{Session: s, Seq: seq}
		delay := park.Clock(h.Terms.Get().Delay)
		if delay == 0 {
			delete(a.holds, seq)
			r.book.Drop(id)
			continue
		}
		h.Free = r.ledger.clock + delay*park.Clock(session.Grace/50)
		a.holds[seq] = h
		a.forget = max(a.forget, h.Free+1)
		r.book.Change(id, h)
		r.book.SetAlarm(h.Free, id)
		r.ledger.calls[id] = h.Free
	}
	r.book.End(s, r.ledger.clock)
}

// advance moves the clock and deals with what falls due, in the ledger's order.
func (r *tester) advance(t *rapid.T) {
	step := rapid.SampledFrom([]int64{1, 5, 20, session.Grace / 2, 2 * session.Grace}).Draw(t, "step")
	r.ledger.clock += park.Clock(step)
	for {
		want := r.ledger.due()
		got, ok := r.book.Due(r.ledger.clock)
		if ok != (len(want) > 0) || ok && got != want[0] {
			t.Fatalf("at %d %v falls due (%v), should be %v", r.ledger.clock, got, ok, want)
		}
		if !ok {
			break
		}
		switch a := r.ledger.sessions[got.Session]; {
		case got.Seq != 0 && a.parked[got.Seq]:
			r.leave(got)
		case got.Seq != 0:
			r.book.StopAlarm(r.ledger.calls[got], got)
			delete(r.ledger.calls, got)
			delete(a.holds, got.Seq)
			r.book.Drop(got)
		case a.over:
			delete(r.ledger.sessions, got.Session)
			r.book.Forget(got.Session)
		default:
			r.end(got.Session)
		}
	}
	for _, a := range r.ledger.sessions {
		if at, ok := r.book.NextDue(); !ok || at > a.due() {
			t.Fatalf("the next thing is due at %d %v, a session at %d", at, ok, a.due())
		}
	}
}

// restore goes on with a book that was saved and restored.
func (r *tester) restore(t *rapid.T) {
	var records [][]byte
	emit := func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	}
	if err := errors.Join(r.book.Save(emit), r.book.SaveRequests(emit)); err != nil {
		t.Fatal(err)
	}
	again := session.NewBook()
	take := func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	}
	if err := errors.Join(again.Restore(take), again.RestoreRequests(take)); err != nil {
		t.Fatal(err)
	}
	for s, a := range r.ledger.sessions {
		for seq := range a.parked {
			id := park.ID{Session: s, Seq: seq}
			if at, ok := r.ledger.calls[id]; ok {
				again.SetAlarm(at, id) // as the machine does, which knows the waits
			}
		}
	}
	if again.Sum() != r.book.Sum() {
		t.Fatal("the restored book has another hash")
	}
	r.book = again
}

func (r *tester) check(t *rapid.T) {
	if err := r.book.Check(r.ledger.calls); err != nil {
		t.Fatal(err)
	}
	live, holds := int64(0), int64(0)
	for s, a := range r.ledger.sessions {
		st, ok := r.book.State(s)
		open := len(a.holds) + len(a.kept) + len(a.parked)
		if !ok || st.Last != a.last || int(st.Open) != open || st.Over != a.over || st.Stamp != a.stamp {
			t.Fatalf("session %v is %+v %v, should have %d open calls: %+v", s, st, ok, open, a)
		}
		if _, ok := r.book.Live(s); ok == a.over {
			t.Fatalf("session %v: live %v, over %v", s, ok, a.over)
		} else if ok {
			live++
		}
		holds += int64(len(a.holds))
		r.checkRequests(t, s, a)
		if got := r.book.Who(s); got != "somebody" {
			t.Fatalf("session %v is of %q", s, got)
		}
		if got := maps.Collect(r.book.HoldsOf(s)); len(got) != len(a.holds) {
			t.Fatalf("session %v holds %v, should be %v", s, got, a.holds)
		}
		bytes := 0
		for _, k := range a.kept {
			bytes += len(k.Data)
		}
		if got := r.book.Full(s); got != (!a.unary && bytes >= session.MaxBytes) {
			t.Fatalf("session %v has results of %d bytes, and is full: %v", s, bytes, got)
		}
		for id, k := range r.book.KeptOf(s) {
			if a.kept[id.Seq] != k {
				t.Fatalf("%v is kept as %v, should be %v", id, k, a.kept[id.Seq])
			}
		}
	}
	if n := len(maps.Collect(r.book.Sessions())); n != len(r.ledger.sessions) {
		t.Fatalf("%d sessions, should be %d", n, len(r.ledger.sessions))
	}
	if s, h := r.book.Len(); s != live || h != holds {
		t.Fatalf("Len is %d %d, should be %d %d", s, h, live, holds)
	}
}

// A book is a ledger. That its alarms may be early is not to be seen in what falls due,
// nor that they were restored; and a copy stays what it was.
func TestBookIsALedger(t *testing.T) { rapid.Check(t, anyBook) }

// FuzzBook is TestBookIsALedger, guided by coverage.
func FuzzBook(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyBook)) }

func anyBook(t *rapid.T) {
	r := &tester{session.NewBook(), ledger{
		sessions: map[park.SessionID]*account{}, calls: map[park.ID]park.Clock{},
	}}
	copied, sum := r.book.Copy(), r.book.Sum()
	t.Repeat(map[string]func(*rapid.T){
		"open": func(t *rapid.T) { r.open(t) }, "renew": r.renew, "park": r.park, "unpark": r.unpark, "grant": r.grant,
		"ask": r.ask, "conclude": r.conclude, "hammer": r.hammer,
		"drop": r.drop, "keep": r.keep, "ack": r.ack, "advance": r.advance, "restore": r.restore,
		"end":  func(t *rapid.T) { s, _ := r.live(t); r.end(s) },
		"copy": func(*rapid.T) { copied, sum = r.book.Copy(), r.book.Sum() },
		"": func(t *rapid.T) {
			r.check(t)
			if copied.Sum() != sum {
				t.Fatal("a copy has changed")
			}
		},
	})
}

// A renewal moves the alarm only if it is near; else the one who asks what is due does.
func TestAlarmsAreLazy(t *testing.T) {
	b := session.NewBook()
	s := b.Open(session.Lease{TTL: 10}, 1, 0)
	stands := func(when string, want park.Clock) {
		t.Helper()
		if at, _ := b.NextDue(); at != want {
			t.Errorf("%s the alarm stands at %d, should at %d", when, at, want)
		}
	}
	b.Stamp(s, 5)
	stands("renewed with half of its TTL to go", 10)
	if id, ok := b.Due(14); ok {
		t.Errorf("%v is due at 14", id)
	}
	stands("met early", 15)
	b.Stamp(s, 11)
	stands("renewed with less to go", 21)
	if id, ok := b.Due(20); ok {
		t.Errorf("%v is due at 20", id)
	}
	if id, ok := b.Due(21); !ok || id.Session != s {
		t.Errorf("%v %v is due at 21", id, ok)
	}
	if b.Overdue(s, 20) || !b.Overdue(s, 21) {
		t.Error("a lease of 10 that was renewed at 11 ends at 21")
	}
}

// A snapshot that has a session's state and not its lease is none that was saved.
func TestRestoreRefusesStateWithoutLease(t *testing.T) {
	records := [][]byte{{1}, {0}, {1}, append([]byte{1}, session.State{Epoch: 1}.Append(nil)...), {0}, {0}}
	b := session.NewBook()
	err := b.Restore(func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	})
	if err == nil || !strings.Contains(err.Error(), "no lease") {
		t.Errorf("restored with %v", err)
	}
}

func TestRestoreRefusesSessionZero(t *testing.T) {
	lease := append(wire.AppendUint(nil, uint8(0)), session.Lease{}.Append(nil)...)
	records := [][]byte{{1}, {1}, lease} // the last id, how many leases, each
	b := session.NewBook()
	err := b.Restore(func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	})
	if err == nil {
		t.Error("it is taken")
	}
}
