package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	coordv1 "coordd.dev/api/coord/v1"
)

// This file has how things are with an object, in a few words.

// hasHolds reports whether objects of a kind are held by somebody.
func hasHolds(k coordv1.Kind) bool {
	switch k {
	case coordv1.Kind_KIND_WAIT_GROUP, coordv1.Kind_KIND_COND, coordv1.Kind_KIND_MAP:
		return false
	default:
		return true
	}
}

// hadInTurn reports whether who waits for an object gets it when a hold of it ends.
func hadInTurn(k coordv1.Kind) bool {
	return k == coordv1.Kind_KIND_LOCK || k == coordv1.Kind_KIND_SEMAPHORE || k == coordv1.Kind_KIND_ELECTION
}

// stateWord is a state as programs are given it, "" for none.
func stateWord(s coordv1.ObjectState) string {
	if s == coordv1.ObjectState_OBJECT_STATE_UNSPECIFIED {
		return ""
	}
	return enum(s.String(), "OBJECT_STATE_")
}

// state says how things are, and who waits.
func state(d *coordv1.Description) string {
	s := condition(d)
	n := d.GetWaiting()
	if n == 0 {
		return s + ", nobody waits"
	}
	if d.GetKind() == coordv1.Kind_KIND_CHAN && int(n) == len(d.GetWaiters()) {
		return s + ", " + waitingSides(d)
	}
	return fmt.Sprintf("%s, %d waiting", s, n)
}

// waitingSides counts who sends and who receives.
func waitingSides(d *coordv1.Description) string {
	count := map[coordv1.Side]int{}
	for _, p := range d.GetWaiters() {
		count[p.GetSide()]++
	}
	var all []string
	for _, s := range []coordv1.Side{coordv1.Side_SIDE_SEND, coordv1.Side_SIDE_RECEIVE} {
		if count[s] > 0 {
			all = append(all, strconv.Itoa(count[s])+" waiting to "+side(s))
		}
	}
	return strings.Join(all, ", ")
}

// condition is state without who waits.
func condition(d *coordv1.Description) string {
	switch d.GetKind() {
	case coordv1.Kind_KIND_SEMAPHORE:
		return fmt.Sprintf("%d of %s held", d.GetHeld(), plural(int(d.GetLimit()), "permit"))
	case coordv1.Kind_KIND_CHAN:
		return channelState(d)
	case coordv1.Kind_KIND_WAIT_GROUP:
		if d.GetState() == coordv1.ObjectState_OBJECT_STATE_GROUP_CUT {
			return fmt.Sprintf("cut short, counts %d", d.GetHeld())
		}
		return fmt.Sprintf("counts %d", d.GetHeld())
	case coordv1.Kind_KIND_ONCE:
		return onceState(d)
	case coordv1.Kind_KIND_MAP:
		return entries(d.GetHeld()) + inAll(d)
	case coordv1.Kind_KIND_COND:
		return "a cond"
	default:
	}
	switch n := len(d.GetHolders()); {
	case n == 1 && d.GetHolders()[0].GetDelayed() != nil:
		return "held by nobody, in its lock-delay"
	case n == 1:
		return "held"
	case n > 1:
		return fmt.Sprintf("shared by %d", n)
	}
	return "held by nobody"
}

func entries(n int64) string {
	switch n {
	case 0:
		return "no entries"
	case 1:
		return "1 entry"
	default:
		return strconv.FormatInt(n, 10) + " entries"
	}
}

func channelState(d *coordv1.Description) string {
	s := "open"
	switch {
	case d.GetState() == coordv1.ObjectState_OBJECT_STATE_CHANNEL_CLOSED:
		s = "closed"
	case !d.GetStored():
		return "not made yet"
	}
	if d.GetLimit() == 0 {
		return s + ", of no capacity"
	}
	s += fmt.Sprintf(", %d of %s", d.GetHeld(), plural(int(d.GetLimit()), "element"))
	if n := d.GetUnacknowledged(); n > 0 {
		s += fmt.Sprintf(", %d of them not yet acknowledged", n)
	}
	return s + inAll(d)
}

func onceState(d *coordv1.Description) string {
	switch {
	case d.GetState() == coordv1.ObjectState_OBJECT_STATE_ONCE_DONE:
		return "done" + inAll(d)
	case d.GetState() == coordv1.ObjectState_OBJECT_STATE_ONCE_PANICKED:
		return "done, by a panic" + inAll(d)
	case len(d.GetHolders()) > 0:
		return "under way"
	}
	return "not begun"
}

// contents is what an object in a list has in it, "-" of what is only held.
func contents(o *coordv1.ObjectSummary) string {
	s := ""
	switch o.GetKind() {
	case coordv1.Kind_KIND_CHAN:
		s = fmt.Sprintf("%d/%d", o.GetHeld(), o.GetLimit())
	case coordv1.Kind_KIND_WAIT_GROUP:
		s = strconv.FormatInt(o.GetHeld(), 10)
	case coordv1.Kind_KIND_MAP:
		return entries(o.GetHeld())
	default:
	}
	switch o.GetState() {
	case coordv1.ObjectState_OBJECT_STATE_CHANNEL_CLOSED:
		s += " closed"
	case coordv1.ObjectState_OBJECT_STATE_GROUP_CUT:
		s += " cut short"
	case coordv1.ObjectState_OBJECT_STATE_ONCE_DONE:
		s = "done"
	case coordv1.ObjectState_OBJECT_STATE_ONCE_PANICKED:
		s = "panicked"
	default:
	}
	return cmp.Or(strings.TrimSpace(s), "-")
}

// inAll is how many bytes there are, and how they are encoded.
func inAll(d *coordv1.Description) string {
	s := ""
	if n := d.GetBytes(); n > 0 {
		s += ", " + plural(int(n), "byte")
	}
	if c := d.GetCodec(); c != "" {
		s += ", codec " + show(c)
	}
	return s
}
