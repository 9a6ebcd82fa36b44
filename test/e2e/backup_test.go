package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/test/daemons"
)

// backupTTL is how long a restored cluster opens no sessions.
const backupTTL = 3 * time.Second

// A backup is taken while clients take locks, and then everything is lost. In a new cluster it is
// restored: what was stored is there, nobody holds anything, no session opens until those
// of before must have known that they are over, and the fence refuses whoever still believes in a
// lock of the old one, even if he got it after the backup.
func TestRestoreAfterLosingEverything(t *testing.T) {
	ctx := bounded(t)
	old := cluster(ctx, t)
	store(ctx, t, old)
	load := startTaking(ctx, t, old)
	file := filepath.Join(t.TempDir(), "all.backup")
	load.await(20)
	snapshot(ctx, t, old, "save", file)
	load.await(load.tokens() + 20) // tokens that the backup does not know
	was := status(ctx, t, old)
	for _, n := range old.Nodes() {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(n.Data); err != nil {
			t.Fatal(err)
		}
	}
	last := load.stop()

	fresh := cluster(ctx, t)
	var restored struct {
		Sessions int    `json:"sessions_ended"`
		Wait     string `json:"sessions_open_in"`
		Token    uint64 `json:"token_floor,string"`
	}
	began := time.Now()
	if err := json.Unmarshal(snapshot(ctx, t, fresh, "restore", file), &restored); err != nil {
		t.Fatal(err)
	}
	if restored.Sessions != takers+1 || restored.Wait != backupTTL.String() || client.Token(restored.Token) <= last {
		t.Errorf("restored: %+v, the last token was %d", restored, last)
	}
	if now := status(ctx, t, fresh); now == was {
		t.Errorf("the new cluster has the id of the old one, %s", now)
	}

	c := dialed(ctx, t, fresh) // which waits
	if waited := time.Since(began); waited < backupTTL {
		t.Errorf("a session opens %v after the restore began, before the leases of the old cluster are over", waited)
	}
	h, err := c.Mutex("load").LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Token() <= last {
		t.Errorf("token %d comes after %d", h.Token(), last)
	}
	var guard fence.Guard
	if err := errors.Join(guard.Check("file", h.Token()), h.Unlock(ctx)); err != nil {
		t.Error(err)
	}
	if err := guard.Check("file", last); !errors.Is(err, fence.ErrStale) {
		t.Errorf("a write of the old cluster's last holder: %v", err)
	}
	checkStored(ctx, t, c)
}

// store has something of each kind that stays, and of some that do not.
func store(ctx context.Context, t *testing.T, c *daemons.Cluster) {
	t.Helper()
	cl := dialed(ctx, t, c)
	jobs := client.NewChan[string](cl, "jobs", 5)
	err := client.NewMap[string, string](cl, "m").StoreContext(ctx, "color", "red")
	for i := range 3 {
		err = errors.Join(err, jobs.SendContext(ctx, fmt.Sprint("job ", i)))
	}
	if _, acked := jobs.RecvAck(ctx); acked != nil { // it is never acknowledged
		err = errors.Join(err, acked)
	}
	err = errors.Join(err, cl.Once("migrated").DoContext(ctx, func(context.Context, client.Token) error { return nil }))
	if _, held := cl.Mutex("held").LockContext(ctx); held != nil {
		err = errors.Join(err, held)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func checkStored(ctx context.Context, t *testing.T, cl *client.Client) {
	t.Helper()
	color, _, err := client.NewMap[string, string](cl, "m").LoadContext(ctx, "color")
	if err != nil || color != "red" {
		t.Errorf("the map has %q, error %v", color, err)
	}
	jobs := client.NewChan[string](cl, "jobs", 5)
	for i := range 3 {
		job, _, err := jobs.TryRecvContext(ctx)
		if want := fmt.Sprint("job ", i); err != nil || job != want {
			t.Errorf("the channel has %q, not %q: %v", job, want, err)
		}
	}
	err = cl.Once("migrated").DoContext(ctx, func(context.Context, client.Token) error {
		t.Error("what is done once is done again")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !cl.Mutex("held").TryLock() {
		t.Error("a lock of the old cluster is still held")
	}
}

// dialed is a client that is closed in the end, when its cluster may be gone.
func dialed(ctx context.Context, t *testing.T, c *daemons.Cluster) *client.Client {
	t.Helper()
	cl, err := client.Dial(ctx, c.Target(), client.WithTTL(backupTTL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		_ = cl.Shutdown(gone)
	})
	return cl
}

// snapshot runs a command of coordctl, and returns what it prints.
func snapshot(ctx context.Context, t *testing.T, c *daemons.Cluster, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, coordctl(), append([]string{"--endpoints", c.Target(), "--timeout", "60", "-o", "json", "snapshot"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return out
}

// status is the id of a cluster.
func status(ctx context.Context, t *testing.T, c *daemons.Cluster) string {
	t.Helper()
	return ofLeader(ctx, t, c).GetClusterId()
}

// takers take one lock, in turn, all the time.
const takers = 4

type taking struct {
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	n       int
	last    client.Token
	changed chan struct{} // of one
}

func startTaking(ctx context.Context, t *testing.T, c *daemons.Cluster) *taking {
	t.Helper()
	l := &taking{t: t, changed: make(chan struct{}, 1)}
	ctx, l.cancel = context.WithCancel(ctx)
	for range takers {
		cl := dialed(ctx, t, c)
		l.wg.Go(func() {
			for {
				h, err := cl.Mutex("load").LockContext(ctx)
				if err != nil {
					return // stopped
				}
				l.got(h.Token())
				if h.Unlock(ctx) != nil {
					return
				}
			}
		})
	}
	return l
}

func (l *taking) got(token client.Token) {
	l.mu.Lock()
	l.n++
	l.last = max(l.last, token)
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *taking) tokens() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// await returns once n tokens were given.
func (l *taking) await(n int) {
	l.t.Helper()
	late := time.After(limit)
	for l.tokens() < n {
		select {
		case <-l.changed:
		case <-late:
			l.t.Fatalf("%d tokens in %v", l.tokens(), limit)
		}
	}
}

// stop ends the load, and returns the last token.
func (l *taking) stop() client.Token {
	l.cancel()
	l.wg.Wait()
	return l.last
}
