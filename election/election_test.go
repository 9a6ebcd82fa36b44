package election_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/election"
	"coordd.dev/internal/park"
)

func candidate(name, value string) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindElection, Name: name}, N: 1, Value: value}
}

func id(n int) park.ID { return park.ID{Session: 1, Seq: park.Seq(n)} }

// What may be asked for at all.
func TestAdmit(t *testing.T) {
	r := election.NewRoom()
	r.Commit(id(1), candidate("led", "somebody"), 0, nil)
	shared, many, none, limited, kind := candidate("e", ""), candidate("e", ""), candidate("e", ""), candidate("e", ""), candidate("e", "")
	shared.Shared, many.N, none.N, limited.Limit, kind.On.Kind = true, 2, 0, 1, park.KindLock
	for name, c := range map[string]struct {
		arm   park.Arm
		code  park.Code
		value int64
	}{
		"a candidate":         {candidate("e", "host:80"), 0, 0},
		"without a value":     {candidate("e", ""), 0, 0},
		"where somebody does": {candidate("led", "x"), 0, 0},
		"the longest value":   {candidate("e", strings.Repeat("v", election.MaxValue)), 0, 0},
		"a longer one":        {candidate("e", strings.Repeat("v", election.MaxValue+1)), park.Invalid, election.MaxValue},
		"the longest name":    {candidate(strings.Repeat("e", park.MaxName), ""), 0, 0},
		"a longer name":       {candidate(strings.Repeat("e", park.MaxName+1), ""), park.Invalid, park.MaxName},
		"no name":             {candidate("", ""), park.Invalid, park.MaxName},
		"shared":              {shared, park.Invalid, 1},
		"two of it":           {many, park.Invalid, 1},
		"none of it":          {none, park.Invalid, 1},
		"with a limit":        {limited, park.Invalid, 1},
		"another kind":        {kind, park.Invalid, 1},
	} {
		if code, value := r.Admit(c.arm); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
	}
}

// A pile is a room that is a list of leaders, looked through for every question.
type pile []led

type led struct {
	on park.Object
	id park.ID
}

func (p pile) find(on park.Object) int {
	return slices.IndexFunc(p, func(l led) bool { return l.on == on })
}

// first is the least election from one on.
func (p pile) first(from park.Object) (least park.Object, ok bool) {
	for _, l := range p {
		if l.on.Name >= from.Name && (!ok || l.on.Name < least.Name) {
			least, ok = l.on, true
		}
	}
	return least, ok
}

// A room is a pile, whoever leads and resigns; and a copy of it stays what it was.
func TestRoomIsAPile(t *testing.T) { rapid.Check(t, anyRoom) }

// FuzzRoom is TestRoomIsAPile, guided by coverage.
func FuzzRoom(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyRoom)) }

func anyRoom(t *rapid.T) {
	r, next := election.NewRoom(), 0
	var p, then pile
	copied := r.Copy()
	names := []string{"a", "aa", "b", "c"}
	t.Repeat(map[string]func(*rapid.T){
		"lead": func(t *rapid.T) {
			a := candidate(rapid.SampledFrom(names).Draw(t, "name"), "v")
			if got, want := r.Ready(a) == park.Yes, p.find(a.On) < 0; got != want {
				t.Fatalf("Ready(%v) is %v, should be %v", a.On, got, want)
			} else if got {
				next++
				r.Commit(id(next), a, 0, nil)
				p = append(p, led{a.On, id(next)})
			}
		},
		"resign": func(t *rapid.T) {
			if len(p) > 0 {
				i := rapid.IntRange(0, len(p)-1).Draw(t, "which")
				r.Release(p[i].id, park.Arm{On: p[i].on, N: 1}, 1)
				p = slices.Delete(slices.Clone(p), i, i+1)
			}
		},
		"copy": func(*rapid.T) { copied, then = r.Copy(), slices.Clone(p) },
		"restore": func(*rapid.T) {
			r = election.NewRoom()
			ok := r.Rehold(len(p), func(yield func(park.ID, park.Arm) bool) {
				for _, l := range p {
					if !yield(l.id, candidate(l.on.Name, "v")) {
						return
					}
				}
			})
			if !ok {
				t.Fatal("the restored room says that an election has two leaders")
			}
		},
		"": func(t *rapid.T) {
			compare(t, &r, p, names)
			compare(t, &copied, then, names)
		},
	})
}

