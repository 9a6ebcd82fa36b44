package client_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A diary is what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("it happened: %q, not %q", d.lines, want)
	}
}

// After a loss Run waits for f, and leads again only then; it returns what f returns while
// it leads.
func TestRunLeadsAgainAfterALoss(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *coordtest.Cluster, *client.Client, *client.Client) (mend func()){
		"expired": func(_ *testing.T, cluster *coordtest.Cluster, a, _ *client.Client) func() {
			cluster.Pause(a)
			return func() { cluster.Resume(a) }
		},
		"revoked": func(t *testing.T, _ *coordtest.Cluster, a, by *client.Client) func() {
			revoke(t, by, a.Session().ID, false)
			return func() {}
		},
		"ended by an operator": func(t *testing.T, _ *coordtest.Cluster, a, by *client.Client) func() {
			revoke(t, by, a.Session().ID, true)
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
				a, b := cluster.Dial(client.WithTTL(3*time.Second)), cluster.Dial()
				e := a.Election("e")
				var d diary
				own := errors.New("own")
				var first client.Token
				err := e.Run(t.Context(), "a", func(ctx context.Context, term client.Token) error {
					if got, ok := client.TokenFrom(ctx); !ok || got != term || e.IsLeader(ctx) != nil {
						t.Errorf("term %v, ctx carries %v; %v", term, got, e.IsLeader(ctx))
					}
					if first != 0 {
						d.note("leads again")
						if term <= first {
							t.Errorf("term %v after %v", term, first)
						}
						return own
					}
					first = term
					d.note("leads")
					mend := lose(t, cluster, a, b)
					<-ctx.Done()
					wantErr(t, context.Cause(ctx), client.ErrLost)
					wantErr(t, e.IsLeader(t.Context()), client.ErrLost)
					d.note("lost")
					mend()
					time.Sleep(time.Hour) // it takes its time
					d.note("returns")
					return errors.New("of no interest")
				})
				if err != own { //nolint:errorlint // it is f's error and no other
					t.Errorf("Run returned %v", err)
				}
				d.want(t, "leads", "lost", "returns", "leads again")
				wantErr(t, e.IsLeader(t.Context()), client.ErrReleased)
				wantHeld(t, b, client.KindElection, "e", 0, 0)
			})
		})
	}
}

// Run resigns after f has returned, not before: when its ctx ends too. The next leads
// then.
func TestRunResignsAfterF(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		var d diary
		ran := make(chan error, 1)
		go func() {
			ran <- a.Election("e").Run(ctx, "a", func(ctx context.Context, _ client.Token) error {
				<-ctx.Done()
				d.note("a is told: " + context.Cause(ctx).Error())
				time.Sleep(time.Minute)
				d.note("a returns")
				return context.Cause(ctx)
			})
		}()
		synctest.Wait()
		won := candidate(t, cluster, b.Election("e"), "b", 1)
		cancel(enough)
		<-won
		d.note("b leads")
		wantErr(t, <-ran, enough)
		d.want(t, "a is told: enough", "a returns", "b leads")

		// While it waits to lead it ends with its ctx at once.
		err := a.Election("e").Run(ctx, "a", nil)
		wantErr(t, err, context.Canceled, enough)
		wait, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		err = a.Election("e").Run(wait, "a", nil)
		wantErr(t, err, context.DeadlineExceeded)
		synctest.Wait()
		wantHeld(t, b, client.KindElection, "e", 1, 0)
	})
}

// A ctx that ends after a loss, while f is at work still, is not waited with: no f is
// called again.
func TestRunEndsAfterALoss(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a := cluster.Dial(client.WithTTL(time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := a.Election("e").Run(ctx, "a", func(ctx context.Context, _ client.Token) error {
			calls++
			cluster.Pause(a)
			<-ctx.Done()
			cancel()
			return nil
		})
		wantErr(t, err, context.Canceled)
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
		// Nor is it with a client that is closed.
		b := cluster.Dial()
		err = b.Election("e2").Run(t.Context(), "b", func(ctx context.Context, _ client.Token) error {
			_ = b.Close()
			<-ctx.Done()
			return nil
		})
		wantErr(t, err, client.ErrClientClosed)
	})
}

func TestRunPanics(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		got := panicOf(func() {
			_ = a.Election("e").Run(t.Context(), "a", func(context.Context, client.Token) error { panic("f's") })
		})
		if got != "f's" {
			t.Errorf("panicked with %v", got)
		}
		campaign(t, b.Election("e"), "b")
	})
}

// A leader whose every term is cut short backs off; one good term, and it does not.
func TestRunBacksOff(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithTTL(time.Second)), cluster.Dial()
		var pauses []time.Duration
		var lost time.Time
		enough := errors.New("enough")
		err := a.Election("e").Run(t.Context(), "a", func(ctx context.Context, _ client.Token) error {
			if !lost.IsZero() {
				pauses = append(pauses, time.Since(lost))
			}
			switch len(pauses) {
			case 15:
				time.Sleep(time.Minute)
			case 16:
				return enough
			}
			revoke(t, b, a.Session().ID, true)
			<-ctx.Done()
			lost = time.Now()
			return nil
		})
		wantErr(t, err, enough)
		// After a loss a client rests for a margin, 100 ms, whatever Run does.
		early, late, after := pauses[0], pauses[14], pauses[15]
		if early > 200*time.Millisecond || late < 400*time.Millisecond || late > 2*time.Second || after > 200*time.Millisecond {
			t.Errorf("pauses %v", pauses)
		}
	})
}
