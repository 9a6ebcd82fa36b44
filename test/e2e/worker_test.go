package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"coordd.dev/client"
)

const (
	workers = 16 // goroutines a process
	rounds  = 40 // of each, on each primitive
	permits = 5
)

// work is what a process of this test binary does in a role.
func work(role string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	switch role {
	case "exclude":
		return exclude(ctx)
	case "pause":
		return pause(ctx)
	case "lead":
		return lead(ctx)
	case "traced":
		return traced(ctx)
	case "cross":
		return cross(ctx)
	case "consume":
		return consume(ctx)
	}
	return fmt.Errorf("no such role")
}

// A scene is files that show who is inside: one that must not exist does if two are.
type scene struct {
	dir string
	id  string
}

func (s scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s scene) enter(name string) error {
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	return f.Close()
}

func (s scene) leave(name string) error { return os.Remove(s.path(name)) }

func (s scene) count(pattern string) int {
	found, _ := filepath.Glob(s.path(pattern)) // errs only on a bad pattern
	return len(found)
}

// exclude runs workers on a mutex, a read-write mutex and a semaphore. Other processes
// do the same on the same names and the same scene.
func exclude(ctx context.Context) error {
	// No lease runs out on a worker that stalls: what it would see then is another test's.
	c, err := client.Dial(ctx, "", client.WithTTL(time.Minute), client.WithName("exclude"))
	if err != nil {
		return err
	}
	errs := make([]error, workers)
	var group sync.WaitGroup
	for i := range errs {
		s := scene{os.Getenv("E2E_SCENE"), fmt.Sprintf("%d-%d", os.Getpid(), i)}
		r := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(i)))
		group.Go(func() {
			for range rounds {
				errs[i] = errors.Join(errs[i], s.mutex(ctx, c), s.rwmutex(c, r), s.semaphore(ctx, c, r))
			}
		})
	}
	group.Wait()
	return errors.Join(append(errs, c.Close())...)
}

func (s scene) mutex(ctx context.Context, c *client.Client) error {
	return c.Mutex("m").Do(ctx, func(_ context.Context, t client.Token) error {
		return errors.Join(s.enter("m"), s.tokens("m.token", t), s.leave("m"))
	})
}

// tokens checks and moves on the last token of a file, which the lock protects.
func (s scene) tokens(name string, t client.Token) error {
	b, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	last, _ := strconv.ParseUint(string(b), 10, 64) // empty at first
	if uint64(t) <= last {
		return fmt.Errorf("token %v after %d", t, last)
	}
	return os.WriteFile(s.path(name), []byte(t.String()), 0o600)
}

// rwmutex is a writer one time in four. Either side looks for the other after it has
// shown itself, so that one of two that overlap sees it.
func (s scene) rwmutex(c *client.Client, r *rand.Rand) error {
	rw := c.RWMutex("rw")
	if r.IntN(4) == 0 {
		rw.Lock()
		defer rw.Unlock()
		err := s.enter("w")
		if n := s.count("r-*"); n > 0 {
			err = errors.Join(err, fmt.Errorf("a writer and %d readers", n))
		}
		return errors.Join(err, s.leave("w"))
	}
	rw.RLock()
	defer rw.RUnlock()
	err := s.enter("r-" + s.id)
	if s.count("w") > 0 {
		err = errors.Join(err, errors.New("a reader and a writer"))
	}
	return errors.Join(err, s.leave("r-"+s.id))
}

func (s scene) semaphore(ctx context.Context, c *client.Client, r *rand.Rand) error {
	n := 1 + r.Int64N(3)
	sem := c.Semaphore("s", permits)
	if err := sem.Acquire(ctx, n); err != nil {
		return err
	}
	defer sem.Release(n)
	var err error
	for i := range n {
		err = errors.Join(err, s.enter(fmt.Sprintf("s-%s-%d", s.id, i)))
	}
	if out := s.count("s-*"); out > permits {
		err = errors.Join(err, fmt.Errorf("%d permits are out, of %d", out, permits))
	}
	for i := range n {
		err = errors.Join(err, s.leave(fmt.Sprintf("s-%s-%d", s.id, i)))
	}
	return err
}

// pause holds a lock with a short TTL, says so, and is stopped by the test at its next
// instruction or a later one. When it goes on it says what it finds.
func pause(ctx context.Context) error {
	c, err := client.Dial(ctx, "", client.WithTTL(time.Second), client.WithName("pause"))
	if err != nil {
		return err
	}
	defer c.Close()
	mu := c.Mutex("paused")
	h, err := mu.LockContext(ctx)
	if err != nil {
		return err
	}
	fmt.Println("session", c.Session().ID)
	fmt.Println("token", h.Token())
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	// First thing after the pause: the call itself must know, not a timer.
	lost := h.Err()
	fmt.Println("err is lost:", errors.Is(lost, client.ErrLost))
	fmt.Println("unlock is lost:", errors.Is(h.Unlock(ctx), client.ErrLost))
	<-h.Context().Done()
	fmt.Println("cause is lost:", errors.Is(context.Cause(h.Context()), client.ErrLost))
	again, err := mu.LockContext(ctx)
	if err != nil {
		return err
	}
	fmt.Println("again in", c.Session().ID)
	fmt.Println("token", again.Token())
	if err := again.Unlock(ctx); !errors.Is(err, client.ErrLost) { // by a stall of a second
		return err
	}
	return nil
}