func compare(t *rapid.T, r *election.Room, p pile, names []string) {
	if faults := r.Check(func(id park.ID, on park.Object) bool { return slices.Contains(p, led{on, id}) }, len(p)); len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, name := range append([]string{""}, names...) {
		on := candidate(name, "").On
		leader, ok := r.Leader(on)
		if i := p.find(on); ok != (i >= 0) || ok && leader != p[i].id {
			t.Fatalf("%v leads %s (%v), should be as in %v", leader, name, ok, p)
		}
		got, ok := r.First(on)
		if want, there := p.first(on); got != want || ok != there {
			t.Fatalf("First(%q) is %v (%v), should be %v (%v)", name, got, ok, want, there)
		}
	}
}

// There is nothing stored of an election: nothing to delete or to tidy, led or not.
func TestNothingStored(t *testing.T) {
	r := election.NewRoom()
	a := candidate("e", "v")
	if got, again := r.Commit(id(1), a, 0, nil), r.Held(id(1), a); got != again || got != (park.Result{Code: park.Granted}) {
		t.Errorf("a leadership: %+v, and then %+v", got, again)
	}
	for range 2 {
		leader, led := r.Leader(a.On)
		if code, value := r.Delete(a.On); code != park.Invalid || value != 0 {
			t.Errorf("delete: code %d (%d)", code, value)
		}
		r.Tidy(a.On)
		if traits, stored := r.Traits(a.On); stored || traits != (park.Traits{}) {
			t.Errorf("it has %+v", traits)
		}
		if now, still := r.Leader(a.On); now != leader || still != led {
			t.Errorf("%v led, now %v does", leader, now)
		}
		if led {
			r.Release(id(1), a, 1)
		}
	}
}

// Check tells of what the holds do not know, and of what the room does not.
func TestCheckTells(t *testing.T) {
	r := election.NewRoom()
	r.Commit(id(1), candidate("e", ""), 0, nil)
	holds := map[led]bool{{candidate("e", "").On, id(1)}: true}
	of := func(holds map[led]bool) func(park.ID, park.Object) bool {
		return func(id park.ID, on park.Object) bool { return holds[led{on, id}] }
	}
	if faults := r.Check(of(holds), 1); len(faults) != 0 {
		t.Errorf("a room that is right: %v", faults)
	}
	if faults := r.Check(of(holds), 2); len(faults) != 1 {
		t.Errorf("a leadership that the room has not: %v", faults)
	}
	if faults := r.Check(of(nil), 0); len(faults) != 2 {
		t.Errorf("a leadership that is no hold: %v", faults)
	}
}

// The whole room has a limit.
func TestRoomLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := election.NewRoom()
	r.Rehold(election.MaxLed, func(yield func(park.ID, park.Arm) bool) {
		for n := 0; n < election.MaxLed && yield(id(n), candidate(fmt.Sprint(n), "")); n++ {
		}
	})
	if code, n := r.Admit(candidate("e", "")); code != park.Limit || n != election.MaxLed {
		t.Errorf("at MaxLed: code %d (%d)", code, n)
	}
	on, _ := r.First(park.Object{})
	leader, _ := r.Leader(on)
	r.Release(leader, park.Arm{On: on, N: 1}, 1)
	if code, _ := r.Admit(candidate("e", "")); code != 0 {
		t.Errorf("below MaxLed: code %d", code)
	}
}

// What the machine must never do stops it.
func TestBrokenInvariantsPanic(t *testing.T) {
	for name, broken := range map[string]func(r *election.Room){
		"two leaders":         func(r *election.Room) { r.Commit(id(2), candidate("e", ""), 0, nil) },
		"another resigns":     func(r *election.Room) { r.Release(id(2), candidate("e", ""), 1) },
		"nobody leads it":     func(r *election.Room) { r.Release(id(1), candidate("f", ""), 1) },
		"another of the name": func(r *election.Room) { r.Release(id(1), park.Arm{On: park.Object{Kind: park.KindLock, Name: "e"}}, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := election.NewRoom()
			r.Commit(id(1), candidate("e", ""), 0, nil)
			defer func() {
				if recover() == nil {
					t.Error("it goes on")
				}
			}()
			broken(&r)
		})
	}
}
