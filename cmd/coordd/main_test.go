package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestExecute(t *testing.T) {
	tests := []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"version", 0, "coordd devel go", ""},
		{"--help", 0, "COORDD_DATA_DIR", ""},
		{"serve --help", 0, "--bootstrap-expect", ""},
		{"dev --help", 0, "--nodes", ""},
		{"frobnicate", exitUsage, "", `unknown command "frobnicate"`},
		{"serve now", exitUsage, "", `serve takes no arguments, not "now"`},
		{"--frobnicate", exitUsage, "", "unknown flag: --frobnicate; try coordd --help"},
		{"--bootstrap-expect x", exitUsage, "", "--bootstrap-expect"},
		{"--engine etcd", exitUsage, "", "not in this version"},
		{"serve --listen-client 0.0.0.0:1", exitUsage, "", "--insecure-allow-remote"},
		{"--config /nowhere", exitUsage, "", "no such file"},
		{"dev --nodes 0", exitUsage, "", "must be from 1 to 7"},
		{"dev --nodes 8", exitUsage, "", "must be from 1 to 7"},
		{"dev --port 65530", exitUsage, "", "room for 3 nodes"},
		{"dev --name x", exitUsage, "", "unknown flag: --name"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(nil, append([]string{"bin/coordd"}, strings.Fields(tt.args)...), nil, &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit %d\nstdout: %s\nstderr: %s", code, &stdout, &stderr)
			}
		})
	}
}

