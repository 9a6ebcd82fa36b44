package lock_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/lock"
)

// A pile is a room that is a list of holds, looked through for every question.
type pile struct {
	holds  map[park.ID][]park.Arm
	limits map[park.Object]*[2]int64 // stored, in force
}

func (p *pile) ready(a park.Arm) bool {
	sum := a.N
	for _, arms := range p.holds {
		for _, h := range arms {
			if h.On != a.On {
				continue
			}
			if a.On.Kind == park.KindLock && !(a.Shared && h.Shared) {
				return false
			}
			sum += h.N
		}
	}
	return a.On.Kind == park.KindLock || sum <= p.limits[a.On][1]
}

func drawArm(t *rapid.T) park.Arm {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return mutex(name)
	case 1:
		return shared(name)
	}
	return permits(name, rapid.Int64Range(1, 4).Draw(t, "n"), rapid.SampledFrom([]int64{0, 3, 3, 5}).Draw(t, "limit"))
}

// A room is a pile.
func TestRoomIsAPile(t *testing.T) { rapid.Check(t, anyRoom) }

// FuzzRoom is TestRoomIsAPile, guided by coverage.
func FuzzRoom(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyRoom)) }

func anyRoom(t *rapid.T) {
	r := lock.NewRoom()
	p := pile{map[park.ID][]park.Arm{}, map[park.Object]*[2]int64{}}
	copied, sum := r.Copy(), r.Sum()
	next := 0
	t.Repeat(map[string]func(*rapid.T){
		"take": func(t *rapid.T) {
			a := drawArm(t)
			if code, _ := r.Admit(a); code != 0 {
				return
			}
			if a.On.Kind == park.KindSemaphore && p.limits[a.On] == nil {
				p.limits[a.On] = &[2]int64{a.Limit, a.Limit}
			}
			if got, want := r.Ready(a) == park.Yes, p.ready(a); got != want {
				t.Fatalf("Ready(%+v) is %v, should be %v", a, got, want)
			}
			if p.ready(a) {
				next++
				r.Commit(id(next), a, 0, nil)
				p.holds[id(next)] = []park.Arm{a}
			}
		},
		"give": func(t *rapid.T) {
			ids := slices.SortedFunc(maps.Keys(p.holds), park.ID.Compare)
			if len(ids) == 0 {
				return
			}
			id := rapid.SampledFrom(ids).Draw(t, "id")
			a := &p.holds[id][0]
			n := rapid.Int64Range(1, a.N).Draw(t, "n")
			r.Release(id, *a, n)
			if a.N -= n; a.N == 0 {
				delete(p.holds, id)
			}
		},
		"resize": func(t *rapid.T) {
			on, limit := permits("a", 1, 0).On, rapid.Int64Range(1, 6).Draw(t, "limit")
			if r.Resize(on, limit); p.limits[on] == nil {
				p.limits[on] = &[2]int64{limit, limit}
			}
			p.limits[on][1] = limit
		},
		"delete": func(t *rapid.T) {
			on := drawArm(t).On
			code, value := r.Delete(on)
			if want, n := p.remove(on); code != want || value != n {
				t.Fatalf("deleting %v: code %d (%d), should be %d (%d)", on, code, value, want, n)
			}
		},
		"tidy":    func(t *rapid.T) { r.Tidy(drawArm(t).On) },
		"copy":    func(*rapid.T) { copied, sum = r.Copy(), r.Sum() },
		"restore": func(t *rapid.T) { r = restored(t, &r, p.holds) },
		"": func(t *rapid.T) {
			compare(t, &r, &p)
			if err := copied.CheckSum(); err != nil || copied.Sum() != sum {
				t.Fatalf("a copy has changed: %v", err)
			}
		},
	})
}

// remove forgets a limit of which no permits are out.
func (p *pile) remove(on park.Object) (park.Code, int64) {
	out := int64(0)
	for _, arms := range p.holds {
		if arms[0].On == on {
			out += arms[0].N
		}
	}
	switch {
	case on.Kind != park.KindSemaphore:
		return park.Invalid, 0
	case p.limits[on] == nil:
		return park.NotFound, 0
	case out > 0:
		return park.Busy, out
	}
	delete(p.limits, on)
	return park.Done, 0
}

// first is the least object from one on that is held or has a limit.
func (p *pile) first(from park.Object) (least park.Object, ok bool) {
	after := func(a, b park.Object) bool { return a.Kind > b.Kind || a.Kind == b.Kind && a.Name >= b.Name }
	note := func(on park.Object) {
		if after(on, from) && (!ok || !after(on, least)) {
			least, ok = on, true
		}
	}
	for _, arms := range p.holds {
		note(arms[0].On)
	}
	for on := range p.limits {
		note(on)
	}
	return least, ok
}

func compare(t *rapid.T, r *lock.Room, p *pile) {
	for _, from := range []park.Object{{}, mutex("a").On, mutex("a\x00").On, mutex("c").On, permits("a", 1, 0).On, permits("b", 1, 0).On, permits("c", 1, 0).On} {
		got, ok := r.First(from)
		if want, there := p.first(from); got != want || ok != there {
			t.Fatalf("First(%v) is %v (%v), should be %v (%v)", from, got, ok, want, there)
		}
	}
	faults := r.Check(func(id park.ID, on park.Object, n int64) bool {
		a := p.holds[id]
		return len(a) == 1 && a[0].On == on && a[0].N == n
	}, len(p.holds))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := r.CheckSum(); err != nil {
		t.Fatal(err)
	}
	for _, on := range []park.Object{mutex("a").On, mutex("b").On, permits("a", 1, 0).On, permits("b", 1, 0).On, cond("a", "").On} {
		_, made := r.Semaphore(on)
		if _, stored := r.Traits(on); made != (p.limits[on] != nil) || stored != made {
			t.Fatalf("%v has a limit: %v, and traits: %v; there are %v", on, made, stored, p.limits)
		}
	}
	for on, limits := range p.limits {
		held := int64(0)
		for id := range r.Holders(on) {
			if p.holds[id][0].On != on {
				t.Fatalf("%v holds %+v, should not hold %v", id, p.holds[id], on)
			}
			held += p.holds[id][0].N
		}
		if s, ok := r.Semaphore(on); !ok || s != (lock.Semaphore{Stored: limits[0], Limit: limits[1], Held: held}) {
			t.Fatalf("semaphore %v is %+v, should be %v with %d held", on, s, limits, held)
		}
		if got, _ := r.Traits(on); got != (park.Traits{Limit: limits[1], Held: held}) {
			t.Fatalf("%v has %+v, should have the limit %d, %d held", on, got, limits[1], held)
		}
	}
}

// restored saves the room, restores it and puts the holds back, as the machine does.
func restored(t *rapid.T, r *lock.Room, holds map[park.ID][]park.Arm) lock.Room {
	var records [][]byte
	err := r.Save(func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	again := lock.NewRoom()
	err = again.Restore(func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ok := again.Rehold(len(holds), func(yield func(park.ID, park.Arm) bool) {
		for id, arms := range holds {
			if !yield(id, arms[0]) {
				return
			}
		}
	})
	if !ok {
		t.Fatal("the restored room says that an object is held twice")
	}
	if again.Sum() != r.Sum() {
		t.Fatal("the restored room has another hash")
	}
	return again
}
