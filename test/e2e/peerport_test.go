package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// A stranger greets a peer port as nodes do, and says what it hears.
type stranger struct {
	conf    *tls.Config // nil: in plain text
	cluster string
	node    string // who it says that it is
	address string // where it says that it is
}

// greet asks to speak raft. What it returns is the node's words; the error is of a connection
// that was cut before there were any.
func (s stranger) greet(ctx context.Context, to string) (said string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return "", err
	}
	if s.conf != nil {
		conn = tls.Client(conn, s.conf)
	}
	const version, raft = 1, 1
	greeting := append([]byte("coordd"), version, raft)
	for _, field := range []string{s.cluster, s.node, "", s.address} {
		greeting = append(append(greeting, byte(len(field))), field...)
	}
	greeting = append(greeting, make([]byte, 8)...) // it has not seen the node before
	if _, err := conn.Write(greeting); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	head := make([]byte, 8) // magic, version, code
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	for range 3 { // cluster, node, text
		n, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return "", err
		}
		said = string(text)
	}
	const accepted = 1
	if head[7] == accepted {
		return "", errors.New("it was let in")
	}
	return said, nil
}

// TestPeerPort: a client's certificate, one that has expired, one of another CA, none, and a
// node that is no member are refused at the peer port, and each is in the audit log.
func TestPeerPort(t *testing.T) {
	ctx := bounded(t)
	own := newChest(ctx, t)
	dir := t.TempDir()
	c, err := daemons.New(coordd(), dir, 3, append(own.server(), "--audit-log", "stderr")...)
	if err != nil {
		t.Fatal(err)
	}
	c.Secure(own.open(t, "client-admin").Client("localhost"))
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			printLogs(t, dir)
		}
	})
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	node := c.Nodes()[0]
	st, err := node.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	member := c.Nodes()[1]
	own.issue(t, "expired", -2*time.Hour, -time.Hour)
	is := func(of chest, cert string) stranger {
		return stranger{conf: of.bearing(t, cert), cluster: st.GetClusterId(), node: "0123456789abcdef", address: "127.0.0.1:9"}
	}
	for name, test := range map[string]struct {
		stranger
		want string // of the words, or of the audit log where none were heard
	}{
		"no member":               {is(own, "node"), "is no member of this cluster"},
		"a client's certificate":  {is(own, "client-alice"), "the certificate is a client's"},
		"an expired certificate":  {is(own, "expired"), "expired"},
		"another CA":              {is(newChest(ctx, t), "node"), "certificate is not accepted"},
		"another host":            {stranger{own.bearing(t, "node"), st.GetClusterId(), "0123456789abcdef", "n9.example:7601"}, "not good for n9.example"},
		"another cluster's":       {stranger{own.bearing(t, "node"), "another", "0123456789abcdef", member.Peer}, "is of cluster"},
		"without any certificate": {is(own, ""), "certificate is not accepted"},
	} {
		before, err := os.ReadFile(node.Log())
		if err != nil {
			t.Fatal(err)
		}
		said, err := test.greet(ctx, node.Peer)
		if err == nil && !strings.Contains(said, test.want) {
			t.Errorf("%s hears %q", name, said)
		}
		if err != nil && strings.Contains(err.Error(), "let in") {
			t.Errorf("%s: %v", name, err)
		}
		awaitAudit(ctx, t, node, len(before), test.want)
	}
}

// bearing is what a stranger shows, and does not look at: one of the chest's certificates, or
// none.
func (c chest) bearing(t *testing.T, name string) *tls.Config {
	t.Helper()
	conf := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is who is looked at
	if name == "" {
		return conf
	}
	pair, err := tls.LoadX509KeyPair(c.file(name), c.file(name+"-key"))
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf
}

// awaitAudit waits for a line of the audit log, behind what there was before, that says why.
func awaitAudit(ctx context.Context, t *testing.T, n *daemons.Node, from int, want string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(n.Log())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b[from:])) {
			var entry struct{ Address, Method, Decision, Reason string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Method == "peer" && strings.Contains(entry.Reason, want) {
				if entry.Address == "" || entry.Decision == "" {
					t.Errorf("the line lacks something: %s", line)
				}
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(fmt.Errorf("the audit log does not say %q:\n%s", want, b[from:]))
		}
	}
}
