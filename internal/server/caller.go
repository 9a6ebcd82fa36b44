package server

import (
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A caller waits for what becomes of a call of a session without a stream. Several may
// wait for one call: retries join it.
type caller struct {
	session park.SessionID
	request string
	term    uint64      // of the leadership under which it asked
	told    chan answer // of one: the first answer counts
}

// An answer is what became of a call, or why that is not to be learned here.
type answer struct {
	outcome
	err func() error // runs in the caller's goroutine; nil with an outcome
}

func newCaller(c *machine.Call, term uint64) *caller {
	return &caller{session: c.Session, request: c.Request, term: term, told: make(chan answer, 1)}
}

// tell answers, unless that was done. It never waits.
func (c *caller) tell(a answer) {
	select {
	case c.told <- a:
	default:
	}
}

// callers knows who waits, by session and request.
type callers map[park.SessionID]map[string][]*caller

// await has c told what becomes of its call from now on: to be called before the call is
// submitted, so that no answer comes too early. It is false if the hub is closed.
func (h *hub) await(c *caller) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	of := h.callers[c.session]
	if of == nil {
		of = make(map[string][]*caller)
		h.callers[c.session] = of
	}
	of[c.request] = append(of[c.request], c)
	return true
}

// forget is the end of await.
func (h *hub) forget(c *caller) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.callers[c.session]
	rest := slices.DeleteFunc(of[c.request], func(other *caller) bool { return other == c })
	if len(rest) > 0 {
		of[c.request] = rest
		return
	}
	delete(of, c.request)
	if len(of) == 0 {
		delete(h.callers, c.session)
	}
}

// answerCallers gives outcomes of one session to those who wait for them. mu is held.
func (h *hub) answerCallers(events []machine.Event) {
	of := h.callers[events[0].Session]
	if of == nil {
		return
	}
	for i := range events {
		e := &events[i]
		if e.Code == park.Recalled {
			continue // it holds still, and its renewals say so
		}
		for _, c := range of[e.Request] {
			c.tell(answer{outcome: outcomeFrom(e)})
		}
	}
}

// endCallers tells all callers of a session that it has ended. mu is held.
func (h *hub) endCallers(e *machine.Event) {
	session, why := e.Session, e.Refusal
	// order-free: each is told the same
	for _, waiting := range h.callers[session] {
		for _, c := range waiting {
			c.tell(answer{err: func() error { return refusedCall(session, why) }})
		}
	}
}

// release tells the callers that asked under another term than term why they are not told
// more. Their calls go on in the cluster.
func (h *hub) release(term uint64, why func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.callers {
		for _, waiting := range of {
			for _, c := range waiting {
				if c.term != term {
					c.tell(answer{err: why})
				}
			}
		}
	}
}
