package raftstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"coordd.dev/raftstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGroupCommit: what arrives while an entry is in flight is the next entry.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		var got told
		got.submit(l, "a")
		first := <-e.appends
		got.submit(l, "b")
		got.submit(l, "c")
		l.Submit([]byte("d"), 0, raftstore.Urgent, nil)
		synctest.Wait()
		first.commit(7)
		second := <-e.appends
		second.commit(8)
		synctest.Wait()
		if diff := cmp.Diff([]string{"b", "c", "d"}, second.commands()); diff != "" {
			t.Errorf("second entry (-want +got):\n%s", diff)
		}
		want := []string{"a: 7 a", "b: 8 b", "c: 8 c"}
		if diff := cmp.Diff(want, got.lines); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// TestIncrement: each entry carries the time since the one before it was proposed, and
// the first of a term none.
func TestIncrement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		time.Sleep(3 * time.Second)
		l.Tick()
		first := <-e.appends
		time.Sleep(time.Second)
		l.Submit([]byte("a"), 0, raftstore.Ordinary, nil)
		time.Sleep(time.Second)
		first.commit(1)
		second := <-e.appends
		second.commit(2)
		time.Sleep(time.Minute)
		e.state.Set(raftstore.State{Term: 2})
		awaitLeading(l, false)
		e.lead(t, l, 2) // checks that the barrier carries none
		time.Sleep(time.Second)
		l.Tick()
		third := <-e.appends
		third.commit(3)
		got := []time.Duration{first.Increment, second.Increment, third.Increment}
		if diff := cmp.Diff([]time.Duration{3 * time.Second, 2 * time.Second, time.Second}, got); diff != "" {
			t.Errorf("increments (-want +got):\n%s", diff)
		}
	})
}

// TestTick: ticks are one, and ride with commands.
func TestTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		l.Tick()
		first := <-e.appends
		l.Tick()
		l.Tick()
		l.Submit([]byte("a"), 0, raftstore.Ordinary, nil)
		first.commit(1)
		second := <-e.appends
		second.commit(2)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a"}, second.commands()); diff != "" {
			t.Errorf("second entry (-want +got):\n%s", diff)
		}
		select {
		case third := <-e.appends:
			t.Errorf("one entry too many: %q", third.commands())
		default:
		}
	})
}

// TestMaxEntryBytes: an entry is bounded, and a large command has one to itself.
func TestMaxEntryBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{MaxEntryBytes: 10})
		l.Tick()
		first := <-e.appends
		large := strings.Repeat("x", 20)
		for _, c := range []string{"aaaa", "bbbb", "cccc", large, "d"} {
			l.Submit([]byte(c), 0, raftstore.Ordinary, nil)
		}
		first.commit(1)
		var got [][]string
		for range 4 {
			next := <-e.appends
			got = append(got, next.commands())
			next.commit(2)
		}
		want := [][]string{{"aaaa", "bbbb"}, {"cccc"}, {large}, {"d"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
}

// TestOverload: what waits is bounded, but for what is urgent.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{MaxUncommittedBytes: 1000})
		half := make([]byte, 400)
		var got told
		l.Submit(half, 0, raftstore.Ordinary, nil)
		first := <-e.appends
		l.Submit(half, 0, raftstore.Ordinary, nil)
		got.submit(l, "refused: "+string(make([]byte, 80)))
		if _, _, err := l.Propose(t.Context(), half); !errors.Is(err, raftstore.ErrOverloaded) {
			t.Errorf("propose: %v", err)
		}
		if len(got.lines) != 1 || !strings.HasSuffix(got.lines[0], raftstore.ErrOverloaded.Error()) {
			t.Errorf("told %q", got.lines)
		}
		l.Submit(half, 0, raftstore.Urgent, got.done("urgent"))
		first.commit(1)
		second := <-e.appends
		second.commit(2)
		synctest.Wait()
		if len(second.Commands) != 2 || len(got.lines) != 2 {
			t.Errorf("%d commands, told %q", len(second.Commands), got.lines)
		}
		l.Submit(half, 0, raftstore.Ordinary, nil) // there is room again
		(<-e.appends).commit(3)
	})
}

// TestAhead: what has no order goes before all that waits, and is never refused.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{MaxEntryBytes: 10, MaxUncommittedBytes: 300})
		l.Tick()
		first := <-e.appends
		for _, c := range []string{"aaaa", "bbbb", "cccc"} {
			l.Submit([]byte(c), 0, raftstore.Ordinary, nil)
		}
		for _, c := range []string{"1111", "2222", "3333"} {
			l.Submit([]byte(c), 0, raftstore.Ahead, nil)
		}
		first.commit(1)
		var got [][]string
		for range 3 {
			next := <-e.appends
			got = append(got, next.commands())
			next.commit(2)
		}
		want := [][]string{{"1111", "2222"}, {"3333", "aaaa"}, {"bbbb", "cccc"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
}

// TestProposeEnds: a ctx that ends leaves a command that was taken unknown, and takes
// none that was not.
func TestProposeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			(<-e.appends).commit(7)
			last := <-e.appends
			cancel()
			synctest.Wait()
			last.commit(8)
		}()
		if index, result, err := l.Propose(ctx, []byte("a")); index != 7 || result != "a" || err != nil {
			t.Errorf("propose: %d, %v, %v", index, result, err)
		}
		_, _, err := l.Propose(ctx, []byte("b"))
		if !errors.Is(err, raftstore.ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("propose with a ctx that ends: %v", err)
		}
		_, _, err = l.Propose(ctx, []byte("c"))
		if errors.Is(err, raftstore.ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("propose with a ctx that has ended: %v", err)
		}
	})
}

