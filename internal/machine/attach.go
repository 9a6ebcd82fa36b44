package machine

import (
	"iter"
	"slices"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
)

// A Refusal says why an Attach was refused or a stream is cut.
type Refusal uint8

const (
	RefusedOver     Refusal = iota + 1 // the session has ended, or never was
	RefusedNotYours                    // secret or instance differ
	RefusedOldEpoch                    // a later stream has taken over
	RefusedGap                         // a seq was skipped
	RefusedInvalid                     // TTL, Who, ranges
	RefusedLimit                       // as many sessions as there can be
	RefusedRevoked                     // the session was revoked
	RefusedUnready                     // the cluster has not begun: no Bootstrap yet
	RefusedRestored                    // the cluster was restored, and waits for old leases to run out
)

// attach opens a session, takes one up, or opens one in the place of another.
func (m *Machine) attach(a *Attach) {
	var refusal Refusal
	var wait int64
	switch {
	case m.cluster == "":
		refusal = RefusedUnready
	case !valid(a.Wanted):
		refusal = RefusedInvalid
	case a.Session != 0:
		refusal = m.takeUp(a)
	default:
		if refusal, wait = m.opening(); refusal == 0 {
			refusal = m.open(a)
		}
	}
	if refusal != 0 {
		m.tell(Event{
			Type: EventRefused, Session: a.Session, Instance: a.Instance, Epoch: a.Epoch,
			Refusal: refusal, Wait: wait,
		})
	}
}

// takeUp moves a session to a new stream: what is listed is answered, what is not is
// released (SEMANTICS B1).
func (m *Machine) takeUp(a *Attach) Refusal {
	st, live := m.book.Live(a.Session)
	if !live {
		if st.Revoked {
			return RefusedRevoked
		}
		return RefusedOver
	}
	if !m.owns(a.Session, a.Secret, a.Instance) {
		return RefusedNotYours
	}
	if a.Epoch <= st.Epoch {
		return RefusedOldEpoch
	}
	m.book.Attach(a.Session, a.Epoch)
	m.releaseUnlisted(a.Session, a.Wanted)
	m.tell(Event{
		Type: EventAttached, Session: a.Session, Instance: a.Instance, Epoch: a.Epoch,
		Last: st.Last,
	})
	for seq := range wanted(a.Wanted, st.Last) {
		m.again(park.ID{Session: a.Session, Seq: seq})
	}
	if st.Revoked {
		m.recall(a.Session)
	}
	return 0
}

// open begins a session, maybe in the place of another, which ends by it.
func (m *Machine) open(a *Attach) Refusal {
	if a.TTL < MinTTL || a.TTL > MaxTTL || len(a.Who) > MaxWho || a.Epoch == 0 {
		return RefusedInvalid
	}
	old, known := m.book.State(a.Replaces) // 0 is nobody
	if known && !m.owns(a.Replaces, a.ReplacesSecret, a.Instance) {
		return RefusedNotYours
	}
	ends := known && !old.Over
	if sessions, _ := m.book.Len(); sessions >= MaxSessions && !ends {
		return RefusedLimit
	}
	e := Event{
		Type: EventAttached, Instance: a.Instance, Epoch: a.Epoch,
		ReplacedLast: old.Last, ReplacedGone: a.Replaces != 0 && !known,
	}
	if ends {
		m.end(a.Replaces, EndReplaced)
	}
	if known {
		e.Replaced = m.left(a.Replaces, a.Wanted, old.Last)
	}
	e.Session = m.book.Open(session.Lease{
		Secret: a.Secret, Instance: a.Instance, TTL: a.TTL, Who: a.Who,
	}, a.Epoch, m.clock)
	m.opened()
	m.tell(e)
	return 0
}

// left lists what became of the wanted calls of an ended session: its kept results, and
// Over for all others. Holds are lost and waits died with it.
func (m *Machine) left(s park.SessionID, ranges []Range, last park.Seq) []Outcome {
	var out []Outcome
	for seq := range wanted(ranges, last) {
		o := Outcome{Seq: seq, Kept: session.Kept{Code: park.Over}}
		if k, ok := m.book.Kept(park.ID{Session: s, Seq: seq}); ok {
			o.Kept = k
		}
		out = append(out, o)
	}
	return out
}

// owns reports whether the secret and the client instance are a session's.
func (m *Machine) owns(s park.SessionID, secret Secret, instance uint64) bool {
	l, ok := m.book.Lease(s)
	return ok && instance != 0 && l.Instance == instance && l.Secret == secret
}

// releaseUnlisted lets go of every call that the client no longer wants: it may have
// ended it, or never heard of it.
func (m *Machine) releaseUnlisted(s park.SessionID, ranges []Range) {
	for _, id := range unlisted(m.lot.Of(s), ranges) {
		m.abandon(id)
	}
	for _, id := range unlisted(m.book.HoldsOf(s), ranges) {
		m.release(id, EndReleased)
	}
	for _, id := range unlisted(m.book.KeptOf(s), ranges) {
		m.book.Ack(s, id.Seq, id.Seq)
	}
}

// unlisted lists the calls whose seqs are in no range.
func unlisted[V any](calls iter.Seq2[park.ID, V], ranges []Range) []park.ID {
	var ids []park.ID
	for id := range calls {
		_, in := slices.BinarySearchFunc(ranges, id.Seq, func(r Range, seq park.Seq) int {
			switch {
			case r.Last < seq:
				return -1
			case r.First > seq:
				return 1
			}
			return 0
		})
		if !in {
			ids = append(ids, id)
		}
	}
	return ids
}

// valid reports whether ranges ascend, do not touch zero, and name at most MaxWanted
// seqs.
func valid(ranges []Range) bool {
	last, n := park.Seq(0), uint64(0)
	for _, r := range ranges {
		if r.First <= last || r.Last < r.First || r.Last >= maxToken {
			return false
		}
		last = r.Last
		if n += uint64(r.Last-r.First) + 1; n > MaxWanted {
			return false
		}
	}
	return true
}

// wanted yields the seqs of ranges up to last.
func wanted(ranges []Range, last park.Seq) iter.Seq[park.Seq] {
	return func(yield func(park.Seq) bool) {
		for _, r := range ranges {
			for seq := r.First; seq <= min(r.Last, last); seq++ {
				if !yield(seq) {
					return
				}
			}
		}
	}
}
