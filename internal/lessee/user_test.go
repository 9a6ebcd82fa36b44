package lessee

import (
	"errors"
	"fmt"

	"pgregory.net/rapid"
)

// A user is who started a call, and what it was told.
type user struct {
	call  Call
	class Class
	body  *body
	on    *user
	gives []*user // of this hold, and awaits
	is    userState
	ended bool
	told  Verdict // the final outcome
}

type userState uint8

const (
	waiting userState = iota
	holding
	recalling // holding, and asked for it back
	bereft    // told Lost
	done
)

func (w *world) start() {
	u := &user{body: &body{
		kind: bodyKind(rapid.IntRange(int(bodyLock), int(bodyGated)).Draw(w.t, "kind")),
		lock: rapid.IntRange(0, 2).Draw(w.t, "lock"),
	}}
	switch u.body.kind {
	case bodyLock, bodyTry:
		u.class = ClassWait
	case bodyRead:
		u.class = ClassRead
	default:
		u.class = ClassChange
	}
	u.call = w.l.Start(u.class, u.body)
	w.add(u)
}

// anyHold is a call that holds, if there is one, and sometimes any other.
func (w *world) anyHold() *user {
	if len(w.users) == 0 {
		return nil
	}
	on := w.users[rapid.IntRange(0, len(w.users)-1).Draw(w.t, "on")]
	for _, u := range w.users {
		if u.is == holding && rapid.IntRange(0, 7).Draw(w.t, "any") != 0 {
			return u
		}
	}
	return on
}

func (w *world) startOn() {
	on := w.anyHold()
	if on == nil {
		return
	}
	u := &user{class: ClassChange, body: &body{kind: bodyOn}, on: on}
	if rapid.Bool().Draw(w.t, "give") {
		u.body.kind, u.body.open = bodyGive, rapid.Bool().Draw(w.t, "open")
		on.gives = append(on.gives, u)
		u.call = w.l.StartGive(on.call, u.body)
	} else {
		u.call = w.l.StartOn(on.call, u.body)
	}
	w.add(u)
}

// given reports whether the hold was given away; with open set, only by a give whose
// outcome has not come yet.
func (u *user) given(open bool) bool {
	for _, g := range u.gives {
		if g.body.effects > 0 && (g.is != done || !open) {
			return true
		}
	}
	return false
}

func (w *world) add(u *user) {
	w.users = append(w.users, u)
	w.byCall[u.call] = u
}

func (w *world) end() {
	if len(w.users) == 0 {
		return
	}
	u := w.users[len(w.users)-1-rapid.IntRange(0, min(len(w.users)-1, 8)).Draw(w.t, "which")]
	u.ended = true
	for _, c := range w.f.calls {
		if u.body.is(c.body) && c.is == isHeld && u.is == waiting {
			w.seen["end raced a grant"]++
		}
	}
	for _, g := range u.gives {
		if g.is == waiting && u.is == holding && g.body.kind == bodyGive {
			w.seen["ended while it is given"]++
		}
	}
	w.l.End(u.call)
	w.endAwaited(u)
}

func (w *world) userOf(b *body) *user {
	for _, u := range w.users {
		if u.body.is(b) {
			return u
		}
	}
	return nil
}

func (w *world) see(u *user, o Outcome) {
	switch {
	case o.Verdict == Granted && w.l.session.revoked:
		w.seen["granted in a revoked session"]++
	case o.Verdict == Recalled:
		w.seen["recalled"]++
	case o.Verdict == Lost && u.ended:
		w.seen["end raced a revocation"]++
	case o.Verdict == Lost && !u.hasHold():
		w.seen["lost on"]++
	case o.Verdict == Lost:
		w.seen[fmt.Sprintf("lost, reason %d", o.Reason)]++
	case o.Verdict == Unknown:
		w.seen["unknown"]++
	case o.Verdict == Ended && u.body.askedIn == nil:
		w.seen["never sent, ended"]++
	case u.mayBeLetGo(): // its await's
	case o.Verdict == Ended && !u.ended && u.is == recalling:
		w.seen["given and recalled"]++
	case o.Verdict == Ended && !u.ended && u.is == holding:
		w.seen["given"]++
	case o.Verdict == Done && u.body.kind == bodyGive && u.on.is == bereft:
		w.seen["given in a lost session"]++
	case o.Verdict == Refused && u.body.kind == bodyGive && u.on.is == holding:
		w.seen["give refused"]++
	}
}

func (u *user) hear(o Outcome, left bool) error {
	ok := false
	switch o.Verdict {
	case Granted:
		ok = u.is == waiting && !u.ended && u.class == ClassWait && u.mayBeGranted(o)
		u.is = holding
		return unless(ok, "nobody waited")
	case Recalled:
		ok = u.is == holding && !u.ended
		u.is = recalling
		return unless(ok, "nobody held")
	case Lost:
		if u.hasHold() {
			ok = (u.is == holding || u.is == recalling) && (!u.ended || o.Reason == ReasonRevoked) && o.Reason != 0
			u.is = bereft
			return unless(ok, "nobody held")
		}
		ok = u.body.effects == 0 && (u.on.is != holding || u.on.ended || u.on.mayBeLetGo()) && (u.body.kind != bodyAwait || u.neverAwaited())
	case Done:
		ok = u.class == ClassChange && u.body.effects == 1 || u.class == ClassRead && !u.ended
		if u.body.kind == bodyGive {
			ok = ok && (u.on.is == done || u.on.is == bereft || u.on.ended || u.on.mayBeLetGo()) // it was told first
		}
	case Refused:
		ok = u.body.effects == 0 && (u.class == ClassChange || !u.ended)
	case Ended:
		ok = (u.ended || left || u.given(true) || u.mayBeLetGo()) && u.body.effects == 0
	case Unknown:
		ok = u.class == ClassChange
	default:
	}
	ok = ok && u.is != done
	u.is, u.told = done, o.Verdict
	return unless(ok, "it cannot be")
}

func unless(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}
