package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestThreeNodes is the life of a cluster: it forms, its leader stops and comes back
// with the same configuration, and /readyz tells.
func TestThreeNodes(t *testing.T) {
	cfgs, ports := three(t)
	nodes := make([]*process, 3)

	shut(t, ports[0], ports[1])
	nodes[2] = spawn(t, cfgs[2], ports[2])
	nodes[2].log.await(t, "waiting for peers")
	if code, body := nodes[2].get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "waiting for peers: ") {
		t.Errorf("a node alone is %d: %s", code, body)
	}
	nodes[0], nodes[1] = spawn(t, cfgs[0], open(t, cfgs[0])), spawn(t, cfgs[1], open(t, cfgs[1]))
	for _, n := range nodes {
		n.awaitReady(t)
		n.getReady(t)
	}
	leader := awaitStatus(t, nodes)

	nodes[leader].cancel()
	if err := <-nodes[leader].ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	close(nodes[leader].ended)
	nodes[leader] = spawn(t, cfgs[leader], open(t, cfgs[leader]))
	nodes[leader].awaitReady(t)
	for _, n := range nodes {
		n.getReady(t)
	}
	// By whom it is led now is open: where somebody stalls it may be the old leader again.
	// That a server hands over when it stops is a test of the server's.
	awaitStatus(t, nodes)
}

// awaitStatus waits until the nodes' views of the cluster agree, and returns the leader.
func awaitStatus(t *testing.T, nodes []*process) (leader int) {
	t.Helper()
	eventually(t, func() (err error) {
		leader, err = checkStatus(t, nodes)
		return err
	})
	return leader
}

// checkStatus holds the nodes' views of the cluster against each other, and returns the
// leader.
func checkStatus(t *testing.T, nodes []*process) (int, error) {
	t.Helper()
	leader, first := -1, nodes[0].status(t)
	for i, n := range nodes {
		got := n.status(t)
		if got.GetClusterId() == "" || got.GetClusterId() != first.GetClusterId() || got.GetLeaderId() != first.GetLeaderId() {
			return 0, fmt.Errorf("node %s: cluster %q led by %q, not %q by %q", n.cfg.Name,
				got.GetClusterId(), got.GetLeaderId(), first.GetClusterId(), first.GetLeaderId())
		}
		if !got.GetReady() || got.GetNodeName() != n.cfg.Name || len(got.GetMembers()) != 3 {
			return 0, fmt.Errorf("node %s: %v", n.cfg.Name, got)
		}
		if got.GetLeading() {
			leader = i
		}
	}
	if leader < 0 {
		return 0, errors.New("nobody leads")
	}
	return leader, nil
}

// TestWipedNode: a member that lost its data is another node; the cluster goes on
// without it, and it says what it waits for.
func TestWipedNode(t *testing.T) {
	cfgs, ports := three(t)
	nodes := make([]*process, 3)
	for i := range nodes {
		nodes[i] = spawn(t, cfgs[i], ports[i])
	}
	for _, n := range nodes {
		n.awaitReady(t)
	}
	before := nodes[0].status(t)
	nodes[0].kill(t)
	if err := os.RemoveAll(cfgs[0].DataDir); err != nil {
		t.Fatal(err)
	}
	nodes[0] = spawn(t, cfgs[0], open(t, cfgs[0]))
	nodes[0].log.await(t, "waits to be added: coordctl member add")
	if code, body := nodes[0].get(t, "/readyz?verbose"); code != http.StatusServiceUnavailable ||
		!strings.Contains(body, "[+] cluster ok") || !strings.Contains(body, "[-] server: not a member") {
		t.Errorf("wiped node is %d: %s", code, body)
	}
	eventually(t, func() error {
		now := nodes[1].status(t)
		if now.GetClusterId() != before.GetClusterId() || !now.GetReady() {
			return fmt.Errorf("the others: %v", now)
		}
		return nil
	})
}

