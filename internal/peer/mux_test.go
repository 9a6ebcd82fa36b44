package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// A syncWriter lets several loggers write to one buffer.
type syncWriter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *syncWriter) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// A node is a mux of cluster (empty: none), with its log.
type node struct {
	*Mux
	logs syncWriter
}

func startNode(t *testing.T, n *network, at, cluster string, change func(*MuxConfig)) *node {
	t.Helper()
	id := openIdentity(t, t.TempDir())
	if cluster != "" {
		if err := id.Adopt(cluster); err != nil {
			t.Fatal(err)
		}
	}
	p := &node{}
	cfg := MuxConfig{
		Listener: n.listen(t, at), Dial: n.dial, Identity: id, Address: at,
		Self:   func() Hello { return Hello{Name: "name", ClientAddress: "client-" + at, LeaderID: "leader"} },
		Logger: slog.New(slog.NewTextHandler(&p.logs, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	p.Mux = NewMux(cfg)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		closeIdentity(t, id)
	})
	return p
}

func (p *node) id() string { return p.cfg.Identity.NodeID() }

func TestHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := startNode(t, n, "a:1", "c1", nil)
		b := startNode(t, n, "b:1", "", func(c *MuxConfig) { c.Join = []string{"a:1", "b:1"} })
		got, err := b.Hello(t.Context(), "a:1", a.id())
		want := Hello{NodeID: a.id(), ClusterID: "c1", Phase: PhaseAdopted, Name: "name",
			PeerAddress: "a:1", ClientAddress: "client-a:1", LeaderID: "leader"}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v\n%s", err, cmp.Diff(want, got))
		}
		if got := b.cfg.Identity.ClusterID(); got != "" {
			t.Errorf("asking alone adopted %s", got)
		}
		got, err = a.Hello(t.Context(), "b:1", "")
		want = Hello{NodeID: b.id(), ClusterID: "c1", Phase: PhaseAdopted, Name: "name",
			PeerAddress: "b:1", ClientAddress: "client-b:1", LeaderID: "leader", Join: []string{"a:1", "b:1"}}
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("greeted by its list: %v\n%s", err, cmp.Diff(want, got))
		}
	})
}

func TestMuxRefuses(t *testing.T) {
	tests := map[string]struct {
		dialler, answerer string // clusters
		purpose           purpose
		target            string
		join              []string // the answerer's
		is                error
		want              string
		warns             bool
	}{
		"another cluster, hello":  {"c1", "c2", purposeHello, "", nil, ErrWrongCluster, "this node is of cluster c2, not c1", true},
		"another cluster, raft":   {"c1", "c2", purposeRaft, "", nil, ErrWrongCluster, "this node is of cluster c2, not c1", true},
		"another node":            {"c1", "c1", purposeRaft, "x", nil, ErrWrongNode, "not x: its data directory was replaced", true},
		"raft of a fresh node":    {"", "c1", purposeRaft, "", nil, nil, "may be of no cluster", false},
		"raft between fresh ones": {"", "", purposeRaft, "", nil, nil, "may be of no cluster", false},
		"not in the list":         {"c1", "", purposeRaft, "", []string{"b:1", "c:1"}, nil, "--join does not name a:1", true},
		"unknown purpose":         {"c1", "c1", 9, "", nil, nil, "unknown purpose 9", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := startNode(t, n, "a:1", tt.dialler, nil)
				b := startNode(t, n, "b:1", tt.answerer, func(c *MuxConfig) { c.Join = tt.join })
				_, err := a.dial(t.Context(), tt.purpose, "b:1", tt.target)
				var refused *RefusedError
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
				if b.cfg.Identity.ClusterID() != tt.answerer {
					t.Errorf("answerer is now of %s", b.cfg.Identity.ClusterID())
				}
				synctest.Wait()
				if warned := b.logs.String() != ""; warned != tt.warns {
					t.Errorf("warned %v, want %v: %s", warned, tt.warns, b.logs.String())
				}
			})
		})
	}
}

func TestMuxRefusesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startNode(t, newNetwork(), "a:1", "c1", nil)
		_, err := a.Hello(t.Context(), "a:1", "")
		if err == nil || !strings.Contains(err.Error(), "same node") {
			t.Errorf("got %v", err)
		}
	})
}

func TestMuxWarnsOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := startNode(t, n, "a:1", "c1", nil)
		b := startNode(t, n, "b:1", "c2", nil)
		for range 100 {
			if _, err := a.Hello(t.Context(), "b:1", ""); !errors.Is(err, ErrWrongCluster) {
				t.Fatal(err)
			}
			time.Sleep(150 * time.Millisecond)
		}
		synctest.Wait()
		if got := strings.Count(b.logs.String(), "\n"); got != 2 {
			t.Errorf("%d lines in 15 s, want 2", got)
		}
	})
}

