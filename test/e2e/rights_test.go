package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/test/daemons"
)

// A town is a cluster with principals, each of which has a token in a file of its name.
type town struct {
	*daemons.Cluster
	t     *testing.T
	dir   string
	audit string
}

// principals starts three nodes with principals of these rules.
func principals(ctx context.Context, t *testing.T, rules map[string]string) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir()}
	w.audit = filepath.Join(w.dir, "audit")
	var list []string
	for name, text := range rules {
		out, err := exec.CommandContext(ctx, coordctl(), "token", "new", w.token(name)).Output()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(`{"name":%q,"tokens":[%s],"rules":[%s]}`, name, out, text))
	}
	file := filepath.Join(w.dir, "credentials.json")
	if err := os.WriteFile(file, []byte(`{"principals":[`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.Cluster, err = daemons.Start(ctx, coordd(), w.dir, 3, "--credentials-file", file, "--audit-log", w.audit); err != nil {
		printLogs(t, w.dir)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			printLogs(t, w.dir)
		}
	})
	return w
}

func (w *town) token(name string) string { return filepath.Join(w.dir, name+".token") }

// ctl runs coordctl for a principal at some endpoints and wants an exit code.
func (w *town) ctl(ctx context.Context, code int, name, endpoints string, args ...string) string {
	w.t.Helper()
	args = append([]string{"--endpoints", endpoints}, args...)
	if name != "" {
		args = append([]string{"--token-file", w.token(name)}, args...)
	}
	cmd := exec.CommandContext(ctx, coordctl(), args...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Errorf("%s: coordctl %v exits %d (%v), not %d: %s", name, args, got, err, code, out)
	}
	return string(out)
}

// Rights are the same at every node and through every door: a leader, a follower that passes
// calls on, the Go client, coordctl, JSON.
func TestRights(t *testing.T) {
	ctx := bounded(t)
	w := principals(ctx, t, map[string]string{
		"deployer": `{"kind":"lock","name":"deploy/*","verbs":["acquire"]}`,
		"reader":   `{"kind":"*","name":"*","verbs":["read"]}`,
		"root":     `{"kind":"*","name":"*","verbs":["admin"]}`,
	})
	refused := "no rule of deployer allows "
	for _, n := range w.Nodes() {
		if out := w.ctl(ctx, 5, "", n.Client, "get", "locks"); !strings.Contains(out, "no credentials") {
			t.Errorf("without a token: %s", out)
		}
		w.ctl(ctx, 5, "", n.Client, "status")
		w.ctl(ctx, 0, "deployer", n.Client, "status")
		w.ctl(ctx, 0, "reader", n.Client, "get", "locks")
		w.ctl(ctx, 0, "deployer", n.Client, "lock", "deploy/a", "--", "true")
		if out := w.ctl(ctx, 125, "deployer", n.Client, "lock", "other", "--", "true"); !strings.Contains(out, "lock other: forbidden; ask whoever keeps the credentials file") {
			t.Errorf("a lock of others: %s", out)
		}
		if out := w.ctl(ctx, 5, "deployer", n.Client, "send", "other", "x"); !strings.Contains(out, "send other: forbidden; ask whoever keeps the credentials file") {
			t.Errorf("a channel of others: %s", out)
		}
		if out := w.ctl(ctx, 5, "deployer", n.Client, "get", "locks"); !strings.Contains(out, refused+"read of lock/*") {
			t.Errorf("a list: %s", out)
		}
		if out := w.ctl(ctx, 125, "", n.Client, "lock", "deploy/a", "--", "true"); !strings.Contains(out, "no credentials") {
			t.Errorf("a lock without a token: %s", out)
		}
		if out := w.ctl(ctx, 5, "deployer", n.Client, "session", "revoke", "000000000000002a"); !strings.Contains(out, refused+"admin of session/000000000000002a") {
			t.Errorf("revoke: %s", out)
		}
		w.ctl(ctx, 3, "root", n.Client, "session", "revoke", "000000000000002a")
		for who, want := range map[string]int{"": http.StatusUnauthorized, "deployer": http.StatusForbidden, "reader": http.StatusOK} {
			if got := w.getLocks(ctx, n, who); got != want {
				t.Errorf("JSON for %q: %d, not %d", who, got, want)
			}
		}
	}
	w.client(ctx)
	w.recorded()
}

// getLocks is the status of a list of locks by HTTP.
func (w *town) getLocks(ctx context.Context, n *daemons.Node, who string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/v1/objects?kind=lock", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if who != "" {
		token, err := os.ReadFile(w.token(who))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// client tries the Go client.
func (w *town) client(ctx context.Context) {
	t := w.t
	t.Helper()
	if _, err := client.Dial(ctx, w.Target()); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("dialled without a token: %v", err)
	}
	c, err := client.Dial(ctx, w.Target(), client.WithCredentialsFile(w.token("deployer")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hold, err := c.Mutex("deploy/b").LockContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mutex("other").LockContext(ctx); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("a lock of others: %v", err)
	}
	if _, err := c.LockAll(ctx, "deploy/c", "other"); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("one of others among several: %v", err)
	}
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, client.ErrForbidden) {
				t.Errorf("the sync-shaped Lock of what is forbidden panics with %v", err)
			}
		}()
		c.Mutex("other").Lock()
	}()
	if err := hold.Err(); err != nil {
		t.Errorf("the hold beside: %v", err)
	}
	if err := hold.Unlock(ctx); err != nil {
		t.Errorf("unlock: %v", err)
	}
}

// recorded looks into the audit log, which all nodes share here.
func (w *town) recorded() {
	w.t.Helper()
	data, err := os.ReadFile(w.audit)
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]int{}
	for line := range bytes.Lines(data) {
		var e struct{ Principal, Via, Decision, Verb, Resource string }
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		found[e.Principal+" "+e.Decision+" "+e.Verb+" "+e.Resource]++
		if e.Principal == "root" && e.Via != "" {
			found["passed on"]++
		}
	}
	for _, want := range []string{
		"passed on", " unauthenticated  ", "deployer refused acquire lock/other", "deployer refused read lock/*",
		"root allowed admin session/000000000000002a",
	} {
		if found[want] == 0 {
			w.t.Errorf("%q is not in the audit log: %v", want, found)
		}
	}
}