// TestAlone: no flags but addresses. It has its data again after a stop, and refuses to
// start without raft's.
func TestAlone(t *testing.T) {
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	before := p.status(t)
	p.kill(t)

	p = spawn(t, cfg, open(t, cfg))
	p.awaitReady(t)
	if now := p.status(t); now.GetClusterId() != before.GetClusterId() || now.GetNodeId() != before.GetNodeId() || now.GetTerm() <= before.GetTerm() {
		t.Errorf("started again as %v, was %v", now, before)
	}
	p.kill(t)

	if err := os.RemoveAll(filepath.Join(cfg.DataDir, "raft")); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), cfg, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "raft's data in it are gone") {
		t.Errorf("without raft's data: %v", err)
	}
}

// TestFailure: a node whose data are of another cluster than its identity says so and
// ends, with an error.
func TestFailure(t *testing.T) {
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	cluster := p.status(t).GetClusterId()
	p.kill(t)
	path := filepath.Join(cfg.DataDir, "node.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0", len(cluster))
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), cluster, other, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), cfg, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), cluster) || !strings.Contains(err.Error(), other) {
		t.Errorf("ended with %v", err)
	}
}

// TestBound: a stop that hangs is left.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan error, 1)
		if err := bound(stopped, time.Hour); !errors.Is(err, errLeft) {
			t.Errorf("got %v", err)
		}
		stopped <- nil
		if err := bound(stopped, time.Hour); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestNarrator(t *testing.T) {
	now := time.Now()
	told := narrator{when: now}
	for _, tt := range []struct {
		after time.Duration
		state string
		due   bool
	}{
		{0, "no leader", false},
		{settled, "no leader", true},
		{settled, "no leader", false},
		{remind, "no leader", true},
		{0, stateReady, true},
		{time.Hour, stateReady, false},
		{0, "no leader", true},
	} {
		now = now.Add(tt.after)
		if got := told.due(tt.state, now); got != tt.due {
			t.Errorf("%v later %q is due: %v", tt.after, tt.state, got)
		}
	}
}

func TestDirectoryInUse(t *testing.T) {
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	other, free := local(t, "n2")
	shut(t, free)
	other.DataDir = cfg.DataDir
	if err := run(t.Context(), other, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "in use by another coordd") {
		t.Errorf("same directory: %v", err)
	}
	other.DataDir, other.ListenPeer = filepath.Join(t.TempDir(), "x"), cfg.ListenPeer
	if err := run(t.Context(), other, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "--listen-peer "+cfg.ListenPeer) {
		t.Errorf("same port: %v", err)
	}
}

// TestGarbage: bytes that mean nothing, on every port, harm nothing.
func TestGarbage(t *testing.T) {
	cfg, ports := local(t, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	for _, address := range []string{cfg.ListenClient, cfg.ListenPeer, cfg.ListenAdmin} {
		for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x00\xff", 4096), "coordd\x01\x01" + strings.Repeat("\xff", 2048)} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, garbage) // it may be cut off while it writes
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn) // until it is hung up on
			_ = conn.Close()
		}
	}
	p.getReady(t)
	if log := p.log.String(); strings.Contains(log, "ERROR") {
		t.Errorf("log:\n%s", log)
	}
}

// TestStopWhileForming: a node that waits for others stops at once, and in order.
func TestStopWhileForming(t *testing.T) {
	cfgs, ports := three(t)
	shut(t, ports[1], ports[2])
	p := spawn(t, cfgs[0], ports[0])
	p.log.await(t, "waiting for peers")
	conn, err := net.Dial("tcp", cfgs[0].ListenClient)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a client that came early read %d bytes", n)
	}
	_ = conn.Close()
	p.kill(t)
}

func TestAdvertised(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ told, listen, want, fault string }{
		{"host:1", "127.0.0.1:0", "host:1", ""},
		{"", "127.0.0.1:0", "127.0.0.1:" + port, ""},
		{"", "localhost:7601", "localhost:7601", ""},
		{"", "0.0.0.0:7601", "", "--advertise-peer host:port"},
		{"", "[::]:0", "", "--advertise-peer host:port"},
	} {
		got, err := advertised("peer", tt.told, tt.listen, l)
		if got != tt.want || (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%q on %q: %q, %v", tt.told, tt.listen, got, err)
		}
	}
}
