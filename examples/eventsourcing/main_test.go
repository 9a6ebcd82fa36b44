package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

// A branch has balances of its own, kept current until closed.
type branch struct {
	*balances
	stop  context.CancelFunc
	ended chan error
}

func open(t *testing.T, cluster *coordtest.Cluster, say func(string, ...any)) *branch {
	log := eventLog{client.NewMap[seq, event](cluster.Dial(), "events")}
	ctx, stop := context.WithCancel(t.Context())
	b := &branch{newBalances(log, say), stop, make(chan error, 1)}
	go func() { b.ended <- b.follow(ctx) }()
	return b
}

func (b *branch) close(t *testing.T) {
	b.stop()
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Three processes pay out all that there is and never more, all of them see the same, and so
// does one that begins only then.
func TestBalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		var again atomic.Int32
		say := func(string, ...any) { again.Add(1) }
		var all []*branch
		for range 3 {
			all = append(all, open(t, cluster, say))
		}
		for n, account := range []string{"ann", "bob"} {
			if ok, err := all[0].log.append(t.Context(), seq(n+1), newEvent(account, 10)); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		var paid atomic.Int32
		var tellers sync.WaitGroup
		for _, b := range all {
			tellers.Go(func() {
				if err := b.await(t.Context(), 2); err != nil {
					t.Error(err)
				}
				for ok := true; ok; {
					var err error
					if ok, err = b.withdraw(t.Context(), "ann", 1); err != nil {
						t.Error(err)
					}
					if ok {
						paid.Add(1)
					}
				}
			})
		}
		tellers.Wait()
		if paid.Load() != 10 || again.Load() == 0 {
			t.Errorf("%d were paid; %d times somebody was too late", paid.Load(), again.Load())
		}
		all = append(all, open(t, cluster, say))
		for i, b := range all {
			if err := b.await(t.Context(), 12); err != nil {
				t.Error(err)
			}
			at, sums := b.all()
			if diff := cmp.Diff(map[string]int{"ann": 0, "bob": 10}, sums); diff != "" || at != 12 {
				t.Errorf("branch %d after %d events: %s", i, at, diff)
			}
			b.close(t)
		}
	})
}

// An append that is asked for again is there once, and one that comes too late is not.
func TestAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventLog{client.NewMap[seq, event](coordtest.New(t).Dial(), "events")}
		e := newEvent("ann", 1)
		for _, c := range []struct {
			n    seq
			e    event
			want bool
		}{{1, e, true}, {1, e, true}, {1, newEvent("ann", 1), false}} {
			if ok, err := log.append(t.Context(), c.n, c.e); ok != c.want || err != nil {
				t.Errorf("event %d: %t, %v", c.n, ok, err)
			}
		}
	})
}

// Events that do not follow on each other are refused, and those that do come in the order
// of their numbers, also of 9 and 10.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		b := open(t, cluster, t.Logf)
		for n := seq(1); n <= 11; n++ {
			if ok, err := b.log.append(t.Context(), n, newEvent("ann", int(n))); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		late := open(t, cluster, t.Logf)
		if err := errors.Join(b.await(t.Context(), 11), late.await(t.Context(), 11)); err != nil {
			t.Error(err)
		}
		late.close(t)
		if _, err := b.log.append(t.Context(), 13, newEvent("ann", 1)); err != nil {
			t.Error(err)
		}
		if err := <-b.ended; err == nil || !strings.Contains(err.Error(), "event 13 comes after event 11") {
			t.Error(err)
		}
	})
}

// The story is told as the doc says.
func TestStory(t *testing.T) {
	got := stagetest.Play(t)
	if n := strings.Count(got, ": pays 30"); n != 3 {
		t.Errorf("30 of 100 are paid %d times:\n%s", n, got)
	}
	if !strings.Contains(got, "auditor-2: after event 4 ann has 10\n") {
		t.Errorf("the auditor does not say what is left:\n%s", got)
	}
}
