package main

import (
	"context"
	"fmt"
	"strconv"

	coordv1 "coordd.dev/api/coord/v1"
)

// explainOther is explain of what is not held in turn: channels, wait groups, onces, conds, maps.
func (e *explaining) explainOther(x *explanation, r *coordv1.ExplainObjectResponse) {
	d := r.GetDescription()
	x.say("%s %s: %s.", capital(kindWord(d.GetKind())), wholly(d.GetName()), condition(d))
	for i, p := range d.GetHolders() {
		if i == told {
			x.say("%s not told of here; see coordctl describe.", plural(len(d.GetHolders())-told, "other hold")+" "+isAre(len(d.GetHolders())-told))
			break
		}
		what := "runs its function"
		if d.GetKind() == coordv1.Kind_KIND_CHAN {
			what = "has an element that it has not acknowledged"
		}
		x.say("%s %s%s.", who(p), what, since(p))
		x.alive(p)
	}
	for _, s := range []coordv1.Side{coordv1.Side_SIDE_UNSPECIFIED, coordv1.Side_SIDE_SEND, coordv1.Side_SIDE_RECEIVE} {
		x.waiters(d, s)
	}
	if d.GetWaiting() == 0 {
		x.say("Nobody waits for it.")
	}
	if t := r.GetHoldTimes(); t != nil {
		x.say("The last %s lasted %s (median), nine in ten no longer than %s, the longest %s.", plural(int(t.GetCount()), "hold"),
			short(t.GetMedian().AsDuration()), short(t.GetP90().AsDuration()), short(t.GetLongest().AsDuration()))
	}
	e.nextOther(x, d)
}

// waiters says who waits on one side.
func (x *explanation) waiters(d *coordv1.Description, of coordv1.Side) {
	n := 0
	var first *coordv1.Party
	for _, p := range d.GetWaiters() {
		if p.GetSide() != of {
			continue
		}
		if n++; first == nil {
			first = p
		}
	}
	if n == 0 {
		return
	}
	s := strconv.Itoa(n) + " wait"
	if n == 1 {
		s += "s"
	}
	if of != coordv1.Side_SIDE_UNSPECIFIED {
		s += " to " + side(of)
	}
	x.say("%s; first is %s, which has waited %s.", s, who(first), short(first.GetFor().AsDuration()))
}

// nextOther says what can be done.
func (e *explaining) nextOther(x *explanation, d *coordv1.Description) {
	name := wholly(d.GetName())
	kind := kindWord(d.GetKind())
	switch {
	case len(d.GetHolders()) > 0:
		x.Command = e.revoke(d.GetHolders()[0].GetSessionId())
		x.say("Wait; or take it away, with all that its session holds, so that another has it: %s", x.Command)
	case d.GetState() == coordv1.ObjectState_OBJECT_STATE_GROUP_CUT:
		x.say("A session ended before it was done: whoever waits is told so. Name the next round otherwise.")
	case d.GetKind() == coordv1.Kind_KIND_CHAN && d.GetLimit() > 0 && d.GetHeld() >= d.GetLimit():
		x.say("It is full: senders wait until somebody receives.")
	case d.GetKind() == coordv1.Kind_KIND_CHAN && !d.GetStored() && d.GetWaiting() > 0:
		x.say("Those who wait leave the capacity to others: it is made by the first who gives one.")
	case d.GetKind() == coordv1.Kind_KIND_WAIT_GROUP && d.GetHeld() > 0:
		x.say("Who waits goes on when it counts nothing.")
	case d.GetKind() == coordv1.Kind_KIND_COND && d.GetWaiting() > 0:
		x.say("Who waits goes on after a signal, once it has its lock again; a program gives it.")
	case d.GetWaiting() == 0 && d.GetStored():
		x.say("It stays until it is deleted: coordctl delete %s %s", kind, name)
	}
}

// chainMost is how many waits of a chain are told.
const chainMost = 8

// chain says which waits stand behind the first who waits for an object: what it wants is kept until
// another wait has ended, which waits in turn. A node that cannot tell says nothing.
func (e *explaining) chain(ctx context.Context, d *coordv1.Description) (sentences []string) {
	if d.GetWaiting() == 0 || !hadInTurn(d.GetKind()) {
		return nil
	}
	r, err := e.nodes.waitGraph(ctx, e.what, &coordv1.GetWaitGraphRequest{Kind: d.GetKind(), Name: d.GetName(), Limit: graphEdges})
	if err != nil || len(r.GetCalls()) == 0 {
		return nil
	}
	g := waitGraphOf(r)
	seen := map[callID]bool{}
	for at := idOf(r.GetCalls()[0]); len(seen) < chainMost; {
		hold, keeper := g.keeperOf(at)
		if keeper == nil || seen[idOf(keeper)] {
			break
		}
		at = idOf(keeper)
		seen[at] = true
		s := fmt.Sprintf("%s is kept until %s has %s, for which it has waited %s", capital(refsWords(hold.GetObjects())),
			who(keeper.GetParty()), refsWords(keeper.GetObjects()), short(keeper.GetParty().GetFor().AsDuration()))
		if by := g.holderOf(at); by != nil {
			s += "; that is held by " + who(by.GetParty())
		}
		sentences = append(sentences, s+".")
	}
	for _, note := range graphNotes(r) {
		sentences = append(sentences, capital(note)+".")
	}
	return sentences
}

// keeperOf is the first hold in the way of a wait that is kept, and until which wait; nil if none
// is.
func (g waitGraph) keeperOf(wait callID) (hold, keeper *coordv1.WaitGraphCall) {
	for _, e := range g.from[wait] {
		for _, kept := range g.from[toOf(e)] {
			if kept.GetType() == coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_KEPT {
				return g.calls[toOf(e)], g.calls[toOf(kept)]
			}
		}
	}
	return nil, nil
}

// holderOf is the first who holds what a wait wants, nil if nobody does.
func (g waitGraph) holderOf(wait callID) *coordv1.WaitGraphCall {
	for _, e := range g.from[wait] {
		if e.GetType() == coordv1.WaitGraphEdgeType_WAIT_GRAPH_EDGE_TYPE_HELD {
			return g.calls[toOf(e)]
		}
	}
	return nil
}
