package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// The concurrent prime sieve: a filter for each prime, each with a channel to the next, in
// several processes. It is a program of nothing but channels, which a lost, doubled or
// overtaken number would make wrong. The leader is killed half-way.
func TestPrimeSieve(t *testing.T) {
	for _, capacity := range []int{0, 3} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
				var clients []*client.Client
				for range 3 {
					clients = append(clients, cluster.Dial(client.WithTTL(time.Minute)))
				}
				pipe := func(of, i int) *client.Chan[int] {
					return client.NewChan[int](clients[of%len(clients)], fmt.Sprint("sieve", i), capacity)
				}
				ctx, stop := context.WithCancel(t.Context())
				var all sync.WaitGroup
				all.Go(func() { generate(ctx, t, pipe(0, 0)) })
				var primes []int
				for i := range 15 {
					prime, _, err := pipe(i, i).RecvContext(ctx)
					if err != nil {
						t.Fatal(err)
					}
					primes = append(primes, prime)
					if i == 7 {
						cluster.KillLeader().Restart()
					}
					all.Go(func() { filter(ctx, t, prime, pipe(i+1, i), pipe(i+1, i+1)) })
				}
				stop()
				all.Wait()
				if want := []int{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47}; !slices.Equal(primes, want) {
					t.Errorf("the first primes are %v", primes)
				}
			})
		})
	}
}

func generate(ctx context.Context, t *testing.T, out *client.Chan[int]) {
	for i := 2; ; i++ {
		if err := out.SendContext(ctx, i); err != nil {
			wantErr(t, err, context.Canceled)
			return
		}
	}
}

// filter passes on what the prime does not divide.
func filter(ctx context.Context, t *testing.T, prime int, in, out *client.Chan[int]) {
	for {
		i, _, err := in.RecvContext(ctx)
		if err == nil && i%prime != 0 {
			err = out.SendContext(ctx, i)
		}
		if err != nil {
			wantErr(t, err, context.Canceled)
			return
		}
	}
}

// A token goes round a ring of processes, each with a select of it, of the end and of a timer
// that goes off at the moment at which the token may come. There is one token, and it visits
// them in turn, also while the leader is killed: a select that chose its timer took nothing.
func TestTokenRing(t *testing.T) {
	for _, capacity := range []int{0, 1} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
				const nodes, hops = 5, 60
				r := &ring{t: t, capacity: capacity, nodes: nodes, hops: hops, half: make(chan struct{})}
				var all sync.WaitGroup
				for i := range nodes {
					c := cluster.Dial(client.WithTTL(time.Minute))
					all.Go(func() { r.node(c, i) })
				}
				start := client.NewChan[int](cluster.Dial(), "ring0", capacity)
				start.Send(0)
				<-r.half
				cluster.KillLeader().Restart()
				all.Wait()
				if len(r.visits) != hops || r.idle == 0 {
					t.Errorf("%d visits, and %d times the timer", len(r.visits), r.idle)
				}
				for i, visit := range r.visits {
					if visit != [2]int{i % nodes, i} {
						t.Fatalf("visit %d was of node and hop %v", i, visit)
					}
				}
			})
		})
	}
}

// A ring is what its nodes see.
type ring struct {
	t                     *testing.T
	capacity, nodes, hops int
	half                  chan struct{}

	mu     sync.Mutex
	visits [][2]int // node and hop
	idle   int
}

// node passes the token on, whose value is how often that was done.
func (r *ring) node(c *client.Client, i int) {
	in := client.NewChan[int](c, fmt.Sprint("ring", i), r.capacity)
	out := client.NewChan[int](c, fmt.Sprint("ring", (i+1)%r.nodes), r.capacity)
	over := client.NewChan[struct{}](c, "over", 0)
	const rest = 10 * time.Millisecond
	token, end, timer := in.OnRecv(), over.OnRecv(), client.After(rest*time.Duration(r.nodes-1))
	for {
		got, err := client.Select(r.t.Context(), token, end, timer)
		switch got {
		case token:
			time.Sleep(rest)
			if r.visit(i, token.Value) {
				over.Close()
			} else if err := out.SendContext(r.t.Context(), token.Value+1); err != nil {
				r.t.Error(err)
			}
		case timer:
			r.mu.Lock()
			r.idle++
			r.mu.Unlock()
		case end:
			if end.OK {
				r.t.Error("an end that nobody sent")
			}
			return
		default:
			r.t.Error(errors.Join(err, errors.New("nothing was chosen")))
			return
		}
	}
}

// visit reports whether it was the last.
func (r *ring) visit(i, hop int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visits = append(r.visits, [2]int{i, hop})
	if hop == r.hops/2 {
		close(r.half)
	}
	return hop == r.hops-1
}
