package lock_test

import (
	"fmt"
	"strings"
	"testing"

	"coordd.dev/internal/park"
	"coordd.dev/lock"
)

func mutex(name string) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindLock, Name: name}, N: 1}
}

func shared(name string) park.Arm {
	a := mutex(name)
	a.Shared = true
	return a
}

func permits(name string, n, limit int64) park.Arm {
	return park.Arm{On: park.Object{Kind: park.KindSemaphore, Name: name}, N: n, Limit: limit}
}

func id(n int) park.ID { return park.ID{Session: 1, Seq: park.Seq(n)} }

// What may be asked for at all, in a room with a semaphore made for 5 and resized to 3.
func TestAdmit(t *testing.T) {
	r := lock.NewRoom()
	if code, _ := r.Admit(permits("s", 1, 5)); code != 0 {
		t.Fatalf("first use: code %d", code)
	}
	if code, n := r.Resize(permits("s", 1, 0).On, 3); code != park.Done || n != 3 {
		t.Fatalf("resize: code %d (%d)", code, n)
	}
	kind := mutex("x")
	kind.On.Kind = 99
	limited, many, sharedPermits := mutex("x"), mutex("x"), permits("s", 1, 5)
	limited.Limit, many.N, sharedPermits.Shared = 1, 2, true
	with := func(a park.Arm, change func(*park.Arm)) park.Arm {
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		arm   park.Arm
		code  park.Code
		value int64
	}{
		"a lock on a side":               {with(mutex("x"), func(a *park.Arm) { a.Side = park.Recv }), park.Invalid, 0},
		"a lock to acknowledge":          {with(mutex("x"), func(a *park.Arm) { a.Ack = true }), park.Invalid, 0},
		"a lock of a codec":              {with(mutex("x"), func(a *park.Arm) { a.Codec = "json" }), park.Invalid, 0},
		"a lock with a signal":           {with(mutex("x"), func(a *park.Arm) { a.Value = "c" }), park.Invalid, 0},
		"permits with a value":           {with(permits("s", 1, 5), func(a *park.Arm) { a.Value = "c" }), park.Invalid, 0},
		"a lock":                         {mutex("x"), 0, 0},
		"a read lock":                    {shared("x"), 0, 0},
		"two of a lock":                  {many, park.Invalid, 1},
		"a lock with a limit":            {limited, park.Invalid, 1},
		"another kind":                   {kind, park.Invalid, 0},
		"no name":                        {mutex(""), park.Invalid, park.MaxName},
		"a long name":                    {mutex(strings.Repeat("x", park.MaxName+1)), park.Invalid, park.MaxName},
		"permits, stored limit":          {permits("s", 3, 5), 0, 0},
		"permits, any limit":             {permits("s", 3, 0), 0, 0},
		"permits, other limit":           {permits("s", 3, 4), park.Mismatch, 5},
		"permits, limit in force":        {permits("s", 3, 3), park.Mismatch, 5},
		"permits above the one in force": {permits("s", 4, 5), park.Invalid, 3},
		"no permits":                     {permits("s", 0, 5), park.Invalid, lock.MaxPermits},
		"negative permits":               {permits("s", -1, 5), park.Invalid, lock.MaxPermits},
		"shared permits":                 {sharedPermits, park.Invalid, lock.MaxPermits},
		"a negative limit":               {permits("u", 1, -1), park.Invalid, lock.MaxPermits},
		"a limit too high":               {permits("u", 1, lock.MaxPermits+1), park.Invalid, lock.MaxPermits},
		"the highest limit":              {permits("v", lock.MaxPermits, lock.MaxPermits), 0, 0},
		"above its own limit":            {permits("u", 2, 1), park.Invalid, 1},
		"no limit, no semaphore":         {permits("u", 1, 0), park.NotFound, 0},
	} {
		if code, value := r.Admit(c.arm); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
	}
	if _, made := r.Semaphore(permits("u", 1, 0).On); made {
		t.Error("what is refused has made a semaphore")
	}
}

func TestResize(t *testing.T) {
	r := lock.NewRoom()
	for name, c := range map[string]struct {
		on    park.Object
		limit int64
		want  park.Code
	}{
		"of a lock":       {mutex("x").On, 1, park.Invalid},
		"no name":         {permits("", 1, 0).On, 1, park.Invalid},
		"to nothing":      {permits("s", 1, 0).On, 0, park.Invalid},
		"negative":        {permits("s", 1, 0).On, -1, park.Invalid},
		"too high":        {permits("s", 1, 0).On, lock.MaxPermits + 1, park.Invalid},
		"the highest":     {permits("high", 1, 0).On, lock.MaxPermits, park.Done},
		"makes it anew":   {permits("new", 1, 0).On, 7, park.Done},
		"the name of one": {permits("x", 1, 0).On, 7, park.Done},
	} {
		if code, _ := r.Resize(c.on, c.limit); code != c.want {
			t.Errorf("%s: code %d, should be %d", name, code, c.want)
		}
	}
	if s, _ := r.Semaphore(permits("new", 1, 0).On); s != (lock.Semaphore{Stored: 7, Limit: 7}) {
		t.Errorf("a semaphore that Resize made is %+v", s)
	}
}

func TestExclusive(t *testing.T) {
	for arm, want := range map[park.Arm]bool{mutex("x"): true, shared("x"): false, permits("x", 1, 1): false} {
		if got := lock.Exclusive(arm); got != want {
			t.Errorf("Exclusive(%+v) is %v", arm, got)
		}
	}
}

