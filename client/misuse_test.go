package client_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// What sync throws or panics at panics here, says what was wrong, and changes nothing.
func TestMisuseOfLocksPanics(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		read, written := c.RWMutex("read"), c.RWMutex("written")
		read.RLock()
		written.Lock()
		twice := c.Mutex("twice")
		pass(twice)
		tried := c.Mutex("tried")
		if !tried.TryLock() {
			t.Fatal("a free lock is not had")
		}
		tried.Unlock()
		for _, tc := range []struct {
			what string
			do   func()
			want string
		}{
			{"Unlock", c.Mutex("m").Unlock, "unlock of unlocked lock m"},
			{"a second Unlock", twice.Unlock, "unlock of unlocked lock twice"},
			{"a second Unlock after TryLock", tried.Unlock, "unlock of unlocked lock tried"},
			{"Unlock of another's", other.RWMutex("written").Unlock, "unlock of unlocked lock written"},
			{"Unlock of a read lock", read.Unlock, "unlock of unlocked lock read"},
			{"RUnlock", c.RWMutex("m").RUnlock, "read unlock of unlocked lock m"},
			{"RUnlock of a write lock", written.RUnlock, "read unlock of unlocked lock written"},
			{"RUnlock of another's", other.RWMutex("read").RUnlock, "read unlock of unlocked lock read"},
			{"Unlock of an RLocker", c.RWMutex("m").RLocker().Unlock, "read unlock of unlocked lock m"},
		} {
			if p := fmt.Sprint(panicOf(tc.do)); !strings.Contains(p, tc.want) {
				t.Errorf("%s panicked with %s", tc.what, p)
			}
		}
		wantHeld(t, c, client.KindLock, "read", 1, 0)
		wantHeld(t, c, client.KindLock, "written", 1, 0)
		read.RUnlock()
		written.Unlock()
		pass(other.RWMutex("written"))
	})
}

// A counter never falls below zero, whoever tries, and what was refused changes nothing.
func TestMisuseOfWaitGroupPanics(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial().WaitGroup("g"), cluster.Dial().WaitGroup("g")
		mustPanic(t, client.ErrInvalid, a.Done)
		a.Add(2)
		mustPanic(t, client.ErrInvalid, func() { b.Add(-3) })
		b.Add(-1)
		mustPanic(t, client.ErrInvalid, func() { a.Add(-2) })
		done := make(chan struct{})
		go func() {
			b.Wait()
			close(done)
		}()
		cluster.AwaitWaiters(client.KindWaitGroup, "g", 1) // it is at one still
		a.Done()
		<-done
		mustPanic(t, client.ErrInvalid, b.Done)
	})
}

// A Cond works with its own lock, locked.
func TestMisuseOfCondPanics(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		m := c.Mutex("m")
		cond := c.Cond("c", m)
		pass(m)
		if p := fmt.Sprint(panicOf(cond.Wait)); !strings.Contains(p, "wait on cond c with unlocked lock m") {
			t.Errorf("Wait after Unlock panicked with %s", p)
		}
		foreign := other.Mutex("m")
		foreign.Lock()
		if panicOf(cond.Wait) == nil {
			t.Error("it waits with the lock of another")
		}
		h := must(other.Mutex("n").LockContext(t.Context()))(t)
		if _, err := cond.WaitContext(t.Context(), h); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("with the hold of another client: %v", err)
		}
		for name, l := range map[string]sync.Locker{"nil": nil, "foreign": foreign, "sync's": new(sync.Mutex)} {
			cond.L = l
			if p := fmt.Sprint(panicOf(cond.Wait)); !strings.Contains(p, "L of a Cond was changed") {
				t.Errorf("with the L %s it panicked with %s", name, p)
			}
		}
		foreign.Unlock()
	})
}
