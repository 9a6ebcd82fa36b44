package lock_test

import (
	"strings"
	"testing"

	"coordd.dev/internal/park"
	"coordd.dev/lock"
)

func cond(name, of string) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindCond, Name: name}, N: 1, Value: of}
}

// What may be asked for of a cond, whose room keeps nothing of it.
func TestAdmitCond(t *testing.T) {
	r := lock.NewRoom()
	sum := r.Sum()
	with := func(change func(*park.Arm)) park.Arm {
		a := cond("c", "x")
		change(&a)
		return a
	}
	long := strings.Repeat("x", park.MaxName)
	for name, c := range map[string]struct {
		arm   park.Arm
		code  park.Code
		value int64
	}{
		"a cond":                 {cond("c", "x"), 0, 0},
		"of the lock's name":     {cond("x", "x"), 0, 0},
		"of the longest names":   {cond(long, long), 0, 0},
		"no name":                {cond("", "x"), park.Invalid, park.MaxName},
		"a longer name":          {cond(long+"x", "x"), park.Invalid, park.MaxName},
		"of no lock":             {cond("c", ""), park.Invalid, park.MaxName},
		"of a lock of no name":   {cond("c", "a\nb"), park.Invalid, park.MaxName},
		"of one of a longer one": {cond("c", long+"x"), park.Invalid, park.MaxName},
		"none of it":             {with(func(a *park.Arm) { a.N = 0 }), park.Invalid, 1},
		"two of it":              {with(func(a *park.Arm) { a.N = 2 }), park.Invalid, 1},
		"with a limit":           {with(func(a *park.Arm) { a.Limit = 1 }), park.Invalid, 1},
		"shared":                 {with(func(a *park.Arm) { a.Shared = true }), park.Invalid, 1},
		"on a side":              {with(func(a *park.Arm) { a.Side = park.Send }), park.Invalid, 0},
		"to acknowledge":         {with(func(a *park.Arm) { a.Ack = true }), park.Invalid, 0},
		"of a codec":             {with(func(a *park.Arm) { a.Codec = "json" }), park.Invalid, 0},
	} {
		if code, value := r.Admit(c.arm); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		if on, there := r.First(park.Object{}); there || r.Sum() != sum {
			t.Fatalf("%s: the room has %v", name, on)
		}
	}
}

// An arm of a cond never proceeds, whatever becomes of its lock, and excludes nobody.
func TestCondIsNeverReady(t *testing.T) {
	r := lock.NewRoom()
	a := cond("c", "x")
	for range 2 {
		if r.Ready(a) != park.No {
			t.Error("it is ready")
		}
		r.Commit(id(1), mutex("x"), 0, nil)
		if r.Ready(a) != park.No {
			t.Error("it is ready while its lock is held")
		}
		r.Release(id(1), mutex("x"), 1)
	}
	if lock.Exclusive(a) {
		t.Error("it excludes")
	}
}

// Who is woken waits for the lock, and knows the cond if it took a Signal. It is ready
// when the lock is free, and has a token.
func TestWoken(t *testing.T) {
	r := lock.NewRoom()
	signalled, woken := lock.Signalled(cond("c", "x")), lock.Woken(cond("c", "x"))
	if woken != mutex("x") {
		t.Errorf("woken by a Broadcast: %+v", woken)
	}
	if on, ok := lock.TookSignal(signalled); !ok || on != cond("c", "x").On || signalled.On != mutex("x").On {
		t.Errorf("woken by a Signal: %+v, which took that of %v (%v)", signalled, on, ok)
	}
	election := park.Arm{On: park.Object{Kind: park.KindElection, Name: "e"}, N: 1, Value: "me"}
	for _, a := range []park.Arm{woken, mutex("x"), cond("c", "x"), permits("s", 1, 1), election} {
		if on, ok := lock.TookSignal(a); ok || on != (park.Object{}) {
			t.Errorf("%+v took a Signal of %v", a, on)
		}
	}
	if r.Ready(signalled) != park.Yes || !lock.Exclusive(signalled) {
		t.Error("the lock is free, and who took a Signal does not get it alone")
	}
	r.Commit(id(1), signalled, 0, nil)
	if r.Ready(woken) != park.No || r.Ready(signalled) != park.No {
		t.Error("the lock is held, and another who was woken gets it")
	}
	r.Release(id(1), signalled, 1)
}

// Only who waits on a cond is woken.
func TestWakingALockPanics(t *testing.T) {
	for name, wake := range map[string]func(park.Arm) park.Arm{"Signalled": lock.Signalled, "Woken": lock.Woken} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it goes on")
				}
			}()
			wake(mutex("x"))
		})
	}
}

// A room full of holds takes who waits on a cond, who has just given one back.
func TestCondInAFullRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := lock.NewRoom()
	ok := r.Rehold(lock.MaxHeld, func(yield func(park.ID, park.Arm) bool) {
		for n := 0; n < lock.MaxHeld && yield(id(n), shared("x")); n++ {
		}
	})
	if code, _ := r.Admit(mutex("y")); !ok || code != park.Limit {
		t.Fatalf("a lock: code %d", code)
	}
	if code, _ := r.Admit(cond("c", "y")); code != 0 {
		t.Errorf("a cond: code %d", code)
	}
}
