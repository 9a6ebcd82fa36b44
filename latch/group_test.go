package latch_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/latch"
)

func group(name string) park.Object { return park.Object{Kind: park.KindWaitGroup, Name: name} }

func wait(name string) park.Arm { return park.Arm{On: group(name), N: 1} }

func id(n int) park.ID { return park.ID{Session: 1, Seq: park.Seq(n)} }

// What may be waited for at all. No Wait makes a group.
func TestAdmitWait(t *testing.T) {
	r := latch.NewGroups()
	for name, c := range map[string]struct {
		change func(a *park.Arm)
		code   park.Code
		value  int64
	}{
		"a wait":           {func(*park.Arm) {}, 0, 0},
		"the longest name": {func(a *park.Arm) { a.On.Name = strings.Repeat("x", park.MaxName) }, 0, 0},
		"a longer name":    {func(a *park.Arm) { a.On.Name = strings.Repeat("x", park.MaxName+1) }, park.Invalid, park.MaxName},
		"no name":          {func(a *park.Arm) { a.On.Name = "" }, park.Invalid, park.MaxName},
		"another kind":     {func(a *park.Arm) { a.On.Kind = park.KindOnce }, park.Invalid, 1},
		"a side":           {func(a *park.Arm) { a.Side = park.Recv }, park.Invalid, 1},
		"shared":           {func(a *park.Arm) { a.Shared = true }, park.Invalid, 1},
		"acknowledged":     {func(a *park.Arm) { a.Ack = true }, park.Invalid, 1},
		"none of it":       {func(a *park.Arm) { a.N = 0 }, park.Invalid, 1},
		"two of it":        {func(a *park.Arm) { a.N = 2 }, park.Invalid, 1},
		"a limit":          {func(a *park.Arm) { a.Limit = 1 }, park.Invalid, 1},
		"a value":          {func(a *park.Arm) { a.Value = "v" }, park.Invalid, 1},
		"a codec":          {func(a *park.Arm) { a.Codec = "json" }, park.Invalid, 1},
	} {
		a := wait("g")
		c.change(&a)
		if code, value := r.Admit(a); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		if _, ok := r.Traits(a.On); ok {
			t.Errorf("%s has made a group", name)
		}
	}
	if r.Exclusive(wait("g")) {
		t.Error("a wait excludes others")
	}
}

// What Add answers, each time in a room where session 1 has 3 of "three", and "cut" is cut
// with session 2's 2 left and "over" with none.
func TestAdd(t *testing.T) {
	for name, c := range map[string]struct {
		on    park.Object
		delta int64
		code  park.Code
		value int64
	}{
		"to a new one":            {group("new"), 5, park.Done, 5},
		"nothing to a new one":    {group("new"), 0, park.Done, 0},
		"below zero at once":      {group("new"), -1, park.Invalid, 0},
		"more":                    {group("three"), 1, park.Done, 4},
		"nothing":                 {group("three"), 0, park.Done, 3},
		"some off":                {group("three"), -2, park.Done, 1},
		"all off":                 {group("three"), -3, park.Done, 0},
		"below zero":              {group("three"), -4, park.Invalid, 3},
		"far below zero":          {group("three"), math.MinInt64, park.Invalid, 3},
		"as high as it goes":      {group("three"), latch.MaxCount - 3, park.Done, latch.MaxCount},
		"higher":                  {group("three"), latch.MaxCount - 2, park.Invalid, latch.MaxCount},
		"far too high":            {group("three"), math.MaxInt64, park.Invalid, latch.MaxCount},
		"the highest, anew":       {group("new"), latch.MaxCount, park.Done, latch.MaxCount},
		"above the highest, anew": {group("new"), latch.MaxCount + 1, park.Invalid, latch.MaxCount},
		"more, though it is cut":  {group("cut"), 1, park.Done, 3},
		"below zero, cut":         {group("cut"), -3, park.Done, 0},
		"far below zero, cut":     {group("cut"), math.MinInt64, park.Done, 0},
		"at zero, cut":            {group("over"), -1, park.Done, 0},
		"nothing at zero, cut":    {group("over"), 0, park.Done, 0},
		"a new round":             {group("over"), 1, park.Done, 1},
		"no name":                 {group(""), 1, park.Invalid, park.MaxName},
		"another kind":            {park.Object{Kind: park.KindOnce, Name: "new"}, 1, park.Invalid, 0},
	} {
		r := latch.NewGroups()
		r.Add(1, group("three"), 3, 1)
		r.Add(9, group("cut"), 7, 2)
		r.Add(2, group("cut"), 2, 3)
		r.Add(9, group("over"), 1, 4)
		r.Leave(9)
		sum := r.Sum()
		if code, value := r.Add(1, c.on, c.delta, 5); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		if (c.code != park.Done || c.delta == 0) && r.Sum() != sum {
			t.Errorf("%s: it has changed something", name)
		}
	}
}

