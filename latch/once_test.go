package latch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/latch"
)

func once(name string) park.Object { return park.Object{Kind: park.KindOnce, Name: name} }

func call(name string) park.Arm { return park.Arm{On: once(name), N: 1} }

func await(name string) park.Arm { return park.Arm{On: once(name), N: 1, Side: park.Recv} }

// What may be asked for at all. No asking makes a once.
func TestAdmitCall(t *testing.T) {
	r := latch.NewOnces()
	for name, c := range map[string]struct {
		change func(a *park.Arm)
		code   park.Code
		value  int64
	}{
		"a call":           {func(*park.Arm) {}, 0, 0},
		"for the result":   {func(a *park.Arm) { a.Side = park.Recv }, 0, 0},
		"the longest name": {func(a *park.Arm) { a.On.Name = strings.Repeat("x", park.MaxName) }, 0, 0},
		"a longer name":    {func(a *park.Arm) { a.On.Name = strings.Repeat("x", park.MaxName+1) }, park.Invalid, park.MaxName},
		"no name":          {func(a *park.Arm) { a.On.Name = "" }, park.Invalid, park.MaxName},
		"another kind":     {func(a *park.Arm) { a.On.Kind = park.KindWaitGroup }, park.Invalid, 1},
		"another side":     {func(a *park.Arm) { a.Side = park.Send }, park.Invalid, 1},
		"no side":          {func(a *park.Arm) { a.Side = 9 }, park.Invalid, 1},
		"shared":           {func(a *park.Arm) { a.Shared = true }, park.Invalid, 1},
		"acknowledged":     {func(a *park.Arm) { a.Ack = true }, park.Invalid, 1},
		"none of it":       {func(a *park.Arm) { a.N = 0 }, park.Invalid, 1},
		"two of it":        {func(a *park.Arm) { a.N = 2 }, park.Invalid, 1},
		"a limit":          {func(a *park.Arm) { a.Limit = 1 }, park.Invalid, 1},
		"a value":          {func(a *park.Arm) { a.Value = "v" }, park.Invalid, 1},
		"a codec":          {func(a *park.Arm) { a.Codec = "json" }, park.Invalid, 1},
	} {
		a := call("o")
		c.change(&a)
		if code, value := r.Admit(a); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		if _, ok := r.Traits(a.On); ok {
			t.Errorf("%s has made a once", name)
		}
	}
	if !r.Exclusive(call("o")) || r.Exclusive(await("o")) {
		t.Error("a runner excludes others, who waits for the result does not")
	}
}

// What Complete answers, each time in a room where call 1 runs "run", and "done" is done.
func TestComplete(t *testing.T) {
	for name, c := range map[string]struct {
		id     int
		on     string
		result string
		how    int64
		code   park.Code
		value  int64
	}{
		"it returned":          {1, "run", "v", latch.Returned, park.Done, 0},
		"with nothing":         {1, "run", "", latch.Returned, park.Done, 0},
		"it panicked":          {1, "run", "why", latch.Panicked, park.Done, 0},
		"the longest":          {1, "run", strings.Repeat("v", latch.MaxResult), latch.Returned, park.Done, 0},
		"a longer one":         {1, "run", strings.Repeat("v", latch.MaxResult+1), latch.Returned, park.Invalid, latch.MaxResult},
		"it ended nohow":       {1, "run", "v", 0, park.Invalid, latch.Panicked},
		"it ended otherwise":   {1, "run", "v", latch.Panicked + 1, park.Invalid, latch.Panicked},
		"of another call":      {2, "run", "v", latch.Returned, park.NotFound, 0},
		"of one that is done":  {1, "done", "v", latch.Returned, park.NotFound, 0},
		"of one that is not":   {1, "none", "v", latch.Returned, park.NotFound, 0},
		"of another, too long": {2, "run", strings.Repeat("v", latch.MaxResult+1), latch.Returned, park.NotFound, 0},
	} {
		r := latch.NewOnces()
		r.Commit(id(1), call("done"), 0, nil)
		r.Complete(id(1), once("done"), "first", latch.Returned)
		r.Commit(id(1), call("run"), 0, nil)
		sum := r.Sum()
		if code, value := r.Complete(id(c.id), once(c.on), c.result, c.how); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		_, run := r.Runner(once("run"))
		if refused := c.code != park.Done; run != refused || (r.Sum() == sum) != refused {
			t.Errorf("%s: it is run on: %v, and the hash is %x, was %x", name, run, r.Sum(), sum)
		}
	}
}

// A story is a once. A shelf is a room that is a list of them, looked through for every
// question; those that are neither run nor done are not on it.
type story struct {
	on     park.Object
	runner park.ID // none if it is done
	how    int64
	result string
}

