package client_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/coordtest"
)

// An exampleTB lets examples have what tests have.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (*exampleTB) Helper()                   {}
func (*exampleTB) Output() io.Writer         { return io.Discard }
func (*exampleTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (*exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (*exampleTB) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (tb *exampleTB) Cleanup(f func())       { tb.cleanups = append(tb.cleanups, f) }

func (tb *exampleTB) stop() {
	for i := len(tb.cleanups) - 1; i >= 0; i-- {
		tb.cleanups[i]()
	}
}

// dial stands for client.Dial(ctx, ""), on a machine that may stand still for a while.
func dial(opts ...client.Option) (c *client.Client, stop func()) {
	tb := &exampleTB{}
	opts = append([]client.Option{client.WithTTL(time.Hour)}, opts...)
	return coordtest.New(tb).Dial(opts...), tb.stop
}

// Inventory was written for sync.Mutex. Only the field's type and the constructor
// know that it is now shared by many processes.
type Inventory struct {
	mu    *client.Mutex // was: sync.Mutex
	stock func(delta int)
}

func NewInventory(c *client.Client, stock func(int)) *Inventory {
	return &Inventory{mu: c.Mutex("inventory"), stock: stock}
}

func (i *Inventory) Take(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stock(-n)
}

// A program of sync.Mutex, moved to many processes at its declarations.
func ExampleMutex() {
	c, stop := dial() // c, err := client.Dial(ctx, "")
	defer stop()

	stock := 10
	inv := NewInventory(c, func(delta int) { stock += delta })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { inv.Take(1) })
	}
	wg.Wait()
	fmt.Println(stock)

	var l sync.Locker = inv.mu // and wherever a Locker goes
	l.Lock()
	defer l.Unlock()
	// Output: 0
}

// The first screen's fifteen lines.
func pay(ctx context.Context, db *sql.DB) error {
	c, err := client.Dial(ctx, "") // COORD_ENDPOINTS, or 127.0.0.1:7600
	if err != nil {
		return err
	}
	defer c.Close()

	mu := c.Mutex("orders/42") // a sync.Locker too: mu.Lock(), mu.Unlock()
	return mu.Do(ctx, func(ctx context.Context, token client.Token) error {
		// ctx ends if the lock is lost. A write that is late all the same
		// carries an old token, and the row refuses it.
		return fence.Changed(db.ExecContext(ctx,
			`UPDATE orders SET state='paid', fence=$1 WHERE id=42 AND fence<=$1`, token))
	})
}

// A lock that is lost in time cancels ctx; a write that comes too late all the same is
// refused by the row itself.
func ExampleMutex_Do() {
	_ = pay
}

// Bounded wait, unbounded hold; and what each error means.
func ExampleMutex_LockContext() {
	f := func(ctx context.Context, mu *client.Mutex) error {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		h, err := mu.LockContext(wait)
		if dead, ok := errors.AsType[*client.DeadlockError](err); ok {
			return dead // prints the cycle
		}
		if err != nil {
			return err // context.DeadlineExceeded after a second
		}
		defer h.Unlock(ctx) // releases even if ctx is dead

		ctx = client.ContextWithHold(ctx, h) // the request's ctx, ended also by loss
		for range 3 {
			if err := h.Err(); err != nil { // right even after a pause
				return err // *client.LostError
			}
			step(ctx, h.Token())
		}
		return nil
	}

	c, stop := dial()
	defer stop()
	fmt.Println(f(context.Background(), c.Mutex("orders/42")))
	// Output:
	// step
	// step
	// step
	// <nil>
}

func step(context.Context, client.Token) { fmt.Println("step") }

// Who has it is in the error.
func ExampleBusyError() {
	c, stop := dial(client.WithName("billing"), client.WithMetadata("host", "host-a"), client.WithMetadata("pid", "812"))
	defer stop()

	deploy := c.Mutex("deploy")
	deploy.Lock()
	_, err := c.Mutex("deploy").TryLockContext(context.Background())
	if busy, ok := errors.AsType[*client.BusyError](err); ok {
		fmt.Println(busy.Kind, busy.Name, "is held by", busy.Holders[0])
	}
	deploy.Unlock()
	// Output: lock deploy is held by host-a pid 812 (billing)
}

// Readers together, a writer alone.
func ExampleRWMutex() {
	c, stop := dial()
	defer stop()

	rw := c.RWMutex("config")
	rw.RLock()
	fmt.Println("another reader:", rw.TryRLock())
	fmt.Println("a writer beside them:", rw.TryLock())
	rw.RUnlock()
	rw.RUnlock()
	rw.Lock()
	fmt.Println("a reader beside the writer:", rw.TryRLock())
	rw.Unlock()
	// Output:
	// another reader: true
	// a writer beside them: false
	// a reader beside the writer: false
}

