package server

import (
	"fmt"
	"slices"
	"sync"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A tally is how many arms of waits each client has in the cluster, as the node knows that leads:
// what was parked under another leader it does not count. It is told of a wait before that is in
// the log, and of its end by the log.
type tally struct {
	most int // of a client

	mu    sync.Mutex
	arms  map[consumer]int
	waits map[park.SessionID]map[waitKey]counted // of sessions that have some
}

// A waitKey is a call of a session: with a stream or without.
type waitKey struct {
	seq     park.Seq
	request string
}

// A counted is a wait of so many arms, or an op that ends another one: of that the log tells
// nothing else.
type counted struct {
	consumer consumer
	arms     int
	ends     park.Seq
}

func newTally() *tally {
	return &tally{arms: make(map[consumer]int), waits: make(map[park.SessionID]map[waitKey]counted)}
}

// park counts a wait, and is false if its client has too many. One that is counted joins itself.
func (t *tally) park(s park.SessionID, key waitKey, of consumer, arms int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.waits[s][key]; ok && old.arms > 0 {
		return true
	}
	if t.arms[of]+arms > t.most {
		return false
	}
	t.arms[of] += arms
	t.put(s, key, counted{consumer: of, arms: arms})
	return true
}

// ending expects that the op of a seq ends another one.
func (t *tally) ending(s park.SessionID, seq, ends park.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.waits[s][waitKey{seq: ends}]; ok {
		t.put(s, waitKey{seq: seq}, counted{ends: ends})
	}
}

// put is called with mu held.
func (t *tally) put(s park.SessionID, key waitKey, c counted) {
	if t.waits[s] == nil {
		t.waits[s] = make(map[waitKey]counted)
	}
	t.waits[s][key] = c
}

// answered forgets what events say of one session's calls.
func (t *tally) answered(events []machine.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := events[0].Session
	for i := range events {
		if len(t.waits[s]) == 0 {
			return
		}
		key := waitKey{seq: events[i].Seq}
		if r := events[i].Request; r != "" {
			key = waitKey{request: r}
		}
		t.drop(s, key)
	}
}

// forget is the end of a wait that never was in the log.
func (t *tally) forget(s park.SessionID, key waitKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(s, key)
}

// drop is called with mu held.
func (t *tally) drop(s park.SessionID, key waitKey) {
	c, ok := t.waits[s][key]
	if !ok {
		return
	}
	delete(t.waits[s], key)
	if c.ends != 0 {
		t.drop(s, waitKey{seq: c.ends})
	}
	if len(t.waits[s]) == 0 {
		delete(t.waits, s)
	}
	if t.arms[c.consumer] -= c.arms; t.arms[c.consumer] == 0 {
		delete(t.arms, c.consumer)
	}
}

// keep forgets those waits of a session that its Attach did not list: the machine has let go of
// them, and tells nobody.
func (t *tally) keep(s park.SessionID, listed []machine.Range) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.waits[s] { // order-free: each is looked at by itself
		in := func(r machine.Range) bool { return r.First <= key.seq && key.seq <= r.Last }
		if key.seq != 0 && !slices.ContainsFunc(listed, in) {
			t.drop(s, key)
		}
	}
}

// ended forgets a session.
func (t *tally) ended(s park.SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.waits[s] { // order-free: all are dropped
		t.drop(s, key)
	}
}

// reset forgets everything: the machine is another one.
func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.arms)
	clear(t.waits)
}

func (t *tally) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waits) == 0
}

// waitsFor says how many arms an op may park.
func waitsFor(op *machine.Op) int {
	if op.Wait.Try || op.Do != machine.DoWait && op.Do != machine.DoAwait {
		return 0
	}
	return len(op.Wait.Arms)
}

// boundCall counts a call of a session without a stream, or refuses it.
func (s *Server) boundCall(of consumer, what string, c *machine.Call) error {
	arms := waitsFor(&c.Op)
	t := s.cfg.Replica.hub.tally
	if of == (consumer{}) || arms == 0 || t.park(c.Session, waitKey{request: c.Request}, of, arms) {
		return nil
	}
	return errLimit(what, limitClient, fmt.Sprintf("%s waits for %d things, as many as it may; end some waits, or retry later", of, t.most))
}

// boundWaits has those waits of a frame refuse that are too many of the session's client, and
// returns which it counted. What lets go stays, and so does all where nodes are not all of a version
// that knows such an op.
func (a *attachment) boundWaits(f *machine.Frame) (counted []park.Seq) {
	t := a.server.cfg.Replica.hub.tally
	of := a.server.consumerOfAsker(askerOf(a.grpc.Context()))
	if of == (consumer{}) || a.server.cfg.Replica.State().Version < machine.VersionOfRefuse {
		return nil
	}
	for i := range f.Ops {
		op := &f.Ops[i]
		if op.Do == machine.DoEnd {
			t.ending(a.session, op.Seq, op.To)
			counted = append(counted, op.Seq)
			continue
		}
		arms := waitsFor(op)
		switch {
		case arms == 0:
		case t.park(a.session, waitKey{seq: op.Seq}, of, arms):
			counted = append(counted, op.Seq)
		default:
			*op = machine.Op{Seq: op.Seq, Do: machine.DoRefuse, N: int64(t.most)}
		}
	}
	return counted
}

// uncount forgets what was counted of a frame that failed: if it is in the log all the same, another
// node leads.
func (a *attachment) uncount(counted []park.Seq) {
	for _, seq := range counted {
		a.server.cfg.Replica.hub.tally.forget(a.session, waitKey{seq: seq})
	}
}
