package hrafttest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"coordd.dev/raftstore/hraft/hrafttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns both ends of a connection from host a to host b.
func connect(t *testing.T, n *hrafttest.Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = n.Dial(t.Context(), "a:1", "b:1"); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); n != len(s) || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q, want %q: %v", got, want, err)
	}
}

// TestPartition: what is sent through a cut comes once it heals, and nothing before.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hrafttest.NewNetwork()
		near, far := connect(t, n)
		mustWrite(t, near, "before")
		mustRead(t, far, "before")
		n.Partition([]string{"a"})
		mustWrite(t, near, "through")
		if err := far.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read through a cut: %v", err)
		}
		if err := errors.Join(far.SetReadDeadline(time.Time{}), near.Close()); err != nil {
			t.Error(err)
		}
		began := time.Now()
		time.AfterFunc(time.Minute, n.Heal)
		mustRead(t, far, "through")
		if passed := time.Since(began); passed != time.Minute {
			t.Errorf("it came after %v", passed)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read after the end: %v", err)
		}
		if err := far.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDial: a cut hangs, a host that does not listen refuses.
func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hrafttest.NewNetwork()
		if _, err := n.Dial(t.Context(), "a:1", "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		l, err := n.Listen("b:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("b:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen twice: %v", err)
		}
		n.Isolate("b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "a:1", "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial through a cut: %v", err)
		}
		time.AfterFunc(time.Second, n.Heal)
		c, err := n.Dial(t.Context(), "a:1", "b:1")
		if err != nil {
			t.Fatalf("dial through a cut that heals: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection that was not accepted goes on")
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSides: hosts of one side reach each other, those in no side too, and isolation
// adds to what is cut.
func TestSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hrafttest.NewNetwork()
		reaches := func(from, to string) bool {
			l, err := n.Listen(to + ":2")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := n.Dial(ctx, from+":1", to+":2")
			if err != nil {
				return false
			}
			return c.Close() == nil
		}
		n.Partition([]string{"a", "b"}, []string{"c"})
		n.Isolate("e")
		for _, test := range []struct {
			from, to string
			want     bool
		}{{"a", "b", true}, {"a", "c", false}, {"d", "f", true}, {"a", "d", false}, {"e", "d", false}, {"e", "a", false}} {
			if got := reaches(test.from, test.to); got != test.want {
				t.Errorf("%s reaches %s: %v", test.from, test.to, got)
			}
		}
		n.Heal()
		if !reaches("e", "c") {
			t.Error("not healed")
		}
	})
}

// TestKill: the death of a process is seen at once at the other end, and what was under
// way is gone; behind a cut it is not seen.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, cut := range []bool{false, true} {
			n := hrafttest.NewNetwork()
			near, far := connect(t, n)
			mustWrite(t, far, "lost")
			if cut {
				n.Isolate("b")
			}
			n.Kill("b")
			want := syscall.ECONNRESET
			if err := near.SetDeadline(time.Now().Add(time.Second)); err != nil {
				t.Error(err)
			}
			_, err := near.Read(make([]byte, 10))
			if cut != errors.Is(err, os.ErrDeadlineExceeded) || !cut != errors.Is(err, want) {
				t.Errorf("cut %v: read: %v", cut, err)
			}
			if err := near.SetDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			if _, err := near.Write([]byte("x")); (err == nil) != cut {
				t.Errorf("cut %v: write: %v", cut, err)
			}
			if _, err := far.Write([]byte("x")); err == nil {
				t.Error("the dead write")
			}
			if err := errors.Join(near.Close(), far.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBackPressure: a writer waits for a slow reader, and a deadline ends that.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := hrafttest.NewNetwork()
		near, far := connect(t, n)
		large := make([]byte, 3<<20)
		var got int64
		go func() {
			time.Sleep(time.Second)
			got, _ = io.Copy(io.Discard, far)
		}()
		if n, err := near.Write(large); n != len(large) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
		if err := near.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got != int64(len(large)) {
			t.Errorf("%d bytes came", got)
		}
		near, far = connect(t, n)
		if err := near.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Error(err)
		}
		if _, err := near.Write(large); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write to nobody: %v", err)
		}
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			t.Error(err)
		}
	})
}