// At most three downloads at a time, in all processes together.
func ExampleSemaphore() {
	c, stop := dial()
	defer stop()
	ctx := context.Background()

	downloads := c.Semaphore("downloads", 3)
	if err := downloads.Acquire(ctx, 2); err != nil {
		fmt.Println(err)
	}
	fmt.Println("two more:", downloads.TryAcquire(2))
	fmt.Println("one more:", downloads.TryAcquire(1))
	downloads.Release(3)
	fmt.Println(downloads.Acquire(ctx, 4))
	// Output:
	// two more: false
	// one more: true
	// semaphore downloads: invalid argument: 4 permits are more than the limit of 3
}

// Two accounts, no order to think of.
func ExampleClient_LockAll() {
	transfer := func(ctx context.Context, c *client.Client, from, to string, move func(context.Context, client.Token) error) error {
		h, err := c.LockAll(ctx, "account/"+from, "account/"+to)
		if err != nil {
			return err
		}
		return h.Do(ctx, move)
	}

	c, stop := dial()
	defer stop()
	err := transfer(context.Background(), c, "ann", "bob", func(context.Context, client.Token) error {
		fmt.Println("moved")
		return nil
	})
	fmt.Println(err)
	// Output:
	// moved
	// <nil>
}

// One cron leader among many replicas.
func ExampleElection_Run() {
	cron := func(ctx context.Context, c *client.Client, host string, nightly func(context.Context, client.Token) error) error {
		return c.Election("cron").Run(ctx, host, func(ctx context.Context, term client.Token) error {
			tick := time.NewTicker(time.Millisecond) // every minute, say
			defer tick.Stop()
			for ctx.Err() == nil { // else lost, or told to stop; Run campaigns again if lost
				select {
				case <-tick.C:
					if err := nightly(ctx, term); err != nil {
						fmt.Println(err)
					}
				case <-ctx.Done():
				}
			}
			return context.Cause(ctx)
		})
	}

	c, stop := dial()
	defer stop()
	ctx, cancel := context.WithCancelCause(context.Background())
	runs := 0
	err := cron(ctx, c, "host-a", func(_ context.Context, term client.Token) error {
		if runs++; runs == 3 {
			cancel(errors.New("told to stop"))
		}
		fmt.Println("run", runs, "in a term:", term > 0)
		return nil
	})
	fmt.Println(err)
	// Output:
	// run 1 in a term: true
	// run 2 in a term: true
	// run 3 in a term: true
	// told to stop
}

// Who leads, as it changes.
func ExampleElection_Observe() {
	c, stop := dial()
	defer stop()
	ctx := context.Background()

	watch := func(e *client.Election, next func()) error {
		for l, err := range e.Observe(ctx) {
			switch {
			case err != nil:
				return err
			case l.Vacant:
				fmt.Println("nobody leads; the last one was", cmp.Or(l.Value, "none"))
			default:
				fmt.Println("led by", l.Value)
			}
			if l.Value == "10.0.0.8:80" && l.Vacant {
				break
			}
			next()
		}
		return nil
	}

	e := c.Election("primary")
	var lead *client.Leadership
	steps := []func() error{
		func() (err error) { lead, err = e.Campaign(ctx, "10.0.0.7:80"); return err },
		func() error { return lead.Proclaim(ctx, "10.0.0.8:80") },
		func() error { return lead.Resign(ctx) },
	}
	fmt.Println(watch(c.Election("primary"), func() {
		if err := steps[0](); err != nil {
			fmt.Println(err)
		}
		steps = steps[1:]
	}))
	// Output:
	// nobody leads; the last one was none
	// led by 10.0.0.7:80
	// led by 10.0.0.8:80
	// nobody leads; the last one was 10.0.0.8:80
	// <nil>
}

// A hold is one acquisition, and over once.
func ExampleHold() {
	c, stop := dial()
	defer stop()
	ctx := context.Background()

	h, err := c.Mutex("disk").LockContext(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Kind(), h.Name(), h.Token() > 0, h.Err())
	fmt.Println(h.Unlock(ctx))
	fmt.Println(h.Err(), context.Cause(h.Context()))
	// Output:
	// lock disk true <nil>
	// <nil>
	// hold already released context canceled
}

// Options: a session of its own for something that must fail over fast.
func ExampleClient_NewSession() {
	c, stop := dial()
	defer stop()

	s, err := c.NewSession(context.Background(), client.WithTTL(5*time.Second), client.WithName("failover"),
		client.WithOnLost(func(e *client.LostError) { panic(e) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	vip := s.Mutex("vip", client.WithNote("10.0.0.7"))
	vip.Lock()
	d, err := c.Describe(context.Background(), client.KindLock, "vip")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Holders[0].Name, d.Holders[0].Note, s.Session().TTL)
	vip.Unlock()
	// Output: failover 10.0.0.7 5s
}
