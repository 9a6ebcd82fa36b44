package coordtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lock(t *testing.T, c *client.Client, name string) *client.Hold {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := c.Mutex(name).LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Every size works, in a bubble and out of it.
func TestSizes(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			cluster := coordtest.NewCluster(t, n)
			lock(t, cluster.Dial(), "m")
			time.Sleep(10 * time.Minute)
			if got := cluster.Node(n - 1).Name(); got != string([]byte{'n', '0' + byte(n)}) {
				t.Error(got)
			}
		})
	}
	lock(t, coordtest.NewCluster(t, 3).Dial(), "m")
}

// What was acknowledged survives the death of every node.
func TestKillAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		c := cluster.Dial(client.WithTTL(time.Minute))
		h := lock(t, c, "m")
		for i := range 3 {
			cluster.Node(i).Kill()
		}
		for i := range 3 {
			cluster.Node(i).Restart()
		}
		other := cluster.Dial()
		if _, err := other.Mutex("m").TryLockContext(t.Context()); !errors.Is(err, client.ErrBusy) {
			t.Errorf("the hold is forgotten: %v", err)
		}
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if h := lock(t, other, "m"); h.Token() == 0 {
			t.Error("no token")
		}
	})
}

func TestPartitionAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.NewCluster(t, 3)
		old := cluster.Leader()
		cluster.Partition([]*coordtest.Node{old}) // the others are alone too
		c := cluster.Dial                         // needs a majority
		time.Sleep(10 * time.Second)
		cluster.Heal()
		lock(t, c(), "m")

		leader := cluster.Leader()
		leader.Isolate()
		time.Sleep(10 * time.Second)
		if n := cluster.Leader(); n == leader {
			t.Error("an isolated node leads")
		}
		lock(t, c(), "n")
		cluster.Heal()

		leader = cluster.Leader()
		leader.Pause()
		time.Sleep(10 * time.Second)
		if n := cluster.Leader(); n == leader {
			t.Error("a paused node leads")
		}
		leader.Resume()
		time.Sleep(10 * time.Second)
		lock(t, c(), "o")
	})
}

// Pause is a cable unplugged: nothing is lost that was sent, and it flows again.
func TestPauseOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		a, b := cluster.Dial(), cluster.Dial()
		h := lock(t, a, "m")
		cluster.Pause(a)
		done := make(chan error, 1)
		go func() { done <- h.Unlock(context.Background()) }()
		time.Sleep(2 * time.Second)
		if _, err := b.Mutex("m").TryLockContext(t.Context()); !errors.Is(err, client.ErrBusy) {
			t.Errorf("the Unlock of a paused client arrived: %v", err)
		}
		cluster.Resume(a)
		if err := <-done; err != nil {
			t.Error(err)
		}
		lock(t, b, "m")
	})
}

func TestTarget(t *testing.T) {
	cluster := coordtest.NewCluster(t, 3)
	target := cluster.Target()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 2 { // before and after the death of the leader
		c, err := client.Dial(ctx, target, client.WithTTL(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		h := lock(t, c, "m")
		if err := h.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if i == 0 {
			cluster.KillLeader()
			cluster.Leader()
		}
	}
}

// failing is a test that notes how it failed.
type failing struct {
	testing.TB
	how string
}

type failed struct{}

func (f *failing) Fatalf(format string, _ ...any) { f.how = format; panic(failed{}) }
func (f *failing) Fatal(args ...any)              { f.how, _ = args[0].(string); panic(failed{}) }

// What cannot be done fails the test.
func TestMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{TB: t}
		cluster := coordtest.New(f)
		for _, misuse := range []func(){
			func() { coordtest.NewCluster(f, 8) },
			func() { cluster.Pause(&client.Client{}) },
			func() { cluster.Node(0).Restart() },
			func() { cluster.AwaitWaiters(client.KindLock, "m", 1) },
			func() {
				cluster.Node(0).Kill()
				cluster.Node(0).Kill()
			},
			func() { cluster.Leader() },
			func() { cluster.Dial() },
		} {
			f.how = ""
			func() {
				defer func() {
					if _, ok := recover().(failed); !ok {
						t.Error("did not fail")
					}
					t.Log(f.how)
				}()
				misuse()
			}()
		}
	})
}
