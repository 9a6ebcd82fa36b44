package main

import (
	"time"

	"coordd.dev/internal/lessee"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// attach takes the first frame of a stream.
func (n *node) attach(s *stream, a lessee.Attach) {
	c := &machine.Attach{
		Session: park.SessionID(a.Session), Secret: machine.Secret(a.Secret),
		Instance: s.client.instance, Epoch: a.Epoch, Wanted: ranges(a.Wanted),
		Replaces: park.SessionID(a.Replaces), ReplacesSecret: machine.Secret(a.ReplacesSecret),
	}
	if a.Session == 0 {
		c.TTL = int64(s.client.ttl)
	}
	n.streams = append(n.streams, s)
	if !n.submit(command{data: machine.AppendCommand(nil, c), done: s.orClose}) {
		s.close(0)
	}
}

func ranges(rs []lessee.Range) (out []machine.Range) {
	for _, r := range rs {
		out = append(out, machine.Range{First: park.Seq(r.First), Last: park.Seq(r.Last)})
	}
	return out
}

// frame takes a later one.
func (n *node) frame(s *stream, f lessee.Frame) {
	if s.session == 0 {
		n.w.failf("client %d sends ops before it is attached", s.client.id)
		return
	}
	c := &machine.Frame{Session: s.session, Epoch: f.Epoch, Acked: ranges(f.Acks)}
	for _, op := range f.Ops {
		c.Ops = append(c.Ops, opOf(op))
	}
	if n.w.Faults.has(faultDrop) && !n.w.healed && chance(n.w.fate, 32) {
		// Refused for load, and what comes behind it is not.
		n.w.tally.hit(tallyDropped)
		n.w.after(upTo(n.w.net, 50*time.Millisecond), func() { n.run(func() { s.close(0) }) })
		return
	}
	if !n.submit(command{data: machine.AppendCommand(nil, c), done: s.orClose}) {
		s.close(0)
	}
}

func opOf(op lessee.Op) machine.Op {
	m := machine.Op{Seq: park.Seq(op.Seq), To: park.Seq(op.Target)}
	switch op.Do {
	case lessee.DoBody:
		body, _ := op.Body.(*request)
		m = opOfRequest(body)
		m.Seq, m.To = park.Seq(op.Seq), park.Seq(op.Target)
	case lessee.DoEnd:
		m.Do = machine.DoEnd
	case lessee.DoNoop:
		m.Do = machine.DoNoop
	case lessee.DoLeave:
		m.Do = machine.DoLeave
	}
	return m
}

// orClose closes the stream if a command of it failed.
func (s *stream) orClose(_ any, ok bool) {
	if !ok {
		s.close(0)
	}
}

// renew gathers a renewal with others (SEMANTICS A3). answer is not called if the outcome
// is unknown. That the secret is the session's the simulation takes for granted.
func (n *node) renew(session park.SessionID, ttl time.Duration, answer func(machine.Renewal)) {
	if !n.serving {
		return
	}
	n.gathered = append(n.gathered, renewal{session, answer})
	if len(n.gathered) > 1 {
		return
	}
	term := n.term
	n.w.after(n.clock.real(min(ttl/20, 100*time.Millisecond)), func() {
		n.run(func() {
			if n.term == term {
				n.flush()
			}
		})
	})
}

func (n *node) flush() {
	all := n.gathered
	n.gathered = nil
	c := &machine.Renew{}
	for _, r := range all {
		c.Sessions = append(c.Sessions, r.session)
	}
	n.submit(command{data: machine.AppendCommand(nil, c), done: func(result any, ok bool) {
		answers, _ := result.([]machine.Renewal)
		if !ok {
			return
		}
		for i, r := range all {
			r.answer(answers[i])
		}
	}})
}

// setTimer has the leader make an entry when the next thing falls due (SEMANTICS A2).
func (n *node) setTimer() {
	due, ok := n.m.NextDue()
	if !ok || n.term == 0 {
		return
	}
	n.timer++
	timer := n.timer
	n.w.after(n.clock.real(time.Duration(due-n.m.Clock())), func() {
		n.run(func() {
			if n.timer == timer && n.term != 0 {
				n.tick = true
				n.propose()
			}
		})
	})
}

// dispatch hands events to the streams of this node, in their order (SEMANTICS B5).
func (n *node) dispatch(events []machine.Event) {
	if len(n.streams) == 0 && len(n.pending) == 0 {
		return
	}
	for i := range events {
		e := &events[i]
		switch e.Type {
		case machine.EventAttached, machine.EventRefused:
			n.attached(e)
		case machine.EventOutcome:
			if e.Request != "" {
				n.answered(e)
			} else if s := n.bound[e.Session]; s != nil {
				s.tell(answerOf(e))
			}
		case machine.EventCut:
			if s := n.bound[e.Session]; s != nil && s.epoch == e.Epoch {
				if e.Refusal == machine.RefusedGap {
					n.w.tally.hit(tallyGap)
				}
				s.close(e.Refusal)
			}
		case machine.EventEnded:
			n.sessionEnded(e)
			if s := n.bound[e.Session]; s != nil {
				s.close(e.Refusal)
			}
		}
	}
}

// attached gives an answer to the stream that waits for it, if it is here.
func (n *node) attached(e *machine.Event) {
	var s *stream
	for _, x := range n.streams {
		if x.client.instance == e.Instance && x.epoch == e.Epoch && x.session == 0 {
			s = x
		}
	}
	switch {
	case s == nil:
	case e.Type == machine.EventRefused:
		s.close(e.Refusal)
	default:
		if old := n.bound[e.Session]; old != nil {
			old.close(machine.RefusedOldEpoch)
		}
		n.bound[e.Session] = s
		s.session = e.Session
		s.answer(attachedOf(e))
	}
}

func attachedOf(e *machine.Event) lessee.Attached {
	a := lessee.Attached{
		Session: uint64(e.Session), Last: uint64(e.Last),
		ReplacedLast: uint64(e.ReplacedLast), ReplacedGone: e.ReplacedGone,
	}
	for _, o := range e.Replaced {
		a.Replaced = append(a.Replaced, lessee.Answer{
			Seq: uint64(o.Seq), Verdict: verdictOf(o.Code),
			Body: &reply{code: o.Code, value: o.Value},
		})
	}
	return a
}

func answerOf(e *machine.Event) lessee.Answer {
	return lessee.Answer{
		Seq: uint64(e.Seq), Verdict: verdictOf(e.Code),
		Body: &reply{e.Code, e.Token, e.Arm, e.Value, e.Description},
	}
}

// A reply is what the wire's Outcome is.
type reply struct {
	code        park.Code
	token       park.Token
	arm         int
	value       int64
	description *machine.Description
}

func verdictOf(c park.Code) lessee.Verdict {
	switch c {
	case park.Granted:
		return lessee.Granted
	case park.Done:
		return lessee.Done
	case park.Over:
		return lessee.Over
	case park.Ended:
		return lessee.Ended
	case park.Recalled:
		return lessee.Recalled
	case park.Revoked:
		return lessee.Lost
	default:
		return lessee.Refused
	}
}