// A session settles its own before others', and of others the one that became positive
// first, which is not the one that was added to last (SEMANTICS E4).
func TestAddSettlesOwnThenOldest(t *testing.T) {
	for name, c := range map[string]struct {
		by   park.SessionID
		n    int64
		want string
	}{
		"the youngest, one":         {3, 1, "[1:4 2:2 3:1]"},
		"the youngest, all its own": {3, 2, "[1:4 2:2]"},
		"the youngest, and more":    {3, 3, "[1:3 2:2]"},
		"the youngest, much more":   {3, 7, "[2:1]"},
		"one in the middle":         {2, 3, "[1:3 3:2]"},
		"the oldest, and more":      {1, 5, "[2:1 3:2]"},
		"one who added nothing":     {9, 5, "[2:1 3:2]"},
		"all there is":              {2, 8, "[]"},
	} {
		r := latch.NewGroups()
		r.Add(4, group("g"), 1, 1) // and settles it: its balance is none of these
		r.Add(4, group("g"), -1, 2)
		for order, s := range []park.SessionID{1, 2, 3} {
			r.Add(s, group("g"), 2, uint64(order)+3)
		}
		r.Add(1, group("g"), 2, 6)
		if code, _ := r.Add(c.by, group("g"), -c.n, 7); code != park.Done {
			t.Errorf("%s: code %d", name, code)
		}
		got := []string{}
		for s, n := range r.Balances(group("g")) {
			got = append(got, fmt.Sprintf("%d:%d", uint64(s), n))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v are left, should be %s", name, got, c.want)
		}
	}
}

// An added is one of what a pile counts. Its balance became positive at since.
type added struct {
	on    park.Object
	by    park.SessionID
	since uint64
}

// A pile is a room that is a list of every single one that was added, looked through for
// every question.
type pile struct {
	added []added
	cut   []park.Object
}

func (p *pile) clone() pile { return pile{slices.Clone(p.added), slices.Clone(p.cut)} }

func (p *pile) count(on park.Object) (n int64) {
	for _, a := range p.added {
		if a.on == on {
			n++
		}
	}
	return n
}

func (p *pile) isCut(on park.Object) bool { return slices.Contains(p.cut, on) }

func (p *pile) heal(on park.Object) {
	p.cut = slices.DeleteFunc(p.cut, func(o park.Object) bool { return o == on })
}

func (p *pile) add(s park.SessionID, on park.Object, n int64, now uint64) {
	if n > 0 && p.count(on) == 0 {
		p.heal(on)
	}
	for _, a := range p.added {
		if a.on == on && a.by == s {
			now = a.since
		}
	}
	for range n {
		p.added = append(p.added, added{on, s, now})
	}
}

// done settles one, and reports false if there is none, which is a fault if the group is
// not cut.
func (p *pile) done(s park.SessionID, on park.Object) bool {
	best := -1
	for i, a := range p.added {
		if a.on != on {
			continue
		}
		switch {
		case a.by == s:
			p.added = slices.Delete(p.added, i, i+1)
			return true
		case best < 0 || a.since < p.added[best].since:
			best = i
		}
	}
	if best >= 0 {
		p.added = slices.Delete(p.added, best, best+1)
	}
	return best >= 0
}

// leave returns the groups that are cut.
func (p *pile) leave(s park.SessionID) (cut []park.Object) {
	for _, name := range names {
		of := func(a added) bool { return a.by == s && a.on == group(name) }
		if slices.ContainsFunc(p.added, of) {
			p.added = slices.DeleteFunc(p.added, of)
			p.heal(group(name))
			p.cut = append(p.cut, group(name))
			cut = append(cut, group(name))
		}
	}
	return cut
}

