package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/internal/server"
)

// startWatch runs coordctl as a process and returns what it writes after its first line.
func startWatch(t *testing.T, target string, args ...string) (*exec.Cmd, *bufio.Reader, io.Closer) {
	t.Helper()
	cmd := coordctl(target, append([]string{"--timeout", "60"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatalf("it writes nothing: %v\n%s", err, &errs)
	}
	return cmd, r, out
}

func TestWatchInterrupted(t *testing.T) {
	target := coordtest.New(t).Target()
	for _, args := range [][]string{{"get", "locks", "-w"}, {"describe", "lock", "nothing", "-w"}, {"explain", "lock", "nothing", "-w"}} {
		cmd, out, _ := startWatch(t, target, args...)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitSignal+int(syscall.SIGINT) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A watch of what does not change finds out that nobody reads it.
func TestWatchEndsWithItsReader(t *testing.T) {
	ended := make(chan struct{})
	node := &inspected{}
	node.streams = append(node.streams, func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
		send(&coordv1.WatchResponse{Revision: 1})
		<-ended
		return nil
	})
	cmd, _, out := startWatch(t, node.serve(t), "get", "locks", "-w")
	_ = out.Close()
	err := cmd.Wait()
	close(ended)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitSignal+int(syscall.SIGPIPE) {
		t.Errorf("%v", err)
	}
}

// A script is what a node says on one stream of a watch, which is to begin after a revision.
func script(t *testing.T, after uint64, said ...*coordv1.WatchResponse) func(*coordv1.WatchRequest, func(*coordv1.WatchResponse)) error {
	return func(req *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
		if req.GetAfter() != after {
			t.Errorf("after %d, not %d", req.GetAfter(), after)
		}
		for _, r := range said {
			send(r)
		}
		return status.Error(codes.Internal, "the end")
	}
}

// A watch goes on if nobody answers for a moment what it asks when it hears of a change,
// and asks again.
func TestWatchOverALookThatFails(t *testing.T) {
	noLeader := server.Error(coordv1.Reason_REASON_NO_LEADER, "no leader", nil)
	overloaded := server.Error(coordv1.Reason_REASON_OVERLOADED, "busy", nil)
	change := &coordv1.WatchResponse{Revision: 7, Changes: []*coordv1.ObjectChange{
		{Revision: 7, Kind: coordv1.Kind_KIND_LOCK, Name: "deploy"},
	}}
	first := &coordv1.WatchResponse{Revision: 6}
	skipped := &coordv1.WatchResponse{Revision: 9, Skipped: 3}
	for _, tc := range []struct {
		args  string
		said  *coordv1.WatchResponse
		shown string
		lines int
	}{
		{"describe lock deploy", change, `"name":"deploy"`, 2},
		{"get locks", skipped, `"type":"present"`, 2},
	} {
		node := &inspected{explain: busy(1), refusals: []error{nil, noLeader, overloaded}}
		node.explain.Description.Revision = 6
		node.objects = append(node.objects, lockOf("deploy"))
		node.streams = append(node.streams, script(t, 0, first, tc.said), script(t, 6, tc.said), script(t, 6, tc.said))
		code, out, errs := node.ctl(t, append(strings.Fields(tc.args), "-w", "-o", "json")...)
		if n := strings.Count(out, tc.shown); code != exitFailed || n != tc.lines || !strings.Contains(errs, "the end") {
			t.Errorf("%s: %d, shown %d times:\n%s%s", tc.args, code, n, out, errs)
		}
	}
}

// A watch that cannot show what there is does not begin, and each node is asked once.
func TestWatchThatCannotBegin(t *testing.T) {
	noLeader := server.Error(coordv1.Reason_REASON_NO_LEADER, "no leader", nil)
	var asked []string
	endpoints := make([]string, 2)
	nodes := make([]*inspected, 2)
	for i := range nodes {
		nodes[i] = &inspected{refusals: []error{noLeader, noLeader}}
		nodes[i].streams = append(nodes[i].streams, script(t, 0, &coordv1.WatchResponse{Revision: 6}))
		endpoints[i] = nodes[i].serve(t)
	}
	var errs bytes.Buffer
	code := run(t.Context(), []string{"--endpoints", strings.Join(endpoints, ","), "--timeout", "60", "get", "locks", "-w"}, nil, io.Discard, &errs, nil)
	for _, n := range nodes {
		asked = append(asked, n.calls...)
	}
	if got := strings.Join(asked, ", "); code != exitUnavailable || got != "watch  after none, list , list " {
		t.Errorf("%d, asked %q: %s", code, got, &errs)
	}
}

// A watch follows the node that answers what it asks.
func TestWatchMovesToWhoAnswers(t *testing.T) {
	first := &coordv1.WatchResponse{Revision: 6}
	change := &coordv1.WatchResponse{Revision: 7, Changes: []*coordv1.ObjectChange{{Revision: 7}}}
	alone, well := &inspected{}, &inspected{explain: busy(1)}
	alone.refusals = []error{server.Error(coordv1.Reason_REASON_NO_LEADER, "no leader", nil)}
	alone.streams = append(alone.streams, script(t, 0, first))
	well.streams = append(well.streams, script(t, 6, change))
	well.explain.Description.Revision = 6
	var out, errs bytes.Buffer
	endpoints := alone.serve(t) + "," + well.serve(t)
	code := run(t.Context(), []string{"--endpoints", endpoints, "--timeout", "60", "describe", "lock", "deploy", "-w", "-o", "json"}, nil, &out, &errs, nil)
	if n := strings.Count(out.String(), "\n"); code != exitFailed || n != 2 {
		t.Errorf("%d, shown %d times:\n%s%s", code, n, &out, &errs)
	}
}

// A watch goes on over a change of leader, and tells every change once.
func TestWatchOverALeaderChange(t *testing.T) {
	cluster := coordtest.NewCluster(t, 3)
	mu := cluster.Dial(client.WithTTL(time.Hour)).Mutex("watched")
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	again := func() {
		hold, err := mu.LockContext(ctx)
		if err == nil {
			err = hold.Unlock(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	}
	again()
	r, w := io.Pipe()
	defer r.Close()
	var errs bytes.Buffer
	watching.Go(func() {
		code := run(ctx, []string{"--endpoints", cluster.Target(), "--timeout", "60", "get", "lock", "watched", "-w", "-o", "json"}, nil, w, &errs, nil)
		_ = w.CloseWithError(fmt.Errorf("coordctl ended: %d: %s", code, &errs))
	})
	lines := bufio.NewReader(r)
	next := func() (v changeView) {
		line, err := lines.ReadString('\n')
		if err == nil {
			err = json.Unmarshal([]byte(line), &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := next(); v.Type != "present" {
		t.Fatalf("it begins with %+v", v)
	}
	var got []string
	for range 3 {
		again()
		for range 2 {
			v := next()
			got = append(got, v.Type+" "+v.Revision)
		}
		cluster.KillLeader().Restart()
	}
	if s := strings.Join(got, ", "); s != "granted 3, ended 4, granted 5, ended 6, granted 7, ended 8" {
		t.Error(s)
	}
}

// BenchmarkDescribe says how long a lock with a hundred waiters takes to describe, all of
// coordctl but the start of its process.
func BenchmarkDescribe(b *testing.B) {
	cluster := coordtest.New(b)
	c := cluster.Dial(client.WithTTL(time.Hour))
	ctx, stop := context.WithCancel(b.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer stop()
	if _, err := c.Mutex("crowded").LockContext(ctx); err != nil {
		b.Fatal(err)
	}
	for range 100 {
		waiting.Go(func() { _, _ = c.Mutex("crowded").LockContext(ctx) })
	}
	cluster.AwaitWaiters(client.KindLock, "crowded", 100)
	target := cluster.Target()
	for _, args := range [][]string{{"describe", "lock", "crowded"}, {"explain", "lock", "crowded"}} {
		b.Run(args[0], func(b *testing.B) {
			for b.Loop() {
				if code := run(ctx, append([]string{"--endpoints", target}, args...), nil, io.Discard, io.Discard, nil); code != 0 {
					b.Fatal(code)
				}
			}
		})
	}
}
