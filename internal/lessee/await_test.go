package lessee

import (
	"slices"

	"pgregory.net/rapid"
)

// This file is what the random world knows of StartAwait: a wait that lets go of a hold.

// startAwait starts one on a hold, mostly, of the same lock. A user lets go of a hold once.
func (w *world) startAwait() {
	on := w.anyHold()
	if on == nil || slices.ContainsFunc(on.gives, func(g *user) bool { return g.body.kind == bodyAwait }) {
		return
	}
	b := &body{kind: bodyAwait, lock: on.body.lock}
	b.full = rapid.IntRange(0, 7).Draw(w.t, "full") == 0
	b.again = &body{kind: bodyLock, lock: b.lock}
	u := &user{class: ClassWait, body: b, on: on}
	on.gives = append(on.gives, u)
	u.call = w.l.StartAwait(on.call, b, b.again)
	w.add(u)
}

// endAwaited gives to End the hold that u, an await, was made on: who gives up such a wait,
// or is refused it, does not know whether it was let go of.
func (w *world) endAwaited(u *user) {
	if u.body.kind == bodyAwait {
		u.on.ended = true
		w.l.End(u.on.call)
		w.endAwaited(u.on) // which may be one too
	}
}

// gated reports whether it waits until somebody says so.
func (b *body) gated() bool { return b.kind == bodyGated || b.kind == bodyAwait }

// is reports whether both are what one call asks for: an await is a wait for its lock, with
// another body, once it has let go.
func (b *body) is(other *body) bool {
	return b == other || b != nil && other != nil && (b.again == other || other.again == b)
}

// hasHold reports whether what u is told now is about a hold of its own, not about its start.
func (u *user) hasHold() bool {
	return u.on == nil || u.body.kind == bodyAwait && u.is != waiting
}

// mayBeLetGo reports whether the server took the hold for an await of it, or said of an await
// no more than that it is over, so that the lessee has to end the hold. Its user cannot rely on
// it from the start of an await on.
func (u *user) mayBeLetGo() bool {
	for _, g := range u.gives {
		if g.body.letGo || g.body.kind == bodyAwait && g.body.unheard {
			return true
		}
	}
	return false
}

// awaited reports whether an await of the hold goes on: it, not the user, lets go.
func (u *user) awaited() bool {
	for _, g := range u.gives {
		if g.body.kind == bodyAwait && g.is == waiting {
			return true
		}
	}
	return false
}

// mayBeGranted is what holds when an await is told Granted: if that is the answer to the await
// itself the hold that it let go of is over for its user. One that was asked anew is a wait
// like any other.
func (u *user) mayBeGranted(o Outcome) bool {
	if u.body.kind != bodyAwait || o.Body == any(u.body.again) {
		return true
	}
	return u.body.letGo && (u.on.ended || u.on.is != holding && u.on.is != recalling)
}

// neverAwaited is what holds when an await is told Lost: its hold was lost before it began.
func (u *user) neverAwaited() bool {
	return u.body.askedIn == nil && u.body.again.askedIn == nil
}

func (w *world) seeAwait(u *user, o Outcome) {
	switch {
	case o.Verdict == Granted && o.Body == any(u.body):
		w.seen["awaited"]++
	case o.Verdict == Granted && u.body.letGo:
		w.seen["let go, awaited in the next session"]++
	case o.Verdict == Granted && u.body.askedIn != nil:
		w.seen["await asked anew, having kept its hold"]++
	case o.Verdict == Granted:
		w.seen["hold lost before it was let go"]++
	case o.Verdict == Lost && !u.hasHold():
		w.seen["await of a lost hold"]++
	case o.Verdict == Ended && u.is == waiting && u.body.letGo:
		w.seen["await given up, its hold gone"]++
	case o.Verdict == Refused:
		w.seen["await refused"]++
	}
}

// await is the server's part: it lets go of the hold, and waits for its gate to open.
func (f *fake) await(c *fakeCall, target uint64) {
	hold := f.call(c.s, target)
	if hold.is != isHeld || c.body.full {
		f.answer(c, Refused)
		return
	}
	hold.is, hold.gave = isOver, true
	c.is, c.body.letGo = isParked, true
}
