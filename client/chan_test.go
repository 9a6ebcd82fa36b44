package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// What is sent is received, in order, and a closed channel is drained.
func TestChanIsFIFO(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		const n = 20
		out := client.NewChan[int](cluster.Dial(), "c", 3)
		in := client.NewChan[int](cluster.Dial(), "c", 3)
		go func() {
			for i := range n {
				out.Send(i)
			}
			out.Close()
		}()
		var got []int
		for v, err := range in.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
		if want := slices.Collect(func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		}); !slices.Equal(got, want) {
			t.Errorf("received %v", got)
		}
		if v, ok := in.Recv(); ok || v != 0 {
			t.Errorf("received %d, %v of a closed channel", v, ok)
		}
	})
}

// A full channel blocks its sender, and only its sender.
func TestChanFullBlocks(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		out, in := client.NewChan[string](cluster.Dial(), "c", 2), client.NewChan[string](cluster.Dial(), "c", client.AnyCapacity)
		if !out.TrySend("a") || !out.TrySend("b") || out.TrySend("c") {
			t.Fatal("it takes other than two")
		}
		if out.Len() != 2 || out.Cap() != 2 || in.Cap() != 2 {
			t.Errorf("length %d, capacity %d and %d", out.Len(), out.Cap(), in.Cap())
		}
		sent := false
		go func() {
			out.Send("c")
			sent = true
		}()
		cluster.AwaitWaiters(client.KindChan, "c", 1)
		if sent {
			t.Error("it does not block")
		}
		if v, ok := in.Recv(); v != "a" || !ok {
			t.Errorf("received %q", v)
		}
		synctest.Wait()
		if !sent || in.Len() != 2 {
			t.Errorf("the third is sent: %v, of %d", sent, in.Len())
		}
	})
}

// With capacity 0 neither side proceeds without the other.
func TestChanRendezvous(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		out, in := client.NewChan[int](cluster.Dial(), "c", 0), client.NewChan[int](cluster.Dial(), "c", 0)
		if out.TrySend(1) {
			t.Fatal("sent to nobody")
		}
		if _, ok := in.TryRecv(); ok {
			t.Fatal("received of nobody")
		}
		var busy *client.BusyError
		if err := out.TrySendContext(t.Context(), 1); !errors.As(err, &busy) || busy.Kind != client.KindChan {
			t.Errorf("TrySendContext: %v", err)
		}
		done := make(chan int, 1)
		go func() {
			v, _ := in.Recv()
			done <- v
		}()
		cluster.AwaitWaiters(client.KindChan, "c", 1)
		out.Send(7)
		if v := <-done; v != 7 {
			t.Errorf("received %d", v)
		}
		if _, err := cluster.Dial().Describe(t.Context(), client.KindChan, "c"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("an idle channel: %v", err)
		}
	})
}

// Go's operators panic, and so do these.
func TestChanMisusePanics(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		closed := client.NewChan[int](c, "closed", 1)
		closed.Close()
		for name, misuse := range map[string]struct {
			do  func()
			err error
		}{
			"send on closed":    {func() { closed.Send(1) }, client.ErrClosed},
			"close of closed":   {closed.Close, client.ErrClosed},
			"another capacity":  {func() { client.NewChan[int](c, "closed", 2).Recv() }, client.ErrMismatch},
			"another codec":     {func() { client.NewChan[string](c, "closed", 1, client.WithCodec(client.Raw())).Recv() }, client.ErrMismatch},
			"no capacity":       {func() { client.NewChan[int](c, "x", -2).Recv() }, client.ErrInvalid},
			"no name":           {func() { client.NewChan[int](c, "", 1).Send(1) }, client.ErrInvalid},
			"what cannot be":    {func() { client.NewChan[func()](c, "x", 1).Send(nil) }, client.ErrInvalid},
			"a large element":   {func() { client.NewChan[string](c, "x", 1).Send(string(make([]byte, 1<<16))) }, client.ErrInvalid},
			"bytes as raw ints": {func() { client.NewChan[int](c, "y", 1, client.WithCodec(client.Raw())).Send(1) }, client.ErrInvalid},
		} {
			if err, _ := panicOf(misuse.do).(error); !errors.Is(err, misuse.err) {
				t.Errorf("%s panicked with %v", name, err)
			}
		}
	})
}

