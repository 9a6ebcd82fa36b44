package session

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// Constants of this version of the machine; never flags (SEMANTICS B6, H1).
const (
	// MaxRequest is the longest request id, in bytes.
	MaxRequest = 128

	// KeptRequests is how many of a unary session's calls are remembered once they ended:
	// fewer, but the last one, while their data is more than MaxBytes.
	KeptRequests = 128
)

// requests has the calls of unary sessions by the ids that their callers gave them.
type requests struct {
	asked cow.Table[request, Asked]

	// Derived from asked.
	ids   cow.Index[park.ID, string]
	ended cow.Index[ended, string]
}

// A request is an id and whose it is.
type request struct {
	session park.SessionID
	id      string
}

// Asked is what a request became. Its hold, if it has one, is where all holds are.
type Asked struct {
	Seq   park.Seq
	Ended uint64 // how many of the session had ended with it; 0 while it waits or holds
	Kept
}

// ended orders a session's calls by when they ended, the latest first.
type ended struct {
	session park.SessionID
	n       uint64
}

func newRequests() requests {
	return requests{
		asked: cow.NewTable[request, Asked](),
		ids:   cow.NewIndex[park.ID, string](),
		ended: cow.NewIndex[ended, string](),
	}
}

func (a request) Compare(b request) int {
	if c := cmp.Compare(a.session, b.session); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func (a request) Append(b []byte) []byte {
	return wire.AppendString(wire.AppendUint(b, a.session), a.id)
}

func (a ended) Compare(b ended) int {
	if c := cmp.Compare(a.session, b.session); c != 0 {
		return c
	}
	return cmp.Compare(b.n, a.n)
}

// Append appends the encoding of what a request became.
func (a Asked) Append(b []byte) []byte {
	b = wire.AppendUint(b, a.Seq)
	return a.Kept.Append(wire.AppendUint(b, a.Ended))
}

func decodeAsked(d *wire.Decoder) (request, Asked) {
	return request{park.SessionID(d.Uint(maxUint)), d.Text()},
		Asked{park.Seq(d.Uint(maxUint)), d.Uint(maxUint), decodeKept(d)}
}

func (r *requests) copy() requests {
	return requests{asked: r.asked.Copy(), ids: r.ids.Copy(), ended: r.ended.Copy()}
}

// Unary reports whether a session has no stream, so that its calls have request ids. It
// may be over.
func (b *Book) Unary(s park.SessionID) bool {
	return b.fetch(s) && b.desk.state.Epoch == 0
}

// Asked returns what a request of a session became; ok is false if it is not known.
func (b *Book) Asked(s park.SessionID, id string) (Asked, bool) {
	return b.requests.asked.Get(request{s, id})
}

// Request returns the id of a unary session's call, "" of any other.
func (b *Book) Request(id park.ID) string {
	if !b.Unary(id.Session) {
		return ""
	}
	name, _ := b.requests.ids.Get(id)
	return name
}

// Ask gives a call its request id.
func (b *Book) Ask(id park.ID, name string) {
	if _, had := b.requests.asked.Put(request{id.Session, name}, Asked{Seq: id.Seq}); had {
		panic("session: the request has a call already")
	}
	b.requests.ids.Put(id, name)
}

// Conclude says how the call of a unary session ended, and forgets those that ended first if
// they are too many or too much.
func (b *Book) Conclude(id park.ID, k Kept) {
	r := &b.requests
	name, ok := r.ids.Get(id)
	if !ok {
		panic("session: a call without a request ends")
	}
	n := b.Ended(id.Session) + 1
	r.asked.Put(request{id.Session, name}, Asked{Seq: id.Seq, Ended: n, Kept: k})
	r.ended.Put(ended{id.Session, n}, name)
	st := b.change(id.Session)
	for st.bytes += int64(len(k.Data)); ; {
		first, name, _ := r.ended.Last(ended{id.Session, 0})
		if first.n == n || first.n > n-min(n, KeptRequests) && st.bytes <= MaxBytes {
			return
		}
		r.ended.Delete(first)
		a, _ := r.asked.Delete(request{id.Session, name})
		r.ids.Delete(park.ID{Session: id.Session, Seq: a.Seq})
		st.bytes -= int64(len(a.Data))
	}
}

// Requests yields what the requests of a session became, in the order of their ids.
func (b *Book) Requests(s park.SessionID) iter.Seq2[park.Seq, Asked] {
	return func(yield func(park.Seq, Asked) bool) {
		for at, a := range b.requests.asked.From(request{session: s}) {
			if at.session != s || !yield(a.Seq, a) {
				return
			}
		}
	}
}

// Ended is how many calls of a unary session have ended.
func (b *Book) Ended(s park.SessionID) uint64 {
	last, _, ok := b.requests.ended.First(ended{s, maxUint})
	if !ok || last.session != s {
		return 0
	}
	return last.n
}

// forgetRequests removes all of a session's.
func (b *Book) forgetRequests(s park.SessionID) {
	r := &b.requests
	var names []string
	for at := range r.asked.From(request{session: s}) {
		if at.session != s {
			break
		}
		names = append(names, at.id)
	}
	for _, name := range names {
		a, _ := r.asked.Delete(request{s, name})
		r.ids.Delete(park.ID{Session: s, Seq: a.Seq})
		b.change(s).bytes -= int64(len(a.Data))
		if a.Ended != 0 {
			r.ended.Delete(ended{s, a.Ended})
		}
	}
}

// SaveRequests emits the requests, which Save does not.
func (b *Book) SaveRequests(emit func([]byte) error) error { return b.requests.asked.Save(emit) }

// RestoreRequests takes what SaveRequests emitted.
func (b *Book) RestoreRequests(take func() (*wire.Decoder, error)) error {
	r := &b.requests
	if err := r.asked.Restore(take, decodeAsked); err != nil {
		return err
	}
	for at, a := range r.asked.All() {
		r.index(at, a)
		if _, ok := b.State(at.session); !ok {
			return fmt.Errorf("session %v has a request and no state", at.session)
		}
		b.change(at.session).bytes += int64(len(a.Data))
	}
	return nil
}

func (r *requests) index(at request, a Asked) {
	r.ids.Put(park.ID{Session: at.session, Seq: a.Seq}, at.id)
	if a.Ended != 0 {
		r.ended.Put(ended{at.session, a.Ended}, at.id)
	}
}
