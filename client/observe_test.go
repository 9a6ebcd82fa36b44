package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// An audience is an observer in the background: what it saw, in words.
type audience struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	seen   []string
	terms  []client.Token // of new leaders
	missed uint64
	end    error
}

func observe(t *testing.T, e *client.Election) *audience {
	ctx, stop := context.WithCancel(t.Context())
	a := &audience{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		vacant := true
		for l, err := range e.Observe(ctx) {
			a.mu.Lock()
			switch {
			case err != nil:
				a.end = err
			case l.Vacant:
				a.seen = append(a.seen, "vacant after "+l.Value)
			default:
				if len(a.terms) == 0 || a.terms[len(a.terms)-1] != l.Term {
					a.terms = append(a.terms, l.Term)
				} else if vacant {
					a.seen = append(a.seen, "an old term after a vacancy")
				}
				a.seen = append(a.seen, l.Value)
			}
			vacant = l.Vacant
			a.missed += l.Missed
			a.mu.Unlock()
		}
	}()
	t.Cleanup(a.leave)
	return a
}

func (a *audience) leave() {
	a.stop()
	<-a.done
}

// saw is what was seen since it was last called.
func (a *audience) saw() string {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.Join(a.seen, ", ")
	a.seen = nil
	return s
}

// begins waits until the present state was seen, which is not at once where nobody leads yet.
func (a *audience) begins() {
	for a.saw() == "" {
		time.Sleep(time.Millisecond)
	}
}

// Observers see the present state, every leader, every value, and every vacancy.
func TestObserve(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b, c := cluster.Dial(client.WithTTL(3*time.Second)), cluster.Dial(), cluster.Dial()
		early := observe(t, c.Election("e"))
		want := func(who *audience, want string) {
			t.Helper()
			if got := who.saw(); got != want {
				t.Errorf("seen %q, not %q", got, want)
			}
		}
		want(early, "vacant after ")
		l := campaign(t, a.Election("e", client.WithNote("n")), "a")
		campaign(t, a.Election("other"), "nobody's business")
		late := observe(t, b.Election("e"))
		want(early, "a")
		want(late, "a")
		for _, value := range []string{"a2", "a2", "a"} {
			if err := l.Proclaim(t.Context(), value); err != nil {
				t.Error(err)
			}
		}
		want(early, "a2, a2, a")
		heir := candidate(t, cluster, b.Election("e"), "b", 1)
		if err := l.TransferTo(t.Context(), b.Session().ID); err != nil {
			t.Error(err)
		}
		want(early, "b") // and no vacancy
		if err := (<-heir).Resign(t.Context()); err != nil {
			t.Error(err)
		}
		want(early, "vacant after b")
		campaign(t, a.Election("e", client.WithLockDelay(time.Minute)), "a3")
		next := candidate(t, cluster, b.Election("e"), "b2", 1)
		want(early, "a3")
		cluster.Pause(a)
		time.Sleep(time.Minute)
		want(early, "vacant after a3") // and not again at the end of the lock-delay
		<-next
		want(early, "b2")
		want(late, "a2, a2, a, b, vacant after b, a3, vacant after a3, b2")

		early.leave()
		wantErr(t, early.end, context.Canceled)
		if got := early.end.Error(); got != "observe election e: context canceled" {
			t.Error(got)
		}
		if n := len(early.terms); n != 4 || early.missed != 0 {
			t.Errorf("%d terms, %d missed", n, early.missed)
		}
		for i, l := range early.terms[1:] {
			if l <= early.terms[i] {
				t.Errorf("terms %v", early.terms)
			}
		}
	})
}

// Who it is that leads, and led.
func TestObservedHolder(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		a, b := cluster.Dial(client.WithMetadata("zone", "z")), cluster.Dial()
		e := b.Election("e")
		var l *client.Leadership
		step := 0
		for got, err := range e.Observe(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			switch step++; step {
			case 1:
				if !got.Vacant || got.Term != 0 || got.Value != "" {
					t.Errorf("at first %+v", got)
				}
				l = campaign(t, a.Election("e", client.WithNote("why")), "v")
				continue
			case 2:
				_ = l.Resign(t.Context())
			}
			if who := got.Who; got.Vacant != (step == 3) || got.Value != "v" || got.Term != l.Token() || who.Token != l.Token() ||
				who.Session != a.Session().ID || who.Note != "why" || who.Name != "client1" || who.Metadata["zone"] != "z" {
				t.Errorf("step %d: %+v", step, got)
			}
			if step == 3 {
				break // and nothing is left running, or the bubble would not end
			}
		}
	})
}