// TestTerm: a SIGTERM ends a node in order.
func TestTerm(t *testing.T) {
	log, signals, code := newLogbook(), make(chan os.Signal, 2), make(chan int, 1)
	args := []string{"coordd", "--data-dir", filepath.Join(t.TempDir(), "d"), "--name", "n1",
		"--listen-client", "127.0.0.1:0", "--listen-peer", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0"}
	go func() {
		code <- execute(signals, args, []string{"COORDD_SERVICE_HOST=10.0.0.1", "COORDD_LOG_FORMAT=json"}, newLogbook(), log)
	}()
	log.await(t, `"msg":"ready"`)
	signals <- syscall.SIGTERM
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
	for _, want := range []string{"COORDD_SERVICE_HOST is not a setting", `"msg":"stopped"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, log)
		}
	}
}

// TestSecondSignal: it does not wait for a stop that hangs, which a reader of the
// command's output can make one do.
func TestSecondSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, code, out := make(chan os.Signal), make(chan int, 1), &stuck{done: make(chan struct{})}
		go func() { code <- execute(signals, []string{"coordd", "version"}, nil, out, out) }()
		signals <- syscall.SIGINT
		time.Sleep(2 * asOne)
		signals <- syscall.SIGINT
		if got := <-code; got != exitSignal+int(syscall.SIGINT) {
			t.Errorf("exit %d", got)
		}
		close(out.done)
	})
}

// TestSignalTwice: a signal that comes as two is one.
func TestSignalTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, code, out := make(chan os.Signal), make(chan int, 1), &stuck{done: make(chan struct{})}
		go func() { code <- execute(signals, []string{"coordd", "version"}, nil, out, out) }()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		close(out.done)
		if got := <-code; got != 0 {
			t.Errorf("exit %d", got)
		}
	})
}

// A stuck writer takes nothing until it is done.
type stuck struct{ done chan struct{} }

func (s *stuck) Write(p []byte) (int, error) {
	<-s.done
	return len(p), nil
}

func TestDev(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, log, ended := newLogbook(), newLogbook(), make(chan error, 1)
	port, busy := openDev(t) // so that the first node has to look further
	defer busy.close()
	cfg := devConfig{nodes: 3, port: port, logLevel: slog.LevelWarn, program: "bin/coordd"}
	go func() { ended <- dev(ctx, cfg, out, log) }()
	out.await(t, "Ctrl-C stops it.")
	text := out.String()
	for _, want := range []string{"FOR DEVELOPMENT ONLY", "  export COORD_ENDPOINTS=127.0.0.1:", "  bin/coordctl lock demo -- sh -c", "removed at exit"} {
		if !strings.Contains(text, want) {
			t.Errorf("output lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, fmt.Sprintf("127.0.0.1:%d,", port)) {
		t.Errorf("a node is said to be on a port that is another's, %d:\n%s", port, text)
	}
	_, dir, _ := strings.Cut(text, "data: ")
	dir, _, _ = strings.Cut(dir, " ")
	if _, err := os.Stat(filepath.Join(dir, "n3", "node.json")); err != nil {
		t.Errorf("while it runs: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after the end: %v", err)
	}
}

// openDev opens a node's ports as dev would have them, and returns the first. They are
// below those that the system gives to whoever asks for any, so nobody takes them soon.
func openDev(t *testing.T) (int, *listeners) {
	t.Helper()
	for {
		var ports []*listeners
		_, next, err := devListen(&ports, 10_000+devStep*rand.IntN(2_000), 1)
		if err == nil {
			return next - devStep, ports[0]
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// TestDevKept: a directory that is kept is found again by the same command, and only
// by it.
func TestDevKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dev")
	port, ports := openDev(t)
	shut(t, ports)
	cfg := devConfig{nodes: 1, port: port, dataDir: dir, logLevel: slog.LevelWarn, program: "coordd"}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := newLogbook(), make(chan error, 1)
		go func() { ended <- dev(ctx, cfg, out, newLogbook()) }()
		out.await(t, dir+" (kept)")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	cfg.nodes = 3
	if err := dev(t.Context(), cfg, newLogbook(), newLogbook()); err == nil || !strings.Contains(err.Error(), "--nodes 1") {
		t.Errorf("with another number of nodes: %v", err)
	}
}

// TestDevStall: a disk that pauses does not end all nodes at once.
func TestDevStall(t *testing.T) {
	port, ports := openDev(t)
	shut(t, ports)
	nodes, err := devNodes(devConfig{nodes: 1, port: port}, t.TempDir(), false, newLogbook())
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, nodes[0].ports)
	if got := nodes[0].cfg.DiskStallLimit; got != devStall {
		t.Errorf("a node of dev ends after %v without its disk, not %v", got, devStall)
	}
}

func TestAdmin(t *testing.T) {
	h := newHealth()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "served\n") })
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		adminHandler(h, http.NotFoundHandler(), api, false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return w.Code, w.Body.String()
	}
	expect := func(path string, code int, body string) {
		t.Helper()
		if c, b := ask(path); c != code || b != body {
			t.Errorf("GET %s is %d %q, want %d %q", path, c, b, code, body)
		}
	}
	unserved := func(why string) {
		t.Helper()
		code, body := ask("/v1/status")
		var parsed struct {
			Error struct{ Status, Message string }
		}
		err := json.Unmarshal([]byte(body), &parsed)
		if e := parsed.Error; err != nil || code != 503 || e.Status != "UNAVAILABLE" || !strings.HasPrefix(e.Message, "node: not ready: "+why+"; ") {
			t.Errorf("the API is %d, %v: %s", code, err, body)
		}
	}
	expect("/livez", 200, "ok\n")
	expect("/readyz", 503, "not ready: cluster: starting\n")
	unserved("cluster: starting")
	h.setCluster(nil)
	expect("/readyz", 503, "not ready: engine: not started\n")
	h.setEngine(nil)
	expect("/readyz", 503, "not ready: server: not started\n")
	var fault error = errors.New("no leader is known")
	h.setServer(func() error { return fault })
	expect("/readyz?verbose", 503, "[+] cluster ok\n[+] engine ok\n[-] server: no leader is known\nnot ready: server: no leader is known\n")
	expect("/v1/status", 200, "served\n") // it says itself what it cannot do
	fault = nil
	expect("/readyz?verbose", 200, "[+] cluster ok\n[+] engine ok\n[+] server ok\nok\n")
	h.stop()
	expect("/readyz", 503, "not ready: running: shutting down\n")
	unserved("running: shutting down")
	expect("/livez", 200, "ok\n")
	expect("/debug/pprof/", 404, "404 page not found\n")

	w := httptest.NewRecorder()
	adminHandler(h, http.NotFoundHandler(), api, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/", http.NoBody))
	if w.Code != 200 {
		t.Errorf("pprof is %d", w.Code)
	}
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		muted := make(chan struct{})
		l := slog.New(newQuiet(slog.NewTextHandler(&out, nil), muted)).With("part", "raft")
		count := func(want int) {
			t.Helper()
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("%d lines, want %d:\n%s", got, want, &out)
			}
		}
		l.Info("entering follower state")
		count(0)
		for range 50 {
			l.Error("failed to heartbeat to", "peer", "a:1", "backoff", time.Now())
			l.Error("failed to heartbeat to", "peer", "b:1", "backoff", time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		count(2)
		time.Sleep(quietFor)
		l.Error("failed to heartbeat to", "peer", "a:1")
		count(3)
		if !strings.Contains(out.String(), "part=raft peer=a:1 times_held_back=49") {
			t.Errorf("it does not say how often:\n%s", &out)
		}
		close(muted)
		l.Error("something else")
		count(3)
	})
}