// TestMuxGarbage: strangers are hung up on, without an answer where they do not begin
// with the magic, within the handshake's time, and members still get in.
func TestMuxGarbage(t *testing.T) {
	tests := map[string]struct {
		send   string
		answer bool
		within time.Duration
	}{
		"http":            {"GET / HTTP/1.1\r\n", false, 0},
		"zeros":           {strings.Repeat("\x00", 6), false, 0},
		"silence":         {"", false, handshakeTimeout},
		"part of magic":   {"coo", false, handshakeTimeout},
		"no strings":      {"coordd\x01\x01", false, handshakeTimeout},
		"cut in a string": {"coordd\x01\x01\xffabc", false, handshakeTimeout},
		"other version":   {"coordd\x63\x01", true, 0},
		"no floor":        {"coordd\x01\x02\x00\x00\x00\x00\x00", false, handshakeTimeout},
		"empty strings":   {"coordd\x01\x02\x00\x00\x00\x00" + strings.Repeat("\x00", 8), true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := startNode(t, n, "a:1", "c1", nil)
				b := startNode(t, n, "b:1", "c1", nil)
				conn, err := n.dial(t.Context(), "b:1")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, tt.send) }() // the pipe may be cut meanwhile
				got, err := io.ReadAll(conn)
				if err != nil || (len(got) > 0) != tt.answer {
					t.Errorf("answered %q, %v", got, err)
				}
				if took := time.Since(began); took > tt.within {
					t.Errorf("hung up after %v, want %v", took, tt.within)
				}
				if _, err := a.Hello(t.Context(), "b:1", ""); err != nil {
					t.Errorf("a member then: %v", err)
				}
				if b.logs.String() != "" && name != "other version" {
					t.Errorf("logged: %s", b.logs.String())
				}
			})
		})
	}
}

// TestMuxCap: silent connections take half of the places at most, for one handshake.
func TestMuxCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := startNode(t, n, "a:1", "c1", nil)
		b := startNode(t, n, "b:1", "c1", func(c *MuxConfig) { c.MaxConns = 8 })
		for range 20 {
			if _, err := n.dial(t.Context(), "b:1"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		b.mu.Lock()
		if b.pending != 4 || len(b.conns) != 4 {
			t.Errorf("%d pending of %d, want 4 of 4", b.pending, len(b.conns))
		}
		b.mu.Unlock()
		if _, err := a.Hello(t.Context(), "b:1", ""); err == nil {
			t.Error("the cap did not hold")
		}
		time.Sleep(handshakeTimeout)
		synctest.Wait()
		if _, err := a.Hello(t.Context(), "b:1", ""); err != nil {
			t.Errorf("after the handshakes ran out: %v", err)
		}
	})
}

// TestDialBelievesNothing: what answers on the other end may be anything.
func TestDialBelievesNothing(t *testing.T) {
	say := func(a answer) string { return string(a.encode()) }
	tests := map[string]struct {
		answer string
		is     error
	}{
		"nothing":         {"", ErrNotPeer},
		"ssh":             {"SSH-2.0-OpenSSH_9.6\r\n", ErrNotPeer},
		"cut":             {"coordd\x01", ErrNotPeer},
		"another node":    {say(answer{Code: accepted, Cluster: "c1", Node: "y"}), ErrWrongNode},
		"another cluster": {say(answer{Code: accepted, Cluster: "c2", Node: "x"}), ErrWrongCluster},
		"code 0":          {say(answer{Cluster: "c1", Node: "x"}), nil},
		"huge hello":      {say(answer{Code: accepted, Cluster: "c1", Node: "x"}) + "\xff\xff\xff\xff", nil},
		"bad hello":       {say(answer{Code: accepted, Cluster: "c1", Node: "x"}) + "\x00\x00\x00\x01{", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := startNode(t, n, "a:1", "c1", nil)
				l := n.listen(t, "b:1")
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = readGreeting(conn)
					_, _ = io.WriteString(conn, tt.answer)
					_ = conn.Close()
				}()
				_, err := a.Hello(t.Context(), "b:1", "x")
				if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), "b:1") {
					t.Errorf("got %v, want %v and the address", err, tt.is)
				}
			})
		})
	}
}

func TestDialEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := startNode(t, n, "a:1", "c1", nil)
		l := n.listen(t, "b:1")
		go func() {
			conn, err := l.Accept() // and says nothing
			if err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Hello(ctx, "b:1", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRaftLayer runs raft's own transport over two muxes.
func TestRaftLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var b *node
		a := startNode(t, n, "a:1", "c1", func(c *MuxConfig) {
			c.Members = func() []raftstore.Member { return []raftstore.Member{{ID: b.id(), Address: "b:1"}} }
		})
		b = startNode(t, n, "b:1", "c1", nil)
		ta := raft.NewNetworkTransport(a.Raft(), 3, time.Second, io.Discard)
		tb := raft.NewNetworkTransport(b.Raft(), 3, time.Second, io.Discard)
		go func() {
			rpc := <-tb.Consumer()
			rpc.Respond(&raft.RequestVoteResponse{Term: 7, Granted: true}, nil)
		}()
		var got raft.RequestVoteResponse
		req := &raft.RequestVoteRequest{Term: 7}
		if err := ta.RequestVote("b", "b:1", req, &got); err != nil || !got.Granted {
			t.Errorf("vote: %+v, %v", got, err)
		}
		if err := ta.RequestVote("z", "z:1", req, &got); !errors.Is(err, ErrNotMember) {
			t.Errorf("vote of a stranger: %v", err)
		}
		if got := tb.LocalAddr(); got != "b:1" {
			t.Errorf("local address %s", got)
		}
		for _, tr := range []*raft.NetworkTransport{ta, tb} {
			tr.CloseStreams()
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := a.Raft().Dial("b:1", time.Second); err == nil {
			t.Error("a closed layer dials")
		}
		time.Sleep(time.Minute) // raft's listener wakes from its pause
	})
}

// TestRaftLayerWaitsForRaft: a peer that dials while raft opens its log here gets in;
// one that waits too long is let go.
func TestRaftLayerWaitsForRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var b *node
		a := startNode(t, n, "a:1", "c1", func(c *MuxConfig) {
			c.Members = func() []raftstore.Member { return []raftstore.Member{{ID: b.id(), Address: "b:1"}} }
		})
		b = startNode(t, n, "b:1", "c1", nil)
		conn, err := a.Raft().Dial("b:1", 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(handshakeTimeout / 2)
		got, err := b.Raft().Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte("hi")) }()
		buf := make([]byte, 2)
		time.Sleep(2 * handshakeTimeout) // the handshake's deadline is gone
		if _, err := io.ReadFull(got, buf); err != nil || string(buf) != "hi" {
			t.Errorf("%q, %v", buf, err)
		}
		conn, err = a.Raft().Dial("b:1", 0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(buf); err == nil {
			t.Errorf("read %d bytes from nobody", n)
		}
	})
}

// TestRaftLayerNamesTheNode is invariant 3: a wiped node at a member's address is not
// spoken to.
func TestRaftLayerNamesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := startNode(t, n, "a:1", "c1", func(c *MuxConfig) {
			c.Members = func() []raftstore.Member { return []raftstore.Member{{ID: "the one before", Address: "b:1"}} }
		})
		startNode(t, n, "b:1", "", func(c *MuxConfig) { c.Join = []string{"a:1", "b:1"} })
		if _, err := a.Raft().Dial("b:1", time.Second); !errors.Is(err, ErrWrongNode) {
			t.Errorf("got %v", err)
		}
	})
}

// TestCalls: calls that are passed on go to the member that is meant, and nowhere else.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var b *node
		at := "b:1"
		a := startNode(t, n, "a:1", "c1", func(c *MuxConfig) {
			c.Members = func() []raftstore.Member { return []raftstore.Member{{ID: b.id(), Address: at}} }
		})
		b = startNode(t, n, "b:1", "c1", nil)
		startNode(t, n, "c:1", "c1", nil)
		near, err := a.DialCalls(t.Context(), b.id())
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		far, err := b.Calls().Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = near.Write([]byte("hi")) }()
		buf := make([]byte, 2)
		if _, err := io.ReadFull(far, buf); err != nil || string(buf) != "hi" {
			t.Errorf("%q, %v", buf, err)
		}
		if _, err := a.DialCalls(t.Context(), "nobody"); !errors.Is(err, ErrNotMember) {
			t.Errorf("stranger: %v", err)
		}
		at = "c:1"
		if _, err := a.DialCalls(t.Context(), b.id()); !errors.Is(err, ErrWrongNode) {
			t.Errorf("another node at its address: %v", err)
		}
	})
}

// TestHeard: a member says where it is by greeting; who is no member is not listened to.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := startNode(t, n, "b:2", "c1", nil)
		c := startNode(t, n, "c:1", "c1", nil)
		a := startNode(t, n, "a:1", "c1", func(cfg *MuxConfig) {
			cfg.Members = func() []raftstore.Member { return []raftstore.Member{{ID: b.id(), Address: "b:1"}} }
		})
		for _, from := range []*node{b, c} {
			if _, err := from.Hello(t.Context(), "a:1", ""); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.Heard(b.id()); got != "b:2" {
			t.Errorf("the member is at %q", got)
		}
		if got := a.Heard(c.id()); got != "" {
			t.Errorf("the stranger is at %q", got)
		}
	})
}
