package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A leader hands over past everybody who waits, and leads on if its heir does not wait.
func TestTransfer(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b, c := cluster.Dial(), cluster.Dial(), cluster.Dial()
		ea := a.Election("e")
		l := campaign(t, ea, "a")
		for _, to := range []client.SessionID{c.Session().ID, a.Session().ID, "ffffffffffffffff"} {
			err := l.TransferTo(t.Context(), to)
			wantErr(t, err, client.ErrNotFound)
			if want := "transfer election e to " + string(to) + ": not found: no candidate of that session waits"; err.Error() != want {
				t.Errorf("%q, not %q", err, want)
			}
			if err := errors.Join(l.Err(), ea.IsLeader(t.Context()), l.Context().Err()); err != nil {
				t.Errorf("refused, it leads still: %v", err)
			}
		}
		ahead := candidate(t, cluster, b.Election("e", client.WithPriority(9)), "b", 1)
		heir := candidate(t, cluster, c.Election("e"), "c", 2)
		if err := l.TransferTo(t.Context(), c.Session().ID); err != nil {
			t.Fatal(err)
		}
		next := <-heir
		if next.Token() <= l.Token() {
			t.Errorf("term %v after %v", next.Token(), l.Token())
		}
		wantErr(t, l.Err(), client.ErrReleased)
		wantErr(t, ea.IsLeader(t.Context()), client.ErrReleased)
		wantErr(t, context.Cause(l.Context()), context.Canceled)
		select {
		case <-l.Lost():
			t.Error("handed over is not lost")
		default:
		}
		wantErr(t, l.Proclaim(t.Context(), "a2"), client.ErrReleased)
		wantErr(t, l.TransferTo(t.Context(), b.Session().ID), client.ErrReleased)
		wantErr(t, l.Resign(t.Context()), client.ErrReleased)
		wantLeader(t, a, "c")
		if err := next.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		<-ahead
	})
}

// Until the answer to a TransferTo has come nobody takes himself for the leader; and it is
// taken although nobody waits for it any more.
func TestTransferUnanswered(t *testing.T) {
	for name, c := range map[string]struct{ waits, sent bool }{
		"done":       {waits: true, sent: true},
		"refused":    {waits: false, sent: true},
		"never sent": {waits: true, sent: false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
				a, b := cluster.Dial(client.WithTTL(time.Hour)), cluster.Dial()
				e := a.Election("e")
				l := campaign(t, e, "a")
				var won <-chan *client.Leadership
				if c.waits {
					won = candidate(t, cluster, b.Election("e"), "b", 1)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if c.sent {
					cluster.Pause(a)
				} else {
					cluster.Node(0).Kill()
					synctest.Wait()
				}
				under := make(chan error, 1)
				time.AfterFunc(time.Second/2, func() { under <- l.Err() })
				err := l.TransferTo(ctx, b.Session().ID)
				wantErr(t, err, context.DeadlineExceeded)
				wantErr(t, <-under, client.ErrReleased)
				if errors.Is(err, client.ErrUnknown) != c.sent {
					t.Errorf("sent: %v, and the error is %v", c.sent, err)
				}
				if c.sent {
					wantErr(t, l.Err(), client.ErrReleased)
					wantErr(t, e.IsLeader(t.Context()), client.ErrReleased)
					if l.Context().Err() != nil {
						t.Error("its ctx has ended before it is known")
					}
					cluster.Resume(a)
				} else {
					cluster.Node(0).Restart()
				}
				time.Sleep(10 * time.Second)
				if c.waits && c.sent {
					wantErr(t, l.Err(), client.ErrReleased)
					wantErr(t, l.Context().Err(), context.Canceled)
					wantLeader(t, b, "b")
					return
				}
				if err := errors.Join(l.Err(), e.IsLeader(t.Context()), l.Context().Err(), l.Resign(t.Context())); err != nil {
					t.Errorf("it leads still: %v", err)
				}
				if c.waits {
					<-won
				}
			})
		})
	}
}

// The leader of coordd dies while a leadership is handed over: it is handed over once, or
// not at all, and both sides know which.
func TestTransferWhileCoorddChangesItsLeader(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		clients := []*client.Client{cluster.Dial(), cluster.Dial()}
		l := campaign(t, clients[0].Election("e"), "0")
		for i := range 20 {
			from, to := clients[i%2], clients[1-i%2]
			won := candidate(t, cluster, to.Election("e"), "next", 1)
			done := make(chan error, 1)
			go func() { done <- l.TransferTo(t.Context(), to.Session().ID) }()
			time.Sleep(time.Duration(i%5) * 20 * time.Microsecond)
			dead := cluster.KillLeader()
			if err := <-done; err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			next := <-won
			wantErr(t, l.Err(), client.ErrReleased)
			if err := next.Err(); err != nil || next.Token() <= l.Token() {
				t.Fatalf("round %d: term %v after %v: %v", i, next.Token(), l.Token(), err)
			}
			wantHeld(t, from, client.KindElection, "e", 1, 0)
			l = next
			dead.Restart()
			time.Sleep(time.Second)
		}
	})
}

// An operator takes the leadership back while it is handed over.
func TestTransferOfARevokedLeadership(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		l := campaign(t, a.Election("e"), "a")
		won := candidate(t, cluster, b.Election("e"), "b", 1)
		revoke(t, b, a.Session().ID, false)
		<-l.Lost()
		wantErr(t, l.TransferTo(t.Context(), b.Session().ID), client.ErrLost) // to resign is the answer
		wantErr(t, l.Resign(t.Context()), client.ErrLost)
		<-won
	})
}

// The session ends while nobody knows whether the leadership was handed over.
func TestTransferInALostSession(t *testing.T) {
	for name, waits := range map[string]bool{"done": true, "refused": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
				a, b := cluster.Dial(client.WithTTL(2*time.Second)), cluster.Dial()
				l := campaign(t, a.Election("e"), "a")
				if waits {
					candidate(t, cluster, b.Election("e"), "b", 1)
				}
				cluster.Pause(a)
				done := make(chan error, 1)
				go func() { done <- l.TransferTo(context.Background(), b.Session().ID) }()
				<-l.Lost()
				wantErr(t, l.Err(), client.ErrLost)
				cluster.Resume(a)
				err := <-done
				switch got := must(b.Election("e").Leader(t.Context()))(t); {
				case err == nil && got.Value != "b", !waits && err == nil:
					t.Errorf("handed over, but %+v leads", got)
				case err != nil:
					wantErr(t, err, client.ErrLost)
				}
			})
		})
	}
}

// Shutdown waits for a leader to hand over, and lets it.
func TestShutdownLetsALeaderHandOver(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(), cluster.Dial()
		l := campaign(t, a.Election("e"), "a")
		won := candidate(t, cluster, b.Election("e"), "b", 1)
		shut := make(chan error, 1)
		go func() { shut <- a.Shutdown(context.Background()) }()
		synctest.Wait()
		wantErr(t, l.Proclaim(t.Context(), "a2"), client.ErrClientClosed)
		if err := l.TransferTo(t.Context(), b.Session().ID); err != nil {
			t.Error(err)
		}
		if err := <-shut; err != nil {
			t.Error(err)
		}
		<-won
		wantErr(t, l.Err(), client.ErrReleased)
	})
}