// TestDeposed: the entry in flight is what the engine says, all that waits is void, and
// nothing more is taken until there is a new term.
func TestDeposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		var got told
		got.submit(l, "a")
		first := <-e.appends
		got.submit(l, "b")
		synctest.Wait()
		e.state.Set(raftstore.State{Term: 2, LeaderID: "you"})
		first.fail(raftstore.ErrUnknown)
		awaitLeading(l, false)
		synctest.Wait()
		got.submit(l, "c")
		l.Tick()
		want := []string{"a: outcome unknown", "b: not the leader", "c: not the leader"}
		if diff := cmp.Diff(want, got.lines); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if lead, _ := l.Leadership(); lead != (raftstore.Leadership{Term: 2, LeaderID: "you"}) {
			t.Errorf("leadership: %+v", lead)
		}
		if len(e.transfers) > 0 {
			t.Error("asked an engine that had lost its leadership to hand it over")
		}
		e.lead(t, l, 3)
	})
}

// TestDeposedIdle: leaderships that come and go while nothing is proposed are seen.
func TestDeposedIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		e.lead(t, l, 2) // lost and won again before anybody looked
		e.state.Set(raftstore.State{Term: 3})
		awaitLeading(l, false)
		if _, _, err := l.Propose(t.Context(), nil); !errors.Is(err, raftstore.ErrNotLeader) {
			t.Errorf("propose: %v", err)
		}
	})
}

// TestStalled: an engine that answers nothing, and goes on to lead, is asked to hand
// over; if nobody takes over, the term is taken up again behind a new barrier, which
// accounts for the time.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{AppendTimeout: 10 * time.Second})
		var got told
		got.submit(l, "a")
		<-e.appends
		got.submit(l, "b")
		awaitLeading(l, false)
		<-e.transfers
		barrier := <-e.appends
		if len(barrier.Commands) > 0 || barrier.Term != 1 || barrier.Increment != 10*time.Second+100*time.Millisecond {
			t.Errorf("barrier: %+v", barrier.Entry)
		}
		want := []string{"a: append: outcome unknown", "b: not the leader"}
		if diff := cmp.Diff(want, got.lines); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		barrier.fail(raftstore.ErrNotLeader) // as while a transfer is under way
		(<-e.appends).commit(5)
		awaitLeading(l, true)
		got.submit(l, "c")
		(<-e.appends).commit(6)
		synctest.Wait()
		if last := got.lines[len(got.lines)-1]; last != "c: 6 c" {
			t.Errorf("told %q", last)
		}
	})
}

// TestBadEngine: an engine that loses results is not believed.
func TestBadEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		go func() { (<-e.appends).answer <- answer{1, nil, nil} }()
		if _, _, err := l.Propose(t.Context(), []byte("a")); !errors.Is(err, raftstore.ErrUnknown) {
			t.Errorf("propose: %v", err)
		}
	})
}

// TestClose: a log that closes answers everything.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := startLog(t, raftstore.Config{})
		var got told
		got.submit(l, "a")
		<-e.appends
		got.submit(l, "b")
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		got.submit(l, "c")
		l.Tick()
		want := []string{"a: append: outcome unknown", "b: log closed", "c: log closed"}
		if diff := cmp.Diff(want, got.lines); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if lead, _ := l.Leadership(); lead.Leading {
			t.Errorf("leadership: %+v", lead)
		}
		if l.Engine() != raftstore.Engine(e) {
			t.Error("another engine")
		}
	})
}

// TestCloseIdle: a log that follows, or waits for its barrier, closes at once.
func TestCloseIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []raftstore.State{{}, {Term: 1, Leader: true}} {
			e := newFakeEngine(t)
			l := raftstore.NewLog(e, raftstore.Config{})
			e.state.Set(state)
			synctest.Wait()
			began := time.Now()
			if err := l.Close(); err != nil || time.Since(began) > 0 {
				t.Errorf("close: %v, after %v", err, time.Since(began))
			}
		}
	})
}

// instantEngine commits at once.
type instantEngine struct {
	*fakeEngine
	results []any
}

func (e *instantEngine) Append(_ context.Context, data []byte) (uint64, []any, error) {
	entry, err := raftstore.DecodeEntry(data)
	for len(e.results) < len(entry.Commands) {
		e.results = append(e.results, nil)
	}
	return 1, e.results[:len(entry.Commands)], err
}

// BenchmarkPropose is what the log itself costs.
func BenchmarkPropose(b *testing.B) {
	e := &instantEngine{fakeEngine: newFakeEngine(nil)}
	l := raftstore.NewLog(e, raftstore.Config{})
	defer func() { _ = l.Close() }()
	e.state.Set(raftstore.State{Term: 1, Leader: true})
	awaitLeading(l, true)
	command := make([]byte, 64)
	b.ReportAllocs()
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := l.Propose(context.Background(), command); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSubmit is the same for one goroutine that does not wait.
func BenchmarkSubmit(b *testing.B) {
	e := &instantEngine{fakeEngine: newFakeEngine(nil)}
	l := raftstore.NewLog(e, raftstore.Config{})
	defer func() { _ = l.Close() }()
	e.state.Set(raftstore.State{Term: 1, Leader: true})
	awaitLeading(l, true)
	command := make([]byte, 64)
	b.ReportAllocs()
	left, done := b.N, make(chan struct{})
	b.ResetTimer()
	for range b.N {
		l.Submit(command, 0, raftstore.Urgent, func(uint64, any, error) {
			if left--; left == 0 {
				close(done)
			}
		})
	}
	<-done
}
