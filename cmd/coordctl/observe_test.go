package main

import (
	"bufio"
	"bytes"
	"log/slog"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// What observers read, and programs.
func TestLinesOfAnElection(t *testing.T) {
	who := client.Holder{
		Session: "000000000000002a", Name: "billing", Note: "n",
		Metadata: map[string]string{"host": "host-a", "pid": "812"},
	}
	led := client.Leader{Value: "10.0.0.7:80", Term: 7, Who: who}
	evil := client.Leader{Value: "\x1b[2J", Term: 8, Who: client.Holder{Session: "000000000000002b", Name: "a\nb"}, Missed: 3}
	vacant := led
	vacant.Vacant = true
	for _, c := range []struct {
		l           client.Leader
		table, json string
	}{
		{
			led, "leader 7 10.0.0.7:80 host-a pid 812 (n)",
			`{"state":"leader","term":"7","value":"10.0.0.7:80","session":"000000000000002a","name":"billing","note":"n","metadata":{"host":"host-a","pid":"812"},"missed":0}`,
		},
		{
			vacant, "vacant 7 10.0.0.7:80 host-a pid 812 (n)",
			`{"state":"vacant","term":"7","value":"10.0.0.7:80","session":"000000000000002a","name":"billing","note":"n","metadata":{"host":"host-a","pid":"812"},"missed":0}`,
		},
		{
			evil, `leader 8 "\x1b[2J" session 000000000000002b (a` + "\uFFFD" + `b)`,
			`{"state":"leader","term":"8","value":"\u001b[2J","session":"000000000000002b","name":"a\nb","missed":3}`,
		},
		{client.Leader{Vacant: true}, "vacant", `{"state":"vacant","term":"0","value":"","missed":0}`},
	} {
		w := &watcher{app: &app{}}
		if d := cmp.Diff(c.table, w.line(c.l)); d != "" {
			t.Error(d)
		}
		w.output = "json"
		if d := cmp.Diff(c.json, w.line(c.l)); d != "" {
			t.Error(d)
		}
	}
}

// Of what the client logs people are told how the observer fares, and nothing else.
func TestReachLog(t *testing.T) {
	var stderr bytes.Buffer
	log := slog.New(reachLog{&watcher{app: &app{stderr: &stderr}, name: "cron"}}).With("election", "cron").WithGroup("g")
	log.Warn("session lost", "reason", "lease expired")
	log.Debug("observer at ease")
	log.Warn("observer out of reach of the cluster")
	if got := stderr.String(); got != "coordctl: elect cron: out of reach of the cluster\n" {
		t.Errorf("said %q", got)
	}
}

// An observer says on stderr that the cluster is out of its reach, and goes on when it is
// back, as if nothing had been.
func TestObserverRidesOutAnOutage(t *testing.T) {
	cluster := coordtest.New(t)
	cmd := coordctl(cluster.Target(), "--timeout", "60", "elect", "--observe", "cron")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	out, said := bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	wantLine(t, out, "vacant")
	cluster.Node(0).Kill()
	wantLine(t, said, "coordctl: elect cron: out of reach of the cluster")
	cluster.Node(0).Restart()
	wantLine(t, said, "coordctl: elect cron: in reach of the cluster again")
	c := cluster.Dial()
	l, err := c.Election("cron", client.WithNote("n")).Campaign(t.Context(), "v")
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Describe(t.Context(), client.KindElection, "cron")
	if err != nil {
		t.Fatal(err)
	}
	wantLine(t, out, "leader "+l.Token().String()+" v "+d.Holders[0].String())
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitSignal+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
}

// An observer ends with its reader, though nothing happens that it could write.
func TestObserverEndsWithItsReader(t *testing.T) {
	cmd := coordctl(coordtest.New(t).Target(), "--timeout", "60", "elect", "--observe", "cron")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	wantLine(t, bufio.NewScanner(stdout), "vacant")
	_ = stdout.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitSignal+int(syscall.SIGPIPE) {
		t.Errorf("exit code %d", code)
	}
}

func wantLine(t *testing.T, s *bufio.Scanner, want string) {
	t.Helper()
	for more := true; more; more = slowReports.MatchString(s.Text() + "\n") {
		if !s.Scan() {
			t.Fatalf("it ended, and should have said %q: %v", want, s.Err())
		}
	}
	if got := s.Text(); got != want {
		t.Fatalf("it said %q, not %q", got, want)
	}
}