// An element received with acknowledgement comes back, first and in order, until it is
// acknowledged, with a greater token each time.
func TestRecvAck(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		out := client.NewChan[string](cluster.Dial(), "c", 8)
		for _, v := range []string{"a", "b", "c"} {
			out.Send(v)
		}
		in := client.NewChan[string](cluster.Dial(), "c", 8)
		first := must(in.RecvAck(t.Context()))(t)
		second := must(in.RecvAck(t.Context()))(t)
		if first.Value != "a" || second.Value != "b" || first.Attempt != 1 || second.Token() <= first.Token() {
			t.Fatalf("%+v, %+v", first, second)
		}
		if err := second.Nack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Nack(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for d, err := range in.Deliveries(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(d.Value, d.Attempt))
			if d.Value == "a" && d.Attempt == 2 {
				continue // left unsettled: it comes again
			}
			if d.Token() <= second.Token() {
				t.Errorf("token %v after %v", d.Token(), second.Token())
			}
			if err := d.Ack(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.Ack(t.Context()); !errors.Is(err, client.ErrReleased) {
				t.Errorf("acknowledged again: %v", err)
			}
			if d.Value == "c" {
				out.Close()
			}
		}
		if want := []string{"a2", "a3", "b2", "c1"}; !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		if _, err := in.RecvAck(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("RecvAck of a drained channel: %v", err)
		}
	})
}

// What a receiver that died had not acknowledged goes to others, and closed is not drained
// while it may come back.
func TestUnacknowledgedComesBack(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		out := client.NewChan[int](cluster.Dial(), "c", 8)
		for i := range 4 {
			out.Send(i)
		}
		out.Close()
		dead := cluster.Dial()
		for i := range 4 {
			if d := must(client.NewChan[int](dead, "c", 8).RecvAck(t.Context()))(t); d.Value != i {
				t.Fatalf("received %d", d.Value)
			}
		}
		var got []int
		done := make(chan error, 1)
		go func() {
			for d, err := range client.NewChan[int](cluster.Dial(), "c", 8).Deliveries(t.Context()) {
				if err != nil {
					done <- err
					return
				}
				got = append(got, d.Value)
				if err := d.Ack(t.Context()); err != nil || d.Attempt != 2 {
					t.Errorf("attempt %d: %v", d.Attempt, err)
				}
			}
			done <- nil
		}()
		cluster.AwaitWaiters(client.KindChan, "c", 1)
		cluster.Expire(dead)
		if err := <-done; err != nil || !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("received %v: %v", got, err)
		}
	})
}

// A cancelled receive takes nothing, and a cancelled send leaves nothing.
func TestChanCancel(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		ch := client.NewChan[int](cluster.Dial(), "c", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := ch.RecvContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("receive: %v", err)
		}
		if err := ch.SendContext(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("send: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := ch.SendContext(short, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("send: %v", err)
		}
		if _, ok := ch.TryRecv(); ok {
			t.Error("what was not sent is received")
		}
	})
}

// Higher priorities overtake.
func TestSendPriority(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, cluster *coordtest.Cluster) {
		ch := client.NewChan[int](cluster.Dial(), "c", 8)
		for i, priority := range []int{0, 5, -1, 5} {
			if err := ch.SendPriority(t.Context(), i, priority); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		for range 4 {
			v, _ := ch.Recv()
			got = append(got, v)
		}
		if !slices.Equal(got, []int{1, 3, 0, 2}) {
			t.Errorf("received %v", got)
		}
	})
}

// Many senders and receivers, the leader killed again and again: each element is received
// once, those of one sender in their order.
func TestChanThroughLeaders(t *testing.T) {
	for _, capacity := range []int{0, 1, 5} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
				const senders, receivers, each = 4, 3, 40
				var mu sync.Mutex
				got := map[int][]int{}
				var sending, receiving sync.WaitGroup
				for range receivers {
					in := client.NewChan[[2]int](cluster.Dial(client.WithTTL(time.Minute)), "c", capacity)
					receiving.Go(func() {
						for v, err := range in.All(t.Context()) {
							if err != nil {
								t.Error(err)
								return
							}
							mu.Lock()
							got[v[0]] = append(got[v[0]], v[1])
							mu.Unlock()
						}
					})
				}
				for s := range senders {
					out := client.NewChan[[2]int](cluster.Dial(client.WithTTL(time.Minute)), "c", capacity)
					sending.Go(func() {
						for i := range each {
							if err := out.SendContext(t.Context(), [2]int{s, i}); err != nil {
								t.Error(err)
							}
							time.Sleep(50 * time.Millisecond)
						}
					})
				}
				for range 3 {
					time.Sleep(300 * time.Millisecond)
					dead := cluster.KillLeader()
					cluster.Leader()
					dead.Restart()
				}
				sending.Wait()
				client.NewChan[[2]int](cluster.Dial(), "c", capacity).Close()
				receiving.Wait()
				for s := range senders {
					slices.Sort(got[s]) // two receivers may note what they have in any order
					if n := len(slices.Compact(got[s])); n != each || len(got[s]) != each {
						t.Errorf("of %d sent by %d, %d were received, %d of them twice", each, s, len(got[s]), len(got[s])-n)
					}
				}
			})
		})
	}
}