// Leaders of coordd come and go, nodes too; observers miss nothing.
func TestObserveThroughLeaderChanges(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		var who []*audience
		for range 3 {
			who = append(who, observe(t, cluster.Dial().Election("e")))
		}
		who = append(who, observe(t, c.Election("e"))) // on a session that is busy
		for _, a := range who {
			a.begins()
		}
		var want []string
		turn := func(i int) {
			value := fmt.Sprint("v", i)
			l := campaign(t, c.Election("e"), value)
			if err := errors.Join(l.Proclaim(t.Context(), value+"'"), l.Resign(t.Context())); err != nil {
				t.Error(err)
			}
			want = append(want, value, value+"'", "vacant after "+value+"'")
		}
		for i := range 12 {
			turn(4 * i)
			switch dead := cluster.Leader(); i % 3 {
			case 0:
				dead.Kill()
				turn(4*i + 1)
				dead.Restart()
			case 1:
				dead.Isolate()
				turn(4*i + 2)
				cluster.Heal()
			default:
				dead.Pause()
				turn(4*i + 3)
				dead.Resume()
			}
			time.Sleep(time.Duration(i) * time.Second)
		}
		time.Sleep(time.Minute)
		for i, a := range who {
			if got := a.saw(); got != strings.Join(want, ", ") || a.missed != 0 {
				t.Errorf("observer %d missed %d and saw\n%s, not\n%s", i, a.missed, got, strings.Join(want, ", "))
			}
		}
	})
}

// A gap is told with the state after it, and what the cluster says again is not.
func TestObserveOfAGap(t *testing.T) {
	change := func(revision uint64, kind coordv1.ChangeType, term uint64, end coordv1.EndReason) *coordv1.ObjectChange {
		return &coordv1.ObjectChange{Revision: revision, Type: kind, Token: term, Value: fmt.Sprint("v", term), EndReason: end}
	}
	const granted, ended = coordv1.ChangeType_CHANGE_TYPE_GRANTED, coordv1.ChangeType_CHANGE_TYPE_ENDED
	present := func(term uint64) *coordv1.Description {
		d := &coordv1.Description{}
		if term > 0 {
			d.Holders = []*coordv1.Party{{Token: term, Value: fmt.Sprint("v", term)}}
		}
		return d
	}
	got := client.Hear(
		&coordv1.WatchResponse{Present: present(1), Revision: 5},
		&coordv1.WatchResponse{Changes: []*coordv1.ObjectChange{change(5, granted, 1, 0)}, Revision: 5},
		&coordv1.WatchResponse{Skipped: 10, Present: present(1), Revision: 15}, // nothing of it to be seen
		&coordv1.WatchResponse{Skipped: 4, Present: present(7), Revision: 19},
		&coordv1.WatchResponse{Changes: []*coordv1.ObjectChange{
			change(20, ended, 7, coordv1.EndReason_END_REASON_TRANSFERRED), change(20, granted, 8, 0),
		}, Revision: 20},
		&coordv1.WatchResponse{Skipped: 3, Present: present(0), Revision: 23},
		&coordv1.WatchResponse{Changes: []*coordv1.ObjectChange{change(24, ended, 8, coordv1.EndReason_END_REASON_DELAY_OVER)}, Revision: 24},
		&coordv1.WatchResponse{Skipped: 2, Revision: 26},
		&coordv1.WatchResponse{Changes: []*coordv1.ObjectChange{change(27, granted, 9, 0)}, Revision: 27},
	)
	want := []string{"v1 missed 0", "v7 missed 14", "v8 missed 0", "vacant after v8 missed 3", "v9 missed 2"}
	for i, l := range got {
		s := fmt.Sprint(l.Value, " missed ", l.Missed)
		if l.Vacant {
			s = "vacant after " + s
		}
		if i >= len(want) || s != want[i] {
			t.Errorf("state %d is %q, not %q", i, s, want[min(i, len(want)-1)])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d states, not %d", len(got), len(want))
	}
}

// What ends an observer besides its ctx.
func TestObserveEnds(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c, other := cluster.Dial(), cluster.Dial()
		for _, err := range c.Election("").Observe(t.Context()) {
			wantErr(t, err, client.ErrInvalid)
		}
		a := observe(t, c.Election("e"))
		a.begins()
		go func() { _ = c.Close() }() // it never fails
		<-a.done
		wantErr(t, a.end, client.ErrClientClosed)
		for _, err := range c.Election("e").Observe(t.Context()) {
			wantErr(t, err, client.ErrClientClosed)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		cluster.Node(0).Kill()
		for _, err := range other.Election("e").Observe(ctx) {
			wantErr(t, err, context.DeadlineExceeded, context.Cause(ctx))
		}
	})
}

// An observer that the cluster leaves alone for more than a second says so in the log, and
// when it is over; of a short election there is no word.
func TestObserverSaysWhenItIsOutOfReach(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var log bytes.Buffer // of one goroutine at a time
		c := cluster.Dial(client.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		a := observe(t, c.Election("e"))
		a.begins()
		said := func() string {
			synctest.Wait()
			var words []string
			for line := range strings.Lines(log.String()) {
				if _, s, ok := strings.Cut(line, `msg="observer `); ok && strings.Contains(line, "election=e") {
					words = append(words, s[:strings.Index(s, `"`)])
				}
			}
			log.Reset()
			return strings.Join(words, ", ")
		}
		cluster.KillLeader().Restart()
		time.Sleep(time.Minute)
		if got := said(); got != "" {
			t.Errorf("of an election: %q", got)
		}
		one, two := cluster.KillLeader(), cluster.KillLeader()
		time.Sleep(5 * time.Second)
		if got := said(); got != "out of reach of the cluster" {
			t.Errorf("said %q", got)
		}
		one.Restart()
		two.Restart()
		time.Sleep(5 * time.Second)
		if got := said(); got != "in reach of the cluster again" {
			t.Errorf("said %q", got)
		}
	})
}
