// Package postgres runs a real PostgreSQL for a test: a cluster of its own in a directory
// of its own, on a Unix socket in that directory. No port is used, and nothing is left.
//
// Its binaries are those of the Debian package postgresql, or on PATH. Where there are
// none the test is skipped and says so, but not where CI is set: there it fails.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	debian = "/usr/lib/postgresql/*/bin/initdb" // one a version
	limit  = 2 * time.Minute                    // for a start, and for a stop
	tail   = 4 << 10                            // bytes of the log that are shown
	ready  = "database system is ready to accept connections"
)

var errMissing = errors.New("PostgreSQL is not installed: apt-get install postgresql")

// A Server is one PostgreSQL, its processes and its data.
type Server struct {
	dir   string // has the data and the socket
	bin   string // has its programs
	as    *syscall.SysProcAttr
	cmd   *exec.Cmd
	log   *logbook
	ended chan error // what the process ended with
}

// Start makes a cluster and runs it until the test's end.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin, err := find(debian)
	if err != nil {
		absent(tb, err)
	}
	s := &Server{bin: bin, log: &logbook{ready: make(chan struct{})}, ended: make(chan error, 1)}
	tb.Cleanup(func() {
		if err := s.stop(); err != nil {
			tb.Error(err)
		}
		if tb.Failed() {
			tb.Logf("PostgreSQL said:\n%s", s.log)
		}
	})
	if err := s.start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// absent skips the test, or fails it where everything is to be run.
func absent(tb testing.TB, why error) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatalf("%v", why)
	}
	tb.Skipf("%v", why)
}

// find is the directory of the newest PostgreSQL's programs.
func find(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	version := func(initdb string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(initdb))), 64) // 0 goes last
		return v
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return int(10 * (version(a) - version(b))) })
		return filepath.Dir(newest), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err == nil {
		initdb, err = filepath.EvalSymlinks(initdb)
	}
	if err != nil {
		return "", fmt.Errorf("%w (%w)", errMissing, err)
	}
	return filepath.Dir(initdb), nil
}

// URL is what a driver is given to connect.
func (s *Server) URL() string {
	q := url.Values{"host": {s.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return "postgres:///postgres?" + q.Encode()
}

// start returns when connections are accepted. What it began is stop's, also if it fails.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	if s.dir, err = os.MkdirTemp("", "coordd-postgres-"); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.disown(); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--no-locale", "--no-sync")
	s.prepare(initdb)
	initdb.Stdout = s.log
	if err := initdb.Run(); err != nil {
		return fmt.Errorf("run initdb: %w", err)
	}
	// No crash is to be survived. Not bound to ctx: stop ends it.
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-F",
		"-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB")
	s.prepare(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	select {
	case <-s.log.ready:
		return nil
	case err := <-s.ended:
		s.ended <- err // stop asks too
		return fmt.Errorf("start PostgreSQL: it ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("start PostgreSQL: %w", context.Cause(ctx))
	}
}

// disown gives the directory to the user postgres if this is root, as whom PostgreSQL
// refuses to run.
func (s *Server) disown() error {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("run PostgreSQL, which root may not: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("find the user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("find the user postgres: %w", err)
	}
	if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}

func (s *Server) prepare(cmd *exec.Cmd) {
	cmd.Dir = s.dir // this process's may be closed to it
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr = s.log
	cmd.SysProcAttr = s.as
}

// stop ends PostgreSQL, at once: SIGINT throws its clients out, and SIGQUIT ends its
// children as well if that is not enough. Then it removes the directory.
func (s *Server) stop() error {
	var err error
	if s.cmd != nil {
		if err = s.signal(syscall.SIGINT); err != nil {
			err = errors.Join(err, s.signal(syscall.SIGQUIT))
		}
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// signal waits until the process has ended, and ended well if that was asked of it.
func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-s.ended:
		s.ended <- nil // once is enough
		if err != nil {
			return fmt.Errorf("stop PostgreSQL: %w", err)
		}
		return nil
	case <-late.C:
		return fmt.Errorf("stop PostgreSQL: it runs on after %v", sig)
	}
}

// A logbook is what PostgreSQL says. It reads as its end.
type logbook struct {
	mu    sync.Mutex
	text  []byte
	ready chan struct{} // closed when it says so
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := bytes.Contains(l.text, []byte(ready))
	l.text = append(l.text, p...)
	if !was && bytes.Contains(l.text, []byte(ready)) {
		close(l.ready)
	}
	return len(p), nil
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-tail):])
}
