package main

import (
	"fmt"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What a node does for callers without a stream: it submits their calls, and answers each
// when its request has an outcome. Who is not answered, calls again.

// A callReply answers a unary call.
type callReply struct {
	session park.SessionID // of an Open
	refusal machine.Refusal
	code    park.Code
	token   park.Token
	arm     int
	value   int64
}

func (r callReply) String() string {
	switch {
	case r.refusal != 0:
		return fmt.Sprintf("refused: %d", r.refusal)
	case r.session != 0:
		return fmt.Sprintf("session %d", r.session)
	}
	return (&reply{code: r.code, token: r.token, arm: r.arm, value: r.value}).String()
}

// A pending call waits for the outcome of its request.
type pending struct {
	session park.SessionID
	request string
	answer  func(callReply)
}

func (n *node) call(c machine.Command, answer func(callReply)) {
	if !n.serving {
		return
	}
	if c, ok := c.(*machine.Call); ok && c.Op.Do != machine.DoEnd && c.Op.Do != machine.DoLeave {
		n.pending = append(n.pending, pending{c.Session, c.Request, answer})
	}
	n.submit(command{data: machine.AppendCommand(nil, c), done: func(result any, ok bool) {
		if !ok {
			return
		}
		switch r := result.(type) {
		case machine.Opened:
			answer(callReply{session: r.Session, refusal: r.Refusal})
		case machine.Called:
			if r != (machine.Called{}) {
				answer(callReply{refusal: r.Refusal, code: r.Code})
			}
		}
	}})
}

// answered answers all who wait for a request.
func (n *node) answered(e *machine.Event) {
	if e.Code == park.Recalled {
		return // renewals say so (SEMANTICS B6)
	}
	r := callReply{code: e.Code, token: e.Token, arm: e.Arm, value: e.Value}
	n.pendingOf(e.Session, func(p pending) bool { return p.request == e.Request }, r)
}

// pendingOf answers some who wait for requests of a session.
func (n *node) pendingOf(s park.SessionID, which func(pending) bool, r callReply) {
	var rest []pending
	for _, p := range n.pending {
		if p.session != s || !which(p) {
			rest = append(rest, p)
			continue
		}
		p.answer(r)
	}
	n.pending = rest
}

// sessionEnded answers all who wait for a session that is over.
func (n *node) sessionEnded(e *machine.Event) {
	n.pendingOf(e.Session, func(pending) bool { return true }, callReply{refusal: e.Refusal})
}

func opOfRequest(r *request) machine.Op {
	return machine.Op{Do: r.do, Wait: r.wait, N: r.n, On: r.on, Value: r.value, Heir: r.heir}
}