// balances are those of a group in the order in which they became positive.
func (p *pile) balances(on park.Object) (lines []string) {
	count, since := map[park.SessionID]int64{}, map[uint64]park.SessionID{}
	for _, a := range p.added {
		if a.on == on {
			count[a.by]++
			since[a.since] = a.by
		}
	}
	for _, at := range slices.Sorted(maps.Keys(since)) {
		lines = append(lines, fmt.Sprint(since[at], count[since[at]]))
	}
	return lines
}

// names are those that the random histories use, in order.
var names = []string{"a", "aa", "b"}

// A room is a pile, whatever is added, settled and returned; and a copy of it stays what it
// was.
func TestGroupsAreAPile(t *testing.T) { rapid.Check(t, anyGroups) }

// FuzzGroups is TestGroupsAreAPile, guided by coverage.
func FuzzGroups(f *testing.F) { f.Fuzz(rapid.MakeFuzz(anyGroups)) }

func anyGroups(t *rapid.T) {
	r, p, now := latch.NewGroups(), pile{}, uint64(0)
	copied, then := r.Copy(), pile{}
	drawGroup := func(t *rapid.T) park.Object { return group(rapid.SampledFrom(names).Draw(t, "name")) }
	drawSession := func(t *rapid.T) park.SessionID { return park.SessionID(rapid.IntRange(1, 3).Draw(t, "session")) }
	add := func(t *rapid.T) {
		now++
		s, on, n := drawSession(t), drawGroup(t), rapid.Int64Range(0, 4).Draw(t, "n")
		code, value := r.Add(s, on, n, now)
		p.add(s, on, n, now)
		if want := p.count(on); n > 0 && (code != park.Done || value != want) {
			t.Fatalf("%v adds %d to %v: code %d (%d), should be %d", s, n, on, code, value, want)
		}
	}
	done := func(t *rapid.T) {
		now++
		s, on, n := drawSession(t), drawGroup(t), rapid.Int64Range(1, 6).Draw(t, "n")
		before, want := p.clone(), park.Done
		for range n {
			if !p.done(s, on) && !p.isCut(on) {
				p, want = before, park.Invalid
				break
			}
		}
		code, value := r.Add(s, on, -n, now)
		if code != want || value != p.count(on) {
			t.Fatalf("%v settles %d of %v: code %d (%d), should be %d (%d)", s, n, on, code, value, want, p.count(on))
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"add": add, "add more": add, "done": done, "done more": done,
		"leave": func(t *rapid.T) {
			s := drawSession(t)
			if got, want := r.Leave(s), p.leave(s); !slices.Equal(got, want) {
				t.Fatalf("%v leaves %v, should leave %v", s, got, want)
			}
		},
		"delete": func(t *rapid.T) {
			on := drawGroup(t)
			want := park.NotFound
			switch {
			case p.count(on) > 0:
				want = park.Busy
			case p.isCut(on):
				want = park.Done
				p.heal(on)
			}
			if code, value := r.Delete(on); code != want || value != p.count(on) {
				t.Fatalf("delete %v: code %d (%d), should be %d (%d)", on, code, value, want, p.count(on))
			}
		},
		"tidy": func(t *rapid.T) { r.Tidy(drawGroup(t)) },
		"copy": func(*rapid.T) { copied, then = r.Copy(), p.clone() },
		"restore": func(t *rapid.T) {
			again := latch.NewGroups()
			if err := again.Restore(replay(saved(t, r.Save))); err != nil {
				t.Fatal(err)
			}
			if again.Sum() != r.Sum() {
				t.Fatal("the restored room has another hash")
			}
			r = again
		},
		"": func(t *rapid.T) {
			compareGroups(t, &r, &p)
			compareGroups(t, &copied, &then)
		},
	})
}