// Delete forgets a limit, so that the next use may be the first with another; not while
// permits are out. Of what has no limit there is nothing to delete, and nothing to tidy.
func TestDelete(t *testing.T) {
	r := lock.NewRoom()
	on := permits("s", 1, 0).On
	r.Admit(permits("s", 1, 2))
	r.Commit(id(1), permits("s", 2, 2), 0, nil)
	r.Commit(id(2), mutex("s"), 0, nil)
	for _, c := range []struct {
		name  string
		on    park.Object
		code  park.Code
		value int64
	}{
		{"permits are out", on, park.Busy, 2},
		{"a lock that is held", mutex("s").On, park.Invalid, 0},
		{"a lock", mutex("x").On, park.Invalid, 0},
		{"a cond", cond("s", "").On, park.Invalid, 0},
		{"no such limit", permits("none", 1, 0).On, park.NotFound, 0},
	} {
		if code, value := r.Delete(c.on); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", c.name, code, value, c.code, c.value)
		}
	}
	r.Release(id(1), permits("s", 2, 0), 2)
	for _, o := range []park.Object{on, mutex("s").On} {
		r.Tidy(o)
	}
	if traits, stored := r.Traits(on); !stored || traits != (park.Traits{Limit: 2}) {
		t.Errorf("an idle limit does not stay: %+v", traits)
	}
	if code, _ := r.Delete(on); code != park.Done {
		t.Errorf("deleting an idle limit: code %d", code)
	}
	if code, _ := r.Delete(on); code != park.NotFound {
		t.Errorf("deleting it again: code %d", code)
	}
	if code, _ := r.Admit(permits("s", 1, 0)); code != park.NotFound {
		t.Errorf("its limit is still taken: code %d", code)
	}
	if code, _ := r.Admit(permits("s", 3, 3)); code != 0 {
		t.Errorf("another limit after it: code %d", code)
	}
}

// What a hold is told, once more, is what it was told: there is nothing but that it is one.
func TestHeld(t *testing.T) {
	r := lock.NewRoom()
	r.Admit(permits("s", 1, 2))
	for n, a := range []park.Arm{mutex("x"), shared("y"), permits("s", 1, 2), lock.Signalled(cond("c", "z"))} {
		if got, again := r.Commit(id(n), a, 0, nil), r.Held(id(n), a); got != again || got != (park.Result{Code: park.Granted}) {
			t.Errorf("%+v: %+v, and then %+v", a, got, again)
		}
	}
}

// Check tells of what the holds do not know, of another number, and of what the room does not.
func TestCheckTells(t *testing.T) {
	r := lock.NewRoom()
	r.Admit(permits("s", 1, 3))
	r.Commit(id(1), permits("s", 2, 3), 0, nil)
	of := func(n int64) func(park.ID, park.Object, int64) bool {
		return func(at park.ID, on park.Object, held int64) bool {
			return at == id(1) && on == permits("s", 1, 0).On && held == n
		}
	}
	if faults := r.Check(of(2), 1); len(faults) != 0 {
		t.Errorf("a room that is right: %v", faults)
	}
	if faults := r.Check(of(1), 1); len(faults) != 1 {
		t.Errorf("a hold of fewer: %v", faults)
	}
	if faults := r.Check(of(2), 2); len(faults) != 1 {
		t.Errorf("a hold that the room has not: %v", faults)
	}
}

// The whole room has a limit of holds and one of semaphores.
func TestRoomLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := lock.NewRoom()
	for n := range lock.MaxHeld {
		r.Commit(id(n), shared("x"), 0, nil)
	}
	if code, n := r.Admit(mutex("y")); code != park.Limit || n != lock.MaxHeld {
		t.Errorf("at MaxHeld: code %d (%d)", code, n)
	}
	r.Release(id(7), shared("x"), 1)
	if code, _ := r.Admit(mutex("y")); code != 0 {
		t.Errorf("below MaxHeld: code %d", code)
	}
	r = lock.NewRoom()
	for n := range lock.MaxSemaphores {
		r.Resize(permits(fmt.Sprint(n), 1, 0).On, 1)
	}
	if code, n := r.Admit(permits("x", 1, 1)); code != park.Limit || n != lock.MaxSemaphores {
		t.Errorf("at MaxSemaphores: code %d (%d)", code, n)
	}
	if code, n := r.Resize(permits("x", 1, 1).On, 1); code != park.Limit || n != lock.MaxSemaphores {
		t.Errorf("resize at MaxSemaphores: code %d (%d)", code, n)
	}
	if code, _ := r.Admit(permits("7", 1, 1)); code != 0 {
		t.Errorf("one that is there, at MaxSemaphores: code %d", code)
	}
}

// What the machine must never do stops it.
func TestBrokenInvariantsPanic(t *testing.T) {
	for name, broken := range map[string]func(r *lock.Room){
		"taken twice":         func(r *lock.Room) { r.Commit(id(1), mutex("x"), 0, nil) },
		"given without being": func(r *lock.Room) { r.Release(id(2), mutex("x"), 1) },
		"more than is held":   func(r *lock.Room) { r.Release(id(1), mutex("x"), 2) },
		"no such semaphore":   func(r *lock.Room) { r.Commit(id(1), permits("s", 1, 1), 0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			r := lock.NewRoom()
			r.Commit(id(1), mutex("x"), 0, nil)
			defer func() {
				if recover() == nil {
					t.Error("it goes on")
				}
			}()
			broken(&r)
		})
	}
}
