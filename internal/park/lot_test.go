package park_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// A line is a lot that is a slice, sorted and scanned for every question.
type line struct {
	waiting []waiting
	last    uint64
}

type waiting struct {
	id park.ID
	w  park.Waiter
}

func (l *line) find(id park.ID) int {
	return slices.IndexFunc(l.waiting, func(w waiting) bool { return w.id == id })
}

// A queue is one side of an object.
type queue struct {
	on   park.Object
	side park.Side
}

func on(a park.Arm, o park.Object) bool { return a.On == o }

func at(a park.Arm, q queue) bool { return a.On == q.on && a.Side == q.side }

// queue is who waits on one side of an object, in order.
func (l *line) queue(q queue) (ids []park.ID) {
	sorted := slices.SortedFunc(slices.Values(l.waiting), func(a, b waiting) int {
		return cmp.Or(cmp.Compare(b.w.Prio, a.w.Prio), cmp.Compare(a.w.Ticket, b.w.Ticket))
	})
	for _, w := range sorted {
		if slices.ContainsFunc(w.w.Arms, func(a park.Arm) bool { return at(a, q) }) {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// queues is who waits on an object, one side after the other.
func (l *line) queues(o park.Object) []park.ID {
	return slices.Concat(
		l.queue(queue{o, park.Alone}), l.queue(queue{o, park.Send}), l.queue(queue{o, park.Recv}),
	)
}

func (l *line) arms(o park.Object) (n int64) {
	for _, w := range l.waiting {
		for _, a := range w.w.Arms {
			if on(a, o) {
				n++
			}
		}
	}
	return n
}

func (l *line) ahead(q queue, prio int32, ticket uint64, peer park.ID) bool {
	for _, w := range l.waiting {
		before := w.w.Prio > prio || w.w.Prio == prio && w.w.Ticket < ticket
		if before && w.id != peer && slices.ContainsFunc(w.w.Arms, func(a park.Arm) bool { return at(a, q) }) {
			return true
		}
	}
	return false
}

// first is the least object from one on that somebody waits for.
func (l *line) first(from park.Object) (least park.Object, ok bool) {
	after := func(a, b park.Object) bool { return a.Kind > b.Kind || a.Kind == b.Kind && a.Name >= b.Name }
	for _, w := range l.waiting {
		for _, a := range w.w.Arms {
			if after(a.On, from) && (!ok || !after(a.On, least)) {
				least, ok = a.On, true
			}
		}
	}
	return least, ok
}

func drawObject(t *rapid.T) park.Object {
	return park.Object{
		Kind: park.Kind(rapid.IntRange(1, 2).Draw(t, "kind")),
		Name: rapid.SampledFrom([]string{"a", "aa", "b"}).Draw(t, "name"),
	}
}

func drawID(t *rapid.T) park.ID {
	return park.ID{
		Session: park.SessionID(rapid.IntRange(1, 4).Draw(t, "session")),
		Seq:     park.Seq(rapid.IntRange(1, 8).Draw(t, "seq")),
	}
}

func drawWaiter(t *rapid.T, ticket uint64) park.Waiter {
	w := park.Waiter{
		Commit: park.Every,
		Prio:   rapid.SampledFrom([]int32{0, 0, 1, -1, 1<<31 - 1, -1 << 31}).Draw(t, "prio"),
		Ticket: ticket,
		Since:  park.Clock(rapid.Int64().Draw(t, "since")),
		Terms: park.NewTerms(park.Terms{
			Note:  rapid.StringN(0, 3, 9).Draw(t, "note"),
			Trace: rapid.SampledFrom([]string{"", "span"}).Draw(t, "trace"),
		}),
	}
	if rapid.Bool().Draw(t, "lineage") {
		l := &park.Lineage{Site: rapid.SampledFrom([]string{"", "a.go:1"}).Draw(t, "site")}
		for range rapid.IntRange(0, 3).Draw(t, "named") {
			n := park.Named{ID: drawID(t), Site: rapid.SampledFrom([]string{"", "b.go:2"}).Draw(t, "site")}
			if !slices.ContainsFunc(l.Holds, func(o park.Named) bool { return o.ID == n.ID }) {
				l.Holds = append(l.Holds, n)
			}
		}
		if terms := w.Terms.Get(); !l.Empty() {
			terms.Lineage = l
			w.Terms = park.NewTerms(terms)
		}
	}
	for range rapid.IntRange(1, 4).Draw(t, "arms") {
		w.Arms = append(w.Arms, park.Arm{
			On: drawObject(t), Shared: rapid.Bool().Draw(t, "shared"), N: 1,
			Side:  rapid.SampledFrom([]park.Side{park.Alone, park.Alone, park.Send, park.Recv}).Draw(t, "side"),
			Ack:   rapid.Bool().Draw(t, "ack"),
			Value: rapid.SampledFrom([]string{"", "", "here"}).Draw(t, "value"),
			Codec: rapid.SampledFrom([]string{"", "json"}).Draw(t, "codec"),
		})
	}
	return w
}

// A lot is a line, whoever comes and leaves; and a copy of it stays what it was.
func TestLotIsALine(t *testing.T) { rapid.Check(t, anyLot) }

// FuzzLot is TestLotIsALine, guided by coverage.
func FuzzLot(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyLot)) }

func anyLot(t *rapid.T) {
	lot, model := park.NewLot(), line{}
	copied, sum := lot.Copy(), lot.Sum()
	t.Repeat(map[string]func(*rapid.T){
		"park": func(t *rapid.T) {
			id := drawID(t)
			if model.find(id) >= 0 {
				return
			}
			model.last++
			if got := lot.Ticket(); got != model.last {
				t.Fatalf("ticket %d, should be %d", got, model.last)
			}
			w := drawWaiter(t, model.last)
			lot.Park(id, w)
			model.waiting = append(model.waiting, waiting{id, w})
		},
		"leave": func(t *rapid.T) { leave(t, &lot, &model, drawID(t)) },
		"copy": func(*rapid.T) {
			copied, sum = lot.Copy(), lot.Sum()
		},
		"restore": func(t *rapid.T) { lot = restored(t, &lot) },
		"": func(t *rapid.T) {
			compare(t, &lot, &model)
			if err := copied.CheckSum(); err != nil || copied.Sum() != sum {
				t.Fatalf("a copy has changed: %v", err)
			}
		},
	})
}

func leave(t *rapid.T, lot *park.Lot, model *line, id park.ID) {
	var want []queue
	i := model.find(id)
	if i >= 0 {
		for _, a := range model.waiting[i].w.Arms {
			if q := (queue{a.On, a.Side}); model.queue(q)[0] == id {
				want = append(want, q)
			}
		}
		model.waiting = slices.Delete(model.waiting, i, i+1)
	}
	var headed []queue
	_, ok := lot.Leave(id, func(o park.Object, side park.Side) { headed = append(headed, queue{o, side}) })
	if ok != (i >= 0) {
		t.Fatalf("Leave(%v) returned %v", id, ok)
	}
	if !slices.Equal(headed, want) {
		t.Fatalf("%v headed %v, should have %v", id, headed, want)
	}
}

func compare(t *rapid.T, lot *park.Lot, model *line) {
	if err := lot.Check(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []park.Object{{}, {Kind: 1, Name: "a"}, {Kind: 1, Name: "aa\x00"}, {Kind: 2, Name: "a"}, {Kind: 2, Name: "b"}, {Kind: 3}} {
		got, ok := lot.First(from)
		if want, there := model.first(from); got != want || ok != there {
			t.Fatalf("First(%v) is %v (%v), should be %v (%v)", from, got, ok, want, there)
		}
	}
	bytes := 0
	for _, w := range model.waiting {
		for _, a := range w.w.Arms {
			bytes += len(a.Value)
		}
	}
	if lot.Bytes() != int64(bytes) {
		t.Fatalf("%d bytes wait, should be %d", lot.Bytes(), bytes)
	}
	if lot.Len() != len(model.waiting) {
		t.Fatalf("%d wait, should be %d", lot.Len(), len(model.waiting))
	}
	for _, o := range []park.Object{{Kind: 1, Name: "a"}, {Kind: 1, Name: "aa"}, {Kind: 2, Name: "a"}, {Kind: 2, Name: "b"}} {
		want := model.queues(o)
		var got []park.ID
		for id, w := range lot.Queue(o) {
			if stored, _ := lot.Get(id); !gocmp.Equal(stored, w) {
				t.Fatalf("Queue has %+v of %v, Get %+v", w, id, stored)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the queues of %v are %v, should be %v", o, got, want)
		}
		if got, want := lot.Waiting(o), model.arms(o); got != want {
			t.Fatalf("%d arms wait on %v, should be %d", got, o, want)
		}
		for side := park.Alone; side <= park.Recv; side++ {
			compareQueue(t, lot, model, queue{o, side})
		}
	}
	compareNames(t, lot, model)
	for s := range park.SessionID(5) {
		want := 0
		for _, w := range model.waiting {
			if w.id.Session == s {
				want++
			}
		}
		for id, w := range lot.Of(s) {
			want--
			if i := model.find(id); i < 0 || id.Session != s || !gocmp.Equal(model.waiting[i].w, w) {
				t.Fatalf("%v is among the waits of %v", id, s)
			}
		}
		if want != 0 {
			t.Fatalf("%d waits of session %v are missing", want, s)
		}
	}
}

func compareQueue(t *rapid.T, lot *park.Lot, model *line, q queue) {
	want := model.queue(q)
	head, ok := lot.Head(q.on, q.side)
	if ok != (len(want) > 0) || ok && head != want[0] {
		t.Fatalf("the head of %v is %v %v, should be %v", q, head, ok, want)
	}
	peer := drawID(t)
	others := slices.DeleteFunc(want, func(id park.ID) bool { return id == peer })
	other, ok := lot.Peer(q.on, q.side, peer)
	if ok != (len(others) > 0) || ok && other != others[0] {
		t.Fatalf("the peer of %v on %v is %v %v, should be of %v", peer, q, other, ok, others)
	}
	prio, ticket := int32(rapid.IntRange(-1, 1).Draw(t, "prio")), rapid.Uint64Range(1, model.last+1).Draw(t, "ticket")
	compareNeighbours(t, lot, model, q, prio, ticket)
	if got, want := lot.Ahead(q.on, q.side, prio, ticket, peer), model.ahead(q, prio, ticket, peer); got != want {
		t.Fatalf("ahead of (%d, %d) on %v, but for %v: %v, should be %v", prio, ticket, q, peer, got, want)
	}
}

// compareNeighbours compares who stands next to a place.
func compareNeighbours(t *rapid.T, lot *park.Lot, model *line, q queue, prio int32, ticket uint64) {
	var before, behind park.ID // none is 0
	for _, id := range model.queue(q) {
		w := model.waiting[model.find(id)].w
		switch {
		case w.Prio > prio || w.Prio == prio && w.Ticket < ticket:
			before = id
		case (w.Prio < prio || w.Ticket > ticket) && behind == park.ID{}:
			behind = id
		}
	}
	got, ok := lot.Before(q.on, q.side, prio, ticket)
	if ok != (before != park.ID{}) || ok && got != before {
		t.Fatalf("before (%d, %d) on %v is %v %v, should be %v", prio, ticket, q, got, ok, before)
	}
	got, ok = lot.Behind(q.on, q.side, prio, ticket)
	if ok != (behind != park.ID{}) || ok && got != behind {
		t.Fatalf("behind (%d, %d) on %v is %v %v, should be %v", prio, ticket, q, got, ok, behind)
	}
}

// compareNames compares which waits name which holds.
func compareNames(t *rapid.T, lot *park.Lot, model *line) {
	names := 0
	for session := range park.SessionID(6) {
		for seq := range park.Seq(10) {
			hold := park.ID{Session: session, Seq: seq}
			var want []park.ID
			for _, w := range model.waiting {
				if l := w.w.Terms.Get().Lineage; l != nil && slices.ContainsFunc(l.Holds, func(n park.Named) bool { return n.ID == hold }) {
					want = append(want, w.id)
				}
			}
			slices.SortFunc(want, park.ID.Compare)
			if got := slices.Collect(lot.Naming(hold)); !slices.Equal(got, want) {
				t.Fatalf("%v is named by %v, should be by %v", hold, got, want)
			}
			if lot.Named(hold) != (len(want) > 0) {
				t.Fatalf("%v is named: %v, should be by %v", hold, lot.Named(hold), want)
			}
			names += len(want)
		}
	}
	if lot.Names() != names {
		t.Fatalf("%d holds are named, should be %d", lot.Names(), names)
	}
}

// restored saves the lot and returns what comes out of it.
func restored(t *rapid.T, lot *park.Lot) park.Lot {
	again := park.NewLot()
	if err := again.Restore(saved(t, lot.Save)); err != nil {
		t.Fatal(err)
	}
	if again.Sum() != lot.Sum() || again.LastTicket() != lot.LastTicket() {
		t.Fatal("the restored lot has another hash")
	}
	return again
}

// saved returns a source of the records that save emits.
func saved(t interface{ Fatal(...any) }, save func(func([]byte) error) error) func() (*wire.Decoder, error) {
	var records [][]byte
	err := save(func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	}
}

// Two waiters that say they stand in one place are not taken from a snapshot.
func TestRestoreRefusesOnePlace(t *testing.T) {
	waiter := func(seq park.Seq, name string) []byte {
		w := park.Waiter{Arms: []park.Arm{{On: park.Object{Kind: 1, Name: name}, N: 1}}, Ticket: 1}
		return w.Append(park.ID{Session: 1, Seq: seq}.Append(nil))
	}
	for name, want := range map[string]error{"x": park.ErrPlace, "y": nil} {
		records := [][]byte{{1}, {2}, waiter(1, "x"), waiter(2, name)} // the last ticket, how many, each
		lot := park.NewLot()
		err := lot.Restore(func() (*wire.Decoder, error) {
			d := wire.NewDecoder(records[0])
			records = records[1:]
			return d, nil
		})
		if !errors.Is(err, want) {
			t.Errorf("waiters on x and %s: error is %v", name, err)
		}
		if err == nil && lot.Check() == nil {
			t.Error("Check takes one ticket for two waiters")
		}
	}
}

// A retry must not park a call twice: that would be a broken invariant of the caller.
func TestParkTwicePanics(t *testing.T) {
	lot := park.NewLot()
	w := park.Waiter{Arms: []park.Arm{{On: park.Object{Kind: 1, Name: "x"}, N: 1}}, Ticket: lot.Ticket()}
	lot.Park(park.ID{Session: 1, Seq: 1}, w)
	defer func() {
		if recover() == nil {
			t.Error("it parks")
		}
	}()
	lot.Park(park.ID{Session: 1, Seq: 1}, w)
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"":                                  false,
		"x":                                 true,
		"tenant/ä job 7":                    true,
		strings.Repeat("x", park.MaxName):   true,
		strings.Repeat("ä", park.MaxName):   false, // bytes, not letters
		"a\x00b":                            false,
		"a\nb":                              false,
		"a\x7fb":                            false,
		"a\u0085b":                          false,
		"a\xffb":                            false,
		"\u202e":                            true, // no control character, if a bad idea
		strings.Repeat("x", park.MaxName+1): false,
	} {
		if got := park.ValidName(name); got != want {
			t.Errorf("ValidName(%q) is %v", name, got)
		}
	}
}
