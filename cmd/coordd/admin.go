package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"coordd.dev/internal/gateway"
)

// A health is what is known of a node's fitness. The node's goroutines tell it; the
// admin port reads it.
type health struct {
	mu       sync.Mutex
	cluster  error        // why there is no cluster yet
	engine   error        // why the engine cannot run, or does not yet
	server   func() error // why it does not serve; nil until there is a server
	stopping bool
}

// newHealth is that of a node that has only just begun.
func newHealth() *health {
	return &health{cluster: errors.New("starting"), engine: errors.New("not started")}
}

func (h *health) setCluster(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cluster = err
}

func (h *health) setEngine(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.engine = err
}

func (h *health) setServer(ready func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server = ready
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// A check is one condition of readiness.
type check struct {
	name string
	err  error
}

// checks lists the conditions, what others stand on first.
func (h *health) checks() []check {
	h.mu.Lock()
	server, cs := h.server, []check{{"cluster", h.cluster}, {"engine", h.engine}}
	if h.stopping {
		cs = append(cs, check{"running", errors.New("shutting down")})
	}
	h.mu.Unlock()
	if server == nil {
		return append(cs, check{"server", errors.New("not started")})
	}
	return append(cs, check{"server", server()})
}

// ready is the first reason why the node may not be used.
func (h *health) ready() error {
	for _, c := range h.checks() {
		if c.err != nil {
			return fmt.Errorf("%s: %w", c.name, c.err)
		}
	}
	return nil
}

// serving is why there is no server, nil if there is one.
func (h *health) serving() error {
	h.mu.Lock()
	serves := h.server != nil && !h.stopping
	h.mu.Unlock()
	if serves {
		return nil
	}
	return h.ready()
}

// adminHandler serves /livez and /readyz, in the manner of Kubernetes' own, metrics, and
// the API as JSON. Alive is a process that answers: what a restart does not mend must not
// cause one.
func adminHandler(h *health, metrics http.Handler, api http.Handler, withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", onceServing(h, api))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { readyz(w, r, h.checks()) })
	mux.Handle("GET /metrics", metrics)
	if withPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// onceServing answers for api until there is a server, and once it stops. Between these the
// server itself says what it cannot do.
func onceServing(h *health, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.serving(); err != nil {
			gateway.Unavailable(w, err)
			return
		}
		api.ServeHTTP(w, r)
	})
}

func readyz(w http.ResponseWriter, r *http.Request, checks []check) {
	status, first := http.StatusOK, "ok\n"
	var list strings.Builder
	for _, c := range checks {
		if c.err == nil {
			fmt.Fprintf(&list, "[+] %s ok\n", c.name)
			continue
		}
		if status == http.StatusOK {
			status, first = http.StatusServiceUnavailable, fmt.Sprintf("not ready: %s: %v\n", c.name, c.err)
		}
		fmt.Fprintf(&list, "[-] %s: %v\n", c.name, c.err)
	}
	if r.URL.Query().Has("verbose") {
		first = list.String() + first
	}
	reply(w, status, first)
}

func reply(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // whoever asked may have gone
}

// An adminServer is the admin port.
type adminServer struct {
	http   *http.Server
	served sync.WaitGroup
}

// serveAdmin serves the listener until close. The log is of what clients do wrong.
func serveAdmin(l net.Listener, handler http.Handler, log *log.Logger) *adminServer {
	a := &adminServer{http: &http.Server{
		Handler:           handler,
		ErrorLog:          log,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}}
	a.served.Go(func() { _ = a.http.Serve(l) }) // it ends by close
	return a
}

// close lets requests under way end, for a moment.
func (a *adminServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // a profile, perhaps
		err = a.http.Close()
	}
	a.served.Wait()
	if err != nil {
		return fmt.Errorf("close admin port: %w", err)
	}
	return nil
}
