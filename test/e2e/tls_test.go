package e2e

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/internal/certs"
	"coordd.dev/test/daemons"
)

// ctl runs coordctl and returns what it said on both streams together.
func ctl(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, coordctl(), args...).CombinedOutput()
	return string(out), err
}

// A chest is a directory that coordctl cert init filled.
type chest string

func newChest(ctx context.Context, t *testing.T) chest {
	t.Helper()
	dir := chest(filepath.Join(t.TempDir(), "certs"))
	for _, args := range [][]string{{"cert", "init"}, {"cert", "client", "alice"}} {
		if said, err := ctl(ctx, append(args, "--dir", string(dir))...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, said)
		}
	}
	return dir
}

func (c chest) file(name string) string { return filepath.Join(string(c), name+".pem") }

// server are the flags that coordctl cert init says.
func (c chest) server() []string {
	return []string{
		"--cert-file", c.file("node"), "--key-file", c.file("node-key"), "--trusted-ca-file", c.file("ca"), "--client-cert-auth",
		"--peer-cert-file", c.file("node"), "--peer-key-file", c.file("node-key"), "--peer-trusted-ca-file", c.file("ca"),
	}
}

func (c chest) client(name string) []string {
	return []string{"--cacert", c.file("ca"), "--cert", c.file(name), "--key", c.file(name + "-key")}
}

func (c chest) open(t *testing.T, name string) *certs.Source {
	t.Helper()
	s, err := certs.Open(certs.Files{Cert: c.file(name), Key: c.file(name + "-key"), CA: c.file("ca")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// issue has the chest's CA make name.pem, for a time.
func (c chest) issue(t *testing.T, name string, from, until time.Duration) {
	t.Helper()
	ca, err := certs.ReadAuthority(c.file("ca"), c.file("ca-key"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Issue(certs.Subject{Name: name, From: time.Now().Add(from), Until: time.Now().Add(until)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(c.file(name), c.file(name+"-key")); err != nil {
		t.Fatal(err)
	}
}

// TestMutualTLS: with what coordctl cert init makes, three nodes form a cluster, a command runs
// under a lock, the leader may die, and who has no certificate hears what to do.
func TestMutualTLS(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	chest := newChest(ctx, t)
	dir := t.TempDir()
	c, err := daemons.New(coordd(), dir, 3, chest.server()...)
	if err != nil {
		t.Fatal(err)
	}
	c.Secure(chest.open(t, "client-admin").Client("localhost"))
	if err := c.Start(ctx); err != nil {
		printLogs(t, dir)
		t.Fatal(err)
	}
	stopAtEnd(t, c, dir)
	run := func(line []string, args ...string) (string, error) {
		return ctl(ctx, append(append([]string{"--endpoints", c.Target(), "--timeout", "60"}, line...), args...)...)
	}
	alice := chest.client("client-alice")
	locked := func(when string) {
		t.Helper()
		if said, err := run(alice, "lock", "-w", "60", "demo", "--", "printenv", "COORD_LOCK_NAME"); err != nil || !strings.Contains(said, "demo\n") {
			t.Errorf("lock %s: %v\n%s", when, err, said)
		}
	}
	locked("at first")
	for _, n := range c.Nodes() { // each passes it on, or leads
		said, err := ctl(ctx, append([]string{"--endpoints", n.Client, "--timeout", "60", "session", "ls"}, alice...)...)
		if err != nil {
			t.Errorf("session ls at %s: %v\n%s", n.Name, err, said)
		}
	}
	checkClient(ctx, t, c.Target(), chest)
	killLeader(ctx, t, c)
	locked("after the leader died")

	other := newChest(ctx, t)
	chest.issue(t, "old", -2*time.Hour, -time.Hour)
	chest.issue(t, "soon", time.Hour, 2*time.Hour)
	bare := []string{"--cacert", chest.file("ca")}
	for name, tt := range map[string]struct {
		line []string
		want string
	}{
		"no certificate": {bare, "it demands a client certificate; give one: --cert FILE --key FILE"},
		"no TLS":         {nil, "it hung up: it is not ready, or wants TLS or another certificate; look at /readyz; if it wants TLS: --cacert FILE"},
		"another CA":     {other.client("client-alice"), "its certificate is of a CA that is not trusted here; give the CA of the nodes: --cacert FILE"},
		"another CA's certificate": {append(bare, "--cert", other.file("client-alice"), "--key", other.file("client-alice-key")),
			"it does not trust the CA of this client's certificate; give one of the CA in the node's --trusted-ca-file"},
		"another host": {append(alice, "--server-name", "n9.example"), "its certificate is for another host: certificate is valid for localhost, not n9.example; use a name that it has"},
	} {
		for _, command := range [][]string{{"session", "ls"}, {"lock", "-w", "2", "demo", "--", "true"}, {"map", "get", "m", "k"}} {
			if said, err := ctl(ctx, slices.Concat([]string{"--endpoints", c.Target()}, tt.line, command)...); err == nil || !saysAll(said, tt.want) {
				t.Errorf("%s, %v: %v\n%s\nwant %q", name, command, err, said, tt.want)
			}
		}
	}
	for name, want := range map[string]string{"old": "old.pem: it expired on", "soon": "soon.pem: it is not valid before"} {
		if said, err := run(chest.client(name), "status"); err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// saysAll looks for what is wrong and for what to do about it: between them may be what was
// wrong with other nodes, one of which may have hung up before it could be heard.
func saysAll(said, want string) bool {
	what, next, _ := strings.Cut(want, "; ")
	return strings.Contains(said, what) && strings.Contains(said, "; "+next)
}

// checkClient: the Go client takes a lock over TLS, wherever the leader is.
func checkClient(ctx context.Context, t *testing.T, target string, chest chest) {
	t.Helper()
	c, err := client.Dial(ctx, target, client.WithTLS(chest.open(t, "client-alice").Client("")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hold, err := c.Mutex("go").LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Unlock(ctx); err != nil {
		t.Error(err)
	}
}

// TestPlainNode: a client that speaks TLS to a node that does not is told so.
func TestPlainNode(t *testing.T) {
	ctx := bounded(t)
	chest := newChest(ctx, t)
	c, err := daemons.Start(ctx, coordd(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, command := range [][]string{{"session", "ls"}, {"status"}, {"lock", "-w", "2", "demo", "--", "true"}} {
		said, err := ctl(ctx, append(append([]string{"--endpoints", c.Target()}, chest.client("client-alice")...), command...)...)
		if err == nil || !strings.Contains(said, "it speaks plain text, and not TLS; leave out --cacert and --cert, or give the node --cert-file") {
			t.Errorf("%v: %v\n%s", command, err, said)
		}
	}
}
