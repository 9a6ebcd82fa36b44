package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A cable carries bytes to target until it is cut; then both ends hear nothing more,
// not even that it was cut.
type cable struct {
	net.Listener
	target string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func newCable(t *testing.T, target string) *cable {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: lis, target: target}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return // closed
			}
			running.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		running.Wait()
	})
	return c
}

func (c *cable) carry(near net.Conn) {
	far, err := net.Dial("tcp", c.target)
	if err != nil {
		_ = near.Close()
		return
	}
	c.mu.Lock()
	c.conns = append(c.conns, near, far)
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(c.through(far), near) })
	both.Go(func() { _, _ = io.Copy(c.through(near), far) })
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cut {
		_, _ = near.Close(), far.Close()
	}
}

// through is w while the cable is whole, and nowhere afterwards.
func (c *cable) through(w io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cut {
			return len(b), nil
		}
		return w.Write(b)
	})
}

func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// The promise that matters most: when anybody else has the lock, the command is gone,
// although it would not listen and coordctl could not ask.
func TestCommandIsGoneBeforeTheLockIsAnothers(t *testing.T) {
	if testing.Short() {
		t.Skip("a lease has to run out")
	}
	cluster := coordtest.New(t)
	cable := newCable(t, cluster.Target())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := coordctl(cable.Addr().String(), "lock", "--ttl", "3s", "lost", "--", "sh", "-c",
		`trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done`)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	_ = w.Close()
	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command said %q, %v", line, err)
	}

	rival := cluster.Dial()
	granted := make(chan *client.Hold, 1)
	go func() {
		hold, err := rival.Mutex("lost").LockContext(t.Context())
		if err != nil {
			t.Error(err)
		}
		granted <- hold
	}()
	cluster.AwaitWaiters(client.KindLock, "lost", 1)
	cable.sever()

	gone := make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(out) // ends when nobody has the pipe any more
		gone <- string(rest)
	}()
	<-granted
	select {
	case rest := <-gone:
		if rest != "asked\n" {
			t.Errorf("the command said %q, and was killed without being asked first", rest)
		}
	default:
		t.Error("the rival has the lock, and the command still runs")
		_ = cmd.Process.Signal(syscall.SIGKILL)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitLost {
		t.Errorf("coordctl: %v", err)
	}
}