func compareGroups(t *rapid.T, r *latch.Groups, p *pile) {
	live := func(s park.SessionID) bool {
		return slices.ContainsFunc(p.added, func(a added) bool { return a.by == s })
	}
	if err := errors.Join(append(r.Check(live), r.CheckSum())...); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		on := group(name)
		count, cut := p.count(on), p.isCut(on)
		want := park.Traits{Held: count}
		verdict, end := park.Yes, park.Done
		if cut {
			want.State, end = park.GroupCut, park.CutShort
		}
		if count > 0 {
			verdict = park.No
		}
		if got, ok := r.Traits(on); got != want || ok != (count > 0 || cut) {
			t.Fatalf("%v is %+v (%v), should be %+v", on, got, ok, want)
		}
		if got := r.Ready(wait(name)); got != verdict {
			t.Fatalf("Ready(%v) is %v, should be %v", on, got, verdict)
		}
		if count == 0 {
			if got := r.Commit(id(1), wait(name), 0, nil); got != (park.Result{Code: end}) {
				t.Fatalf("a Wait on %v gets %+v, should get code %d", on, got, end)
			}
		}
		var lines []string
		for s, n := range r.Balances(on) {
			lines = append(lines, fmt.Sprint(s, n))
		}
		if want := p.balances(on); !slices.Equal(lines, want) {
			t.Fatalf("%v has the balances %v, should have %v", on, lines, want)
		}
	}
	for i, name := range append(slices.Clone(names), "c") {
		want, there := park.Object{}, false
		for _, later := range names[i:] {
			if on := group(later); !there && (p.count(on) > 0 || p.isCut(on)) {
				want, there = on, true
			}
		}
		if got, ok := r.First(group(name)); ok != there || ok && got != want {
			t.Fatalf("First(%q) is %v (%v), should be %v (%v)", name, got, ok, want, there)
		}
	}
}

// Check tells of a balance that no session has any more.
func TestCheckTellsOfTheDead(t *testing.T) {
	r := latch.NewGroups()
	r.Add(1, group("g"), 1, 1)
	r.Add(2, group("g"), 1, 2)
	if faults := r.Check(func(s park.SessionID) bool { return s == 1 }); len(faults) != 1 {
		t.Errorf("session 2 is dead: %v", faults)
	}
}

// What no room has saved is not taken.
func TestGroupsRestoreRefuses(t *testing.T) {
	record := func(name string, order uint64, s park.SessionID, n int64) []byte {
		b := wire.AppendUint(group(name).Append(nil), order)
		return wire.AppendInt(wire.AppendUint(b, s), n)
	}
	for name, c := range map[string]struct {
		records [][]byte
		want    error
	}{
		"two of two":        {[][]byte{{2}, record("a", 1, 1, 1), record("a", 2, 2, 1), {0}}, nil},
		"two of one":        {[][]byte{{2}, record("a", 1, 1, 1), record("a", 2, 1, 1), {0}}, latch.ErrTwice},
		"an empty balance":  {[][]byte{{1}, record("a", 1, 1, 0), {0}}, wire.ErrCorrupt},
		"one below zero":    {[][]byte{{1}, record("a", 1, 1, -1), {0}}, wire.ErrCorrupt},
		"one too high":      {[][]byte{{1}, record("a", 1, 1, latch.MaxCount+1), {0}}, wire.ErrCorrupt},
		"a cut with a word": {[][]byte{{0}, {1}, append(group("a").Append(nil), 0)}, wire.ErrCorrupt},
		"no cut groups":     {[][]byte{{0}}, errShort},
	} {
		r := latch.NewGroups()
		if err := r.Restore(replay(c.records)); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v, should be %v", name, err, c.want)
		}
	}
}

// The encoding and the hash are in snapshots and in what nodes compare.
func TestGroupsAreWrittenSo(t *testing.T) {
	r := latch.NewGroups()
	r.Add(2, group("a"), 300, 7)
	r.Add(3, group("a"), 1, 8)
	r.Add(3, group("b"), 1, 9)
	r.Leave(3)
	want := []string{"01", "04016107" + "02d804", "02", "040161", "040162"}
	if got := hex(saved(t, r.Save)); !slices.Equal(got, want) {
		t.Errorf("saved as %v, should be %v", got, want)
	}
	if got, want := r.Sum(), uint64(0x785b0013ab071793); got != want {
		t.Errorf("the hash is %#x, should be %#x", got, want)
	}
}

// What the machine must never do stops it.
func TestBrokenGroupsPanic(t *testing.T) {
	for name, broken := range map[string]func(r *latch.Groups){
		"an order twice": func(r *latch.Groups) { r.Add(2, group("g"), 1, 1) },
		"no Wait yet":    func(r *latch.Groups) { r.Commit(id(1), wait("g"), 0, nil) },
		"released":       func(r *latch.Groups) { r.Release(id(1), wait("g"), 1) },
		"held":           func(r *latch.Groups) { r.Held(id(1), wait("g")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := latch.NewGroups()
			r.Add(1, group("g"), 1, 1)
			mustPanic(t, func() { broken(&r) })
		})
	}
}
