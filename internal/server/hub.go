package server

import (
	"sync"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// attachKey names one Attach: no two have the same.
type attachKey struct{ instance, epoch uint64 }

// A stream is what the hub knows of one session stream.
type stream struct {
	*outbox

	// bound is closed when session is set: the Attach was answered.
	bound chan struct{}

	// The rest is guarded by the hub's mu until bound is closed.
	key     attachKey
	term    uint64 // of the leadership under which it serves; 0 until registered
	session park.SessionID
}

func newStream(all *backlog) *stream {
	return &stream{outbox: newOutbox(all), bound: make(chan struct{})}
}

// A hub knows the streams of a node and who waits for a call without one, and gives them
// the events of applied entries.
type hub struct {
	mu      sync.Mutex
	closed  bool // nobody may be added
	streams map[*stream]struct{}
	pending map[attachKey]*stream // registered, not answered
	bound   map[park.SessionID]*stream
	callers callers
	touched []*stream // of one dispatch; kept for its memory
	backlog backlog   // of the streams; needs no mu
	tally   *tally    // of waits, by client; has a mu of its own
}

func newHub() *hub {
	return &hub{
		streams: make(map[*stream]struct{}),
		pending: make(map[attachKey]*stream),
		bound:   make(map[park.SessionID]*stream),
		callers: make(callers),
		tally:   newTally(),
	}
}

// add makes st one of those that cutAll cuts. It is false if the hub is closed.
func (h *hub) add(st *stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.streams[st] = struct{}{}
	return true
}

// close cuts every stream, answers every caller and lets no other begin.
func (h *hub) close(why func() error) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cutAll(why)
	h.release(0, why)
}

// register expects the answer to the Attach of key for st. It is false if that Attach is
// expected already, or st is gone.
func (h *hub) register(st *stream, key attachKey, term uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, here := h.streams[st]; !here {
		return false
	}
	if _, taken := h.pending[key]; taken {
		return false
	}
	st.key, st.term = key, term
	h.pending[key] = st
	return true
}

// remove forgets st, whose handler returns.
func (h *hub) remove(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, st)
	st.discard()
	if h.pending[st.key] == st {
		delete(h.pending, st.key)
	}
	if h.bound[st.session] == st {
		delete(h.bound, st.session)
	}
}

// cutAll cuts every stream.
func (h *hub) cutAll(why func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for st := range h.streams {
		st.cut(why)
	}
}

// cutOthers cuts the registered streams of other terms than term.
func (h *hub) cutOthers(term uint64, why func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for st := range h.streams {
		if st.term != 0 && st.term != term {
			st.cut(why)
		}
	}
}

// dispatch gives events to their streams in their order, then wakes these.
func (h *hub) dispatch(events []machine.Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams) == 0 && len(h.callers) == 0 && h.tally.empty() {
		return // every follower
	}
	for len(events) > 0 {
		run := 1
		for run < len(events) && sameOutbox(&events[0], &events[run]) {
			run++
		}
		h.deliver(events[:run])
		events = events[run:]
	}
	for _, st := range h.touched {
		st.wake()
	}
	clear(h.touched)
	h.touched = h.touched[:0]
}

// sameOutbox says that both are outcomes for one stream.
func sameOutbox(a, b *machine.Event) bool {
	return a.Session == b.Session && a.Type == machine.EventOutcome && b.Type == machine.EventOutcome
}

// deliver takes one event, or several outcomes of one session.
func (h *hub) deliver(events []machine.Event) {
	e := &events[0]
	switch e.Type {
	case machine.EventOutcome:
		h.tally.answered(events)
		if st := h.bound[e.Session]; st != nil {
			h.push(st, events)
		} else {
			h.answerCallers(events)
		}
	case machine.EventAttached:
		h.bind(h.answered(e), e)
	case machine.EventRefused:
		if st := h.answered(e); st != nil {
			st.cut(refusedAttach(*e))
		}
	case machine.EventCut:
		if e.Refusal == machine.RefusedOver || e.Refusal == machine.RefusedRevoked {
			h.tally.ended(e.Session) // what came too late was counted
		}
		if st := h.bound[e.Session]; st != nil && st.key.epoch == e.Epoch {
			delete(h.bound, e.Session)
			st.cut(refused(e.Session, e.Refusal))
		}
	case machine.EventEnded:
		h.tally.ended(e.Session)
		if st := h.bound[e.Session]; st != nil {
			delete(h.bound, e.Session)
			st.cut(refused(e.Session, e.Refusal))
		} else {
			h.endCallers(e)
		}
	}
}

func (h *hub) push(st *stream, events []machine.Event) {
	if !st.push(events, len(h.streams)) {
		delete(h.bound, st.session)
		st.drop(func() error {
			return errOverloaded("stream", "its answers are not read")
		})
		return
	}
	if n := len(h.touched); n == 0 || h.touched[n-1] != st {
		h.touched = append(h.touched, st)
	}
}

// answered is the stream that waits for e, an answer to an Attach; nil if it is of
// another node, or gone.
func (h *hub) answered(e *machine.Event) *stream {
	key := attachKey{e.Instance, e.Epoch}
	st := h.pending[key]
	delete(h.pending, key)
	return st
}

// bind gives st the session, if it is here still. What had it so far is of an older epoch.
func (h *hub) bind(st *stream, e *machine.Event) {
	if old := h.bound[e.Session]; old != nil {
		delete(h.bound, e.Session)
		old.cut(refused(e.Session, machine.RefusedOldEpoch))
	}
	if st == nil {
		return
	}
	h.bound[e.Session] = st
	st.session = e.Session
	st.attach(e)
	close(st.bound)
	h.touched = append(h.touched, st)
}

// refusedAttach is refused of an answer to an Attach.
func refusedAttach(e machine.Event) func() error {
	if e.Refusal == machine.RefusedRestored {
		return func() error { return errRestored("session", e.Wait) }
	}
	return refused(e.Session, e.Refusal)
}

// refused defers the making of a status to the stream's own goroutine: thousands of
// sessions may end in one entry.
func refused(session park.SessionID, r machine.Refusal) func() error {
	return func() error { return refusal(session, r) }
}
