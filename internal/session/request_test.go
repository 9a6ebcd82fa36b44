package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/internal/wire"
)

// An entry is what the ledger has of a request.
type entry struct {
	name  string
	seq   park.Seq
	ended bool
	code  park.Code
	value int64
	data  string
}

func (a *account) find(name string) *entry {
	for _, e := range a.requests {
		if e.name == name {
			return e
		}
	}
	return nil
}

// unaryOne is a live session without a stream, if there is one.
func (r *tester) unaryOne(t *rapid.T) (park.SessionID, *account) {
	s, a := r.live(t)
	if !a.unary {
		return 0, nil
	}
	return s, a
}

func (r *tester) ask(t *rapid.T) {
	s, a := r.unaryOne(t)
	name := fmt.Sprint("r", rapid.IntRange(0, 20).Draw(t, "name"))
	if a == nil || a.find(name) != nil {
		return
	}
	r.request(s, a, name)
}

func (r *tester) request(s park.SessionID, a *account, name string) *entry {
	id := r.spend(s, a)
	r.book.Ask(id, name)
	e := &entry{name: name, seq: id.Seq}
	a.requests = append(a.requests, e)
	return e
}

func (r *tester) conclude(t *rapid.T) {
	s, a := r.unaryOne(t)
	if a == nil {
		return
	}
	for _, e := range a.requests {
		if !e.ended && rapid.Bool().Draw(t, "this") {
			e.data = drawData(t)
			r.concludeOne(s, a, e, rapid.Int64().Draw(t, "value"))
			return
		}
	}
}

// drawData is of any length that matters: a few of the longest are more than a session may
// have kept.
func drawData(t *rapid.T) string {
	return strings.Repeat("d", rapid.SampledFrom([]int{0, 0, 1, 64 << 10, session.MaxBytes / 3, session.MaxBytes}).Draw(t, "bytes"))
}

// concludeOne ends a request, and forgets those that ended so many before, or before so many
// bytes.
func (r *tester) concludeOne(s park.SessionID, a *account, e *entry, value int64) {
	e.ended, e.code, e.value = true, park.Done, value
	r.book.Conclude(park.ID{Session: s, Seq: e.seq}, session.Kept{Code: e.code, Value: e.value, Data: e.data})
	a.ended = append(a.ended, e)
	last, bytes := len(a.ended)-1, 0
	for back := range a.ended {
		old := a.ended[last-back]
		if bytes += len(old.data); back > 0 && (bytes > session.MaxBytes || back >= session.KeptRequests) {
			a.requests = slices.DeleteFunc(a.requests, func(e *entry) bool { return e == old })
			bytes = session.MaxBytes + 1 // nor is any before it kept
		}
	}
}

// hammer ends as many as are remembered.
func (r *tester) hammer(t *rapid.T) {
	s, a := r.unaryOne(t)
	if a == nil {
		return
	}
	for n := range session.KeptRequests - rapid.IntRange(0, 3).Draw(t, "less") {
		r.concludeOne(s, a, r.request(s, a, fmt.Sprintf("h%d-%d", a.last, n)), int64(n))
	}
}

func (r *tester) checkRequests(t *rapid.T, s park.SessionID, a *account) {
	if got := r.book.Unary(s); got != a.unary {
		t.Fatalf("session %v is unary: %v", s, got)
	}
	known := map[park.Seq]session.Asked{}
	for seq, asked := range r.book.Requests(s) {
		known[seq] = asked
	}
	if len(known) != len(a.requests) {
		t.Fatalf("session %v has the requests %v, should have %d", s, known, len(a.requests))
	}
	if !a.over && r.book.Ended(s) != uint64(len(a.ended)) {
		t.Fatalf("session %v: %d have ended, should be %d", s, r.book.Ended(s), len(a.ended))
	}
	for _, e := range a.requests {
		asked, ok := r.book.Asked(s, e.name)
		if !ok || asked != known[e.seq] || asked.Seq != e.seq || (asked.Ended != 0) != e.ended || asked.Kept != (session.Kept{Code: e.code, Value: e.value, Data: e.data}) {
			t.Fatalf("request %s of session %v is %+v (%v), should be %+v", e.name, s, asked, ok, e)
		}
		if got := r.book.Request(park.ID{Session: s, Seq: e.seq}); got != e.name {
			t.Fatalf("call %d of session %v is request %q, should be %q", e.seq, s, got, e.name)
		}
	}
	if len(a.ended) > session.KeptRequests {
		if _, ok := r.book.Asked(s, a.ended[len(a.ended)-1-session.KeptRequests].name); ok {
			t.Fatalf("session %v remembers too much", s)
		}
	}
}

func unaryBook() (session.Book, park.ID) {
	b := session.NewBook()
	s := b.Open(session.Lease{TTL: 10}, 0, 0)
	id := park.ID{Session: s, Seq: 1}
	b.Spend(id)
	return b, id
}

// What the machine must never do with requests stops it.
func TestBrokenRequestsPanic(t *testing.T) {
	for name, broken := range map[string]func(b *session.Book, id park.ID){
		"asked twice": func(b *session.Book, id park.ID) { b.Ask(id, "r") },
		"ends without a one": func(b *session.Book, id park.ID) {
			b.Conclude(park.ID{Session: id.Session, Seq: 9}, session.Kept{Code: park.Done})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, id := unaryBook()
			b.Ask(id, "r")
			defer func() {
				if recover() == nil {
					t.Error("it goes on")
				}
			}()
			broken(&b, id)
		})
	}
}

// Check tells of requests that should not be there, and of what ended twice.
func TestCheckTellsOfRequests(t *testing.T) {
	for name, broken := range map[string]func(b *session.Book, id park.ID){
		"of a session with a stream": func(b *session.Book, _ park.ID) {
			b.Ask(park.ID{Session: b.Open(session.Lease{TTL: 10}, 1, 0), Seq: 1}, "r")
		},
		"of no session": func(b *session.Book, _ park.ID) { b.Ask(park.ID{Session: 99, Seq: 1}, "r") },
		"of one that is over": func(b *session.Book, id park.ID) {
			b.End(id.Session, 1)
			b.Ask(id, "r")
		},
		"ended twice": func(b *session.Book, id park.ID) {
			b.Ask(id, "r")
			b.Conclude(id, session.Kept{Code: park.Done})
			b.Conclude(id, session.Kept{Code: park.Done})
		},
	} {
		b, id := unaryBook()
		if err := b.Check(nil); err != nil {
			t.Fatal(err)
		}
		if broken(&b, id); b.Check(nil) == nil {
			t.Errorf("%s: Check finds nothing", name)
		}
	}
}

// Saved requests that are damaged are refused, or are others.
func TestRestoreRequestsRefuses(t *testing.T) {
	b, id := unaryBook()
	b.Ask(id, "r")
	b.Conclude(id, session.Kept{Code: park.Done, Value: 7})
	var records [][]byte
	if err := b.SaveRequests(func(r []byte) error {
		records = append(records, slices.Clone(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for n := range records[1] {
		cut := [][]byte{records[0], records[1][:n]}
		again := session.NewBook()
		if err := again.RestoreRequests(func() (*wire.Decoder, error) {
			d := wire.NewDecoder(cut[0])
			cut = cut[1:]
			return d, nil
		}); err == nil {
			t.Errorf("cut to %d bytes it is taken", n)
		}
	}
}