type shelf []story

func (s shelf) find(on park.Object) (int, story) {
	for i, o := range s {
		if o.on == on {
			return i, o
		}
	}
	return -1, story{}
}

func (s shelf) with(o story) shelf { return append(s.without(o.on), o) }

func (s shelf) without(on park.Object) shelf {
	return slices.DeleteFunc(slices.Clone(s), func(o story) bool { return o.on == on })
}

func (s shelf) runs(id park.ID, on park.Object) bool {
	_, o := s.find(on)
	return o.runner == id && o.how == 0
}

func (s shelf) runners() (running []story) {
	for _, o := range s {
		if o.how == 0 {
			running = append(running, o)
		}
	}
	return running
}

// A room is a shelf, whoever runs, completes and gives up; and a copy of it stays what it
// was.
func TestOncesAreAShelf(t *testing.T) { rapid.Check(t, anyOnces) }

// FuzzOnces is TestOncesAreAShelf, guided by coverage.
func FuzzOnces(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyOnces)) }

func anyOnces(t *rapid.T) {
	r, s, next := latch.NewOnces(), shelf{}, 0
	copied, then := r.Copy(), shelf{}
	drawName := func(t *rapid.T) string { return rapid.SampledFrom(names).Draw(t, "name") }
	t.Repeat(map[string]func(*rapid.T){
		"call": func(t *rapid.T) {
			a := call(drawName(t))
			i, o := s.find(a.On)
			if i >= 0 && o.how == 0 {
				return // somebody runs it, as comparing finds
			}
			next++
			got, want := r.Commit(id(next), a, 0, nil), park.Result{Code: park.Granted}
			if i >= 0 {
				want = park.Result{Code: park.Done, Value: o.how, Data: o.result}
			} else {
				s = s.with(story{on: a.On, runner: id(next)})
			}
			if got != want {
				t.Fatalf("a call of %v gets %+v, should get %+v", a.On, got, want)
			}
		},
		"complete": func(t *rapid.T) {
			on := once(drawName(t))
			by := id(rapid.IntRange(max(next-3, 0), next).Draw(t, "id"))
			result := rapid.SampledFrom([]string{"", "v", "value"}).Draw(t, "result")
			how := rapid.SampledFrom([]int64{latch.Returned, latch.Panicked}).Draw(t, "how")
			want := park.NotFound
			if s.runs(by, on) {
				want = park.Done
				s = s.with(story{on: on, how: how, result: result})
			}
			if code, _ := r.Complete(by, on, result, how); code != want {
				t.Fatalf("%v completes %v: code %d, should be %d", by, on, code, want)
			}
		},
		"give up": func(t *rapid.T) {
			name := drawName(t)
			if i, o := s.find(once(name)); i >= 0 && o.how == 0 {
				r.Release(o.runner, call(name), 1)
				s = s.without(o.on)
			}
		},
		"delete": func(t *rapid.T) {
			on, want := once(drawName(t)), park.NotFound
			switch i, o := s.find(on); {
			case i >= 0 && o.how == 0:
				want = park.Busy
			case i >= 0:
				want = park.Done
				s = s.without(on)
			}
			if code, _ := r.Delete(on); code != want {
				t.Fatalf("delete %v: code %d, should be %d", on, code, want)
			}
		},
		"tidy":    func(t *rapid.T) { r.Tidy(once(drawName(t))) },
		"copy":    func(*rapid.T) { copied, then = r.Copy(), slices.Clone(s) },
		"restore": func(t *rapid.T) { r = restoredOnces(t, &r, s) },
		"": func(t *rapid.T) {
			compareOnces(t, &r, s)
			compareOnces(t, &copied, then)
		},
	})
}

// restoredOnces saves the room, restores it and puts the runners back, as the machine does.
func restoredOnces(t *rapid.T, r *latch.Onces, s shelf) latch.Onces {
	again := latch.NewOnces()
	if err := again.Restore(replay(saved(t, r.Save))); err != nil {
		t.Fatal(err)
	}
	if !rehold(&again, s.runners()) {
		t.Fatal("the restored room says that a once is run twice, or run and done")
	}
	if again.Sum() != r.Sum() {
		t.Fatal("the restored room has another hash")
	}
	return again
}

func rehold(r *latch.Onces, running []story) bool {
	return r.Rehold(len(running), func(yield func(park.ID, park.Arm) bool) {
		for _, o := range running {
			if !yield(o.runner, call(o.on.Name)) {
				return
			}
		}
	})
}

