package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/ports"
)

// patience is how long anything may take that must happen.
const patience = time.Minute

// A logbook is a log that can be waited on.
type logbook struct {
	mu    sync.Mutex
	text  strings.Builder
	moved chan struct{} // closed at the next line
}

func newLogbook() *logbook { return &logbook{moved: make(chan struct{})} }

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	close(l.moved)
	l.moved = make(chan struct{})
	return len(p), nil
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns once the log has the words.
func (l *logbook) await(t *testing.T, words string) {
	t.Helper()
	limit := time.After(patience)
	for {
		l.mu.Lock()
		text, moved := l.text.String(), l.moved
		l.mu.Unlock()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-moved:
		case <-limit:
			t.Fatalf("log never says %q:\n%s", words, text)
		}
	}
}

// A process is a node that runs, as its command would run it.
type process struct {
	*node
	log    *logbook
	cancel context.CancelFunc
	ended  chan error
}

// spawn runs a node on ports that are open already.
func spawn(t *testing.T, cfg Config, ports *listeners) *process {
	t.Helper()
	p := &process{log: newLogbook(), ended: make(chan error, 1)}
	n, err := newNode(cfg, ports, cfg.logger(p.log))
	if err != nil {
		t.Fatal(err)
	}
	p.node = n
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- n.runBounded(ctx) }()
	t.Cleanup(func() { p.kill(t) })
	return p
}

// kill is stop that may come twice.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.cancel()
	if err, ok := <-p.ended; ok {
		close(p.ended)
		if err != nil {
			t.Errorf("node %s: %v", p.cfg.Name, err)
		}
	}
	if t.Failed() {
		t.Logf("log of %s:\n%s", p.cfg.Name, p.log)
	}
}

func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-p.ready:
	case err := <-p.ended:
		p.ended <- err // for kill
		t.Fatalf("node %s ended: %v\n%s", p.cfg.Name, err, p.log)
	case <-time.After(patience):
		t.Fatalf("node %s never got ready: %v\n%s", p.cfg.Name, p.health.ready(), p.log)
	}
}

// eventually looks again until it sees what is to be. Between two looks there may be an
// election, in which nobody is ready and not all name the same leader.
func eventually(t *testing.T, look func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("after %v: %v", patience, err)
		}
	}
}

// get asks the admin port, again if it is hung up on for being slow.
func (p *process) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, func() error {
		r, err := client.Get("http://" + p.ports.admin.Addr().String() + path)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		code, body = r.StatusCode, string(b)
		return err
	})
	return code, body
}

// getReady asks the admin port until it says that the node is ready.
func (p *process) getReady(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		if code, body := p.get(t, "/readyz"); code != http.StatusOK || body != "ok\n" {
			return fmt.Errorf("node %s is %d: %s", p.cfg.Name, code, body)
		}
		return nil
	})
}

func (p *process) status(t *testing.T) (got *coordv1.StatusResponse) {
	t.Helper()
	conn, err := grpc.NewClient(p.clientAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, func() error {
		got, err = coordv1.NewClusterServiceClient(conn).Status(t.Context(), &coordv1.StatusRequest{})
		return err
	})
	return got
}

// local is a configuration on reserved ports of loopback, which it opens: a node that is
// started again has the ports that it had.
func local(t *testing.T, name string) (Config, *listeners) {
	t.Helper()
	block, err := ports.Reserve(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := block.Close(); err != nil {
			t.Error(err)
		}
	})
	addresses := block.Addresses()
	cfg := Config{
		Name: name, DataDir: filepath.Join(t.TempDir(), "data"), Engine: "raft", LogFormat: "text",
		ListenClient: addresses[0], ListenPeer: addresses[1], ListenAdmin: addresses[2],
	}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	return cfg, open(t, cfg)
}

func open(t *testing.T, cfg Config) *listeners {
	t.Helper()
	ports, err := cfg.listen()
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func shut(t *testing.T, ports ...*listeners) {
	t.Helper()
	for _, l := range ports {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

// three are configurations of one cluster, with the same join list.
func three(t *testing.T) ([]Config, []*listeners) {
	t.Helper()
	cfgs, ports, join := make([]Config, 3), make([]*listeners, 3), make([]string, 3)
	for i := range cfgs {
		cfgs[i], ports[i] = local(t, fmt.Sprintf("n%d", i+1))
		join[i] = cfgs[i].ListenPeer
	}
	for i := range cfgs {
		cfgs[i].Join, cfgs[i].BootstrapExpect = join, 3
	}
	return cfgs, ports
}
