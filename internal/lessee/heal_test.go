package lessee

import (
	"errors"
	"fmt"
	"time"
)

// check is what holds after every step.
func (w *world) check() {
	for _, o := range w.l.Outcomes() {
		w.outcome(o)
	}
	if err := w.l.check(); err != nil {
		w.t.Fatal(err)
	}
	id, deadline := w.l.Session()
	if id == 0 || w.now() >= deadline {
		return
	}
	s := w.f.session(id)
	if s.over && s.byUs && w.l.leave == nil {
		w.t.Fatalf("session %d is over at %v, its client believes in it until %v", id, w.now(), deadline)
	}
	for _, u := range w.users {
		if u.is == holding && !u.ended && !s.over && !w.holds(s, u.body) && !u.given(true) && !u.mayBeLetGo() {
			w.t.Fatalf("call %d is believed held, and is not", u.call)
		}
	}
}

// holds reports whether the server has the hold, or an operator took it.
func (w *world) holds(s *fakeSession, b *body) bool {
	for _, c := range w.f.calls {
		if c.s == s && b.is(c.body) && (c.is == isHeld || c.is == isKept && c.kept == Lost) {
			return true
		}
	}
	return false
}

// heal ends all faults and sees that everybody gets an answer, that nothing is left held
// or waiting, and that nothing is remembered.
func (w *world) heal() {
	for _, u := range w.users {
		u.body.open = true
	}
	w.f.grant()
	for range 600 {
		w.pass(100 * time.Millisecond)
		w.calm()
		for _, u := range w.users {
			if (u.is == holding || u.is == recalling || u.is == bereft) && !u.awaited() {
				u.ended = true
				w.l.End(u.call)
			}
		}
	}
	w.calm()
	for _, u := range w.users {
		if u.is != done {
			w.t.Fatalf("call %d of class %d has state %d for ever", u.call, u.class, u.is)
		}
		if effects := u.body.effects; u.told == Done && u.class == ClassChange && effects != 1 ||
			u.told != Done && u.told != Unknown && effects != 0 {
			w.t.Fatalf("call %d was told %d and took effect %d times", u.call, u.told, effects)
		}
	}
	if n := len(w.l.calls) + len(w.l.session.ops) + w.l.queue.n + w.l.redo.n + w.l.parked.n + len(w.l.limbo); n != 0 {
		w.t.Fatalf("%d things are remembered for ever", n)
	}
	for _, c := range w.f.calls {
		if c.is == isParked || c.is == isHeld {
			w.t.Fatalf("seq %d of session %d is left on the server", c.seq, c.s.id)
		}
	}
	w.leave()
}

func (w *world) leave() {
	u := &user{class: 0, body: &body{}, ended: true}
	u.call = w.l.Leave()
	w.add(u)
	for range 4 {
		w.calm()
	}
	if u.is != done {
		w.t.Fatal("Leave is never over")
	}
	if id, _ := w.l.Session(); id != 0 {
		w.t.Fatal("a session outlives Leave")
	}
}

// calm is a turn without faults: the shell does what is to be done, all is delivered.
func (w *world) calm() {
	w.shell(1000)
	for len(w.ups) > 0 {
		w.deliver(0)
		w.check()
	}
	for len(w.downs) > 0 {
		w.hear(0)
		w.check()
	}
	w.shell(1000)
	w.check()
}

// check verifies what doc.go says of the lessee's own state.
func (l *Lessee) check() error {
	holds, onList := 0, map[*call]bool{}
	for _, q := range []*list{&l.queue, &l.redo, &l.parked} {
		n := 0
		for c := q.first; c != nil; c = c.next {
			if n++; c.in != q || onList[c] || l.calls[c.id] != c {
				return fmt.Errorf("call %d is dead or on two lists", c.id)
			}
			onList[c] = true
		}
		if n != q.n {
			return fmt.Errorf("a list of %d says that it has %d", n, q.n)
		}
	}
	want := map[uint64]*call{}
	for _, c := range l.calls {
		if c.phase == sent || c.phase == held {
			want[c.seq] = c
			if c.endSeq != 0 {
				want[c.endSeq] = c
			}
		}
		if c.phase == held {
			holds++
		}
		if c.phase == queued && !onList[c] {
			return fmt.Errorf("call %d is queued nowhere", c.id)
		}
	}
	if len(want) != len(l.session.ops) || holds != l.session.held {
		return fmt.Errorf("%d ops, should be %d; %d held, counted %d", len(l.session.ops), len(want), holds, l.session.held)
	}
	for seq, c := range want {
		if l.session.ops[seq] != c || seq > l.session.lastSeq {
			return fmt.Errorf("op %d is not call %d's", seq, c.id)
		}
	}
	if l.live() && len(l.limbo) > 0 {
		return errors.New("a live session and changes in limbo")
	}
	return nil
}