func compareOnces(t *rapid.T, r *latch.Onces, s shelf) {
	if err := errors.Join(append(r.Check(s.runs, len(s.runners())), r.CheckSum())...); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		compareOnce(t, r, s, name)
	}
	for i, name := range append(slices.Clone(names), "c") {
		want, there := park.Object{}, false
		for _, later := range names[min(i, len(names)):] {
			if at, _ := s.find(once(later)); !there && at >= 0 {
				want, there = once(later), true
			}
		}
		if got, ok := r.First(once(name)); ok != there || ok && got != want {
			t.Fatalf("First(%q) is %v (%v), should be %v (%v)", name, got, ok, want, there)
		}
	}
}

func compareOnce(t *rapid.T, r *latch.Onces, s shelf, name string) {
	i, o := s.find(once(name))
	runs, gets := park.Yes, park.No
	var traits park.Traits
	switch {
	case i >= 0 && o.how == 0:
		runs = park.No
	case i >= 0:
		gets = park.Yes
		traits = park.Traits{Bytes: int64(len(o.result)), State: park.OnceDone}
		if o.how == latch.Panicked {
			traits.State = park.OncePanicked
		}
		if got, want := r.Commit(id(0), await(name), 0, nil), (park.Result{Code: park.Done, Value: o.how, Data: o.result}); got != want {
			t.Fatalf("who waits for %q gets %+v, should get %+v", name, got, want)
		}
	}
	if got := r.Ready(call(name)); got != runs {
		t.Fatalf("a call of %q: %v, should be %v", name, got, runs)
	}
	if got := r.Ready(await(name)); got != gets {
		t.Fatalf("who waits for %q: %v, should be %v", name, got, gets)
	}
	if got, ok := r.Traits(once(name)); got != traits || ok != (i >= 0) {
		t.Fatalf("%q is %+v (%v), should be %+v", name, got, ok, traits)
	}
	if got, ok := r.Runner(once(name)); got != o.runner || ok != (i >= 0 && o.how == 0) {
		t.Fatalf("%v runs %q (%v), should be %v", got, name, ok, o.runner)
	}
	if code, value := r.Admit(call(name)); code != 0 || value != 0 {
		t.Fatalf("a call of %q is not admitted: code %d (%d)", name, code, value)
	}
}

// A retry of the call that became the runner is told so again.
func TestHeldIsGrantedAgain(t *testing.T) {
	r := latch.NewOnces()
	granted := r.Commit(id(1), call("o"), 0, nil)
	if got := r.Held(id(1), call("o")); got != granted || got.Code != park.Granted {
		t.Errorf("Held is %+v, Commit returned %+v", got, granted)
	}
}

// Check tells of what the holds do not know, of what the room does not, and of what is
// both run and done.
func TestCheckTellsOfRunners(t *testing.T) {
	r := latch.NewOnces()
	r.Commit(id(1), call("o"), 0, nil)
	by := func(n int) func(park.ID, park.Object) bool {
		return func(runner park.ID, on park.Object) bool { return runner == id(n) && on == once("o") }
	}
	if faults := r.Check(by(1), 1); len(faults) != 0 {
		t.Errorf("a room that is right: %v", faults)
	}
	if faults := r.Check(by(1), 2); len(faults) != 1 {
		t.Errorf("a run that the room has not: %v", faults)
	}
	if faults := r.Check(by(2), 0); len(faults) != 2 {
		t.Errorf("a run that is no hold: %v", faults)
	}
	r.Complete(id(1), once("o"), "v", latch.Returned)
	rehold(&r, []story{{on: once("o"), runner: id(1)}})
	if faults := r.Check(by(1), 1); len(faults) != 1 {
		t.Errorf("a run of one that is done: %v", faults)
	}
}

// What no room has saved, and runs that cannot be, are not taken.
func TestOncesRestoreRefuses(t *testing.T) {
	record := func(how int64) []byte {
		return wire.AppendString(wire.AppendInt(once("o").Append(nil), how), "v")
	}
	for how, want := range map[int64]error{0: wire.ErrCorrupt, 1: nil, 2: nil, 3: wire.ErrCorrupt, -1: wire.ErrCorrupt} {
		r := latch.NewOnces()
		if err := r.Restore(replay([][]byte{{1}, record(how)})); !errors.Is(err, want) {
			t.Errorf("ended by %d: error is %v, should be %v", how, err, want)
		}
	}
	for name, c := range map[string]struct {
		running []story
		want    bool
	}{
		"two":         {[]story{{on: once("a"), runner: id(1)}, {on: once("b"), runner: id(2)}}, true},
		"two of one":  {[]story{{on: once("a"), runner: id(1)}, {on: once("a"), runner: id(2)}}, false},
		"one is done": {[]story{{on: once("a"), runner: id(1)}, {on: once("o"), runner: id(2)}}, false},
	} {
		r := latch.NewOnces()
		if err := r.Restore(replay([][]byte{{1}, record(latch.Returned)})); err != nil {
			t.Fatal(err)
		}
		if got := rehold(&r, c.running); got != c.want {
			t.Errorf("%s: Rehold returns %v", name, got)
		}
	}
}

// The encoding and the hash are in snapshots and in what nodes compare.
func TestOncesAreWrittenSo(t *testing.T) {
	r := latch.NewOnces()
	r.Commit(id(1), call("a"), 0, nil)
	r.Commit(id(2), call("b"), 0, nil)
	r.Commit(id(3), call("c"), 0, nil)
	r.Complete(id(1), once("a"), "v", latch.Returned)
	r.Complete(id(2), once("b"), "", latch.Panicked)
	want := []string{"02", "050161" + "02" + "0176", "050162" + "04" + "00"}
	if got := hex(saved(t, r.Save)); !slices.Equal(got, want) {
		t.Errorf("saved as %v, should be %v", got, want)
	}
	if got, want := r.Sum(), uint64(0xcca70162a0d249cf); got != want {
		t.Errorf("the hash is %#x, should be %#x", got, want)
	}
}

// The whole room has a limit of onces. What is there is admitted at it.
func TestOncesLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := latch.NewOnces()
	for n := range latch.MaxOnces {
		name := fmt.Sprint(n)
		r.Commit(id(n), call(name), 0, nil)
		if n%2 == 0 {
			r.Complete(id(n), once(name), "", latch.Returned)
		}
	}
	for name, c := range map[string]struct {
		arm   park.Arm
		code  park.Code
		value int64
	}{
		"a new one":       {call("new"), park.Limit, latch.MaxOnces},
		"for its result":  {await("new"), 0, 0},
		"one that is run": {call("7"), 0, 0},
		"a result":        {call("8"), 0, 0},
	} {
		if code, n := r.Admit(c.arm); code != c.code || n != c.value {
			t.Errorf("%s, at MaxOnces: code %d (%d), should be %d (%d)", name, code, n, c.code, c.value)
		}
	}
	r.Delete(once("8"))
	if code, _ := r.Admit(call("new")); code != 0 {
		t.Errorf("below MaxOnces: code %d", code)
	}
}

// The results of the whole room have a limit. A function that has begun is not heard if
// others took the rest meanwhile; none begins whose result might find no place.
func TestOncesStoredLimit(t *testing.T) {
	r, longest := latch.NewOnces(), strings.Repeat("v", latch.MaxResult)
	r.Commit(id(1), call("late"), 0, nil)
	for n := range latch.MaxStored / latch.MaxResult {
		name := fmt.Sprint(n)
		if code, limit := r.Admit(call(name)); code != 0 {
			t.Fatalf("call of once %d: code %d (%d)", n, code, limit)
		}
		r.Commit(id(2), call(name), 0, nil)
		if code, limit := r.Complete(id(2), once(name), longest, latch.Returned); code != park.Done {
			t.Fatalf("result %d: code %d (%d)", n, code, limit)
		}
	}
	if code, n := r.Admit(call("new")); code != park.Limit || n != latch.MaxStored {
		t.Errorf("a new one, at MaxStored: code %d (%d)", code, n)
	}
	if code, _ := r.Admit(call("late")); code != 0 {
		t.Errorf("one that is run, at MaxStored: code %d", code)
	}
	if code, n := r.Complete(id(1), once("late"), "v", latch.Returned); code != park.Limit || n != latch.MaxStored {
		t.Errorf("a result at MaxStored: code %d (%d)", code, n)
	}
	r.Delete(once("7"))
	if code, _ := r.Complete(id(1), once("late"), longest, latch.Returned); code != park.Done {
		t.Errorf("a result below MaxStored: code %d", code)
	}
	if faults := r.Check(func(park.ID, park.Object) bool { return false }, 0); len(faults) != 0 {
		t.Error(faults)
	}
}

// What the machine must never do stops it.
func TestBrokenOncesPanic(t *testing.T) {
	for name, broken := range map[string]func(r *latch.Onces){
		"two runners":      func(r *latch.Onces) { r.Commit(id(2), call("o"), 0, nil) },
		"no result yet":    func(r *latch.Onces) { r.Commit(id(2), await("o"), 0, nil) },
		"another gives up": func(r *latch.Onces) { r.Release(id(2), call("o"), 1) },
		"nobody runs it":   func(r *latch.Onces) { r.Release(id(1), call("none"), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := latch.NewOnces()
			r.Commit(id(1), call("o"), 0, nil)
			mustPanic(t, func() { broken(&r) })
		})
	}
}
