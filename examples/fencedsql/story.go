package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"coordd.dev/examples/internal/stage"
)

// tell runs the story and prints it to out, as it happens.
func tell(ctx context.Context, out io.Writer, unfenced bool) (err error) {
	dir, err := os.MkdirTemp("", "fencedsql-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends what an error left running

	fmt.Fprintln(out, "building and starting coordd ...")
	cluster, err := stage.StartCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { stop(); err = errors.Join(err, cluster.Stop()) }()

	file := filepath.Join(dir, "shop.db")
	db, err := open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := create(ctx, db); err != nil {
		return err
	}
	env := []string{"COORD_ENDPOINTS=" + cluster.Endpoints, "FENCEDSQL_DB=" + file}
	if err := late(ctx, out, env, unfenced); err != nil {
		return err
	}
	return payers(ctx, out, db)
}

// late has A stopped until B has written.
func late(ctx context.Context, out io.Writer, env []string, unfenced bool) error {
	a, err := start(ctx, out, "A", time.Second, env, unfenced)
	if err != nil {
		return err
	}
	if err := a.await("A holds"); err != nil {
		return err
	}
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop A: %w", err)
	}
	fmt.Fprintln(out, "A is stopped (SIGSTOP), and its lease of 1s runs out; B waits for the lock")

	b, err := start(ctx, out, "B", time.Hour, env, unfenced)
	if err != nil {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}

	fmt.Fprintln(out, "A goes on (SIGCONT), where it was: about to write")
	if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue A: %w", err)
	}
	return a.finish()
}

// payers prints what is in the database.
func payers(ctx context.Context, out io.Writer, db *sql.DB) error {
	var last string
	var payments int
	err := db.QueryRowContext(ctx, `SELECT paid_by, (SELECT count(*) FROM ledger) FROM orders WHERE id = 42`).Scan(&last, &payments)
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	fmt.Fprintf(out, "the order is paid by %s; payments in the ledger: %d\n", last, payments)
	return nil
}

// A process is a writer. Its words go to out as they are read.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	words *bufio.Scanner
	out   io.Writer
}

func start(ctx context.Context, out io.Writer, name string, ttl time.Duration, env []string, unfenced bool) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, fmt.Sprintf("-unfenced=%v", unfenced))
	cmd.Env = append(append(os.Environ(), role+"="+name, "FENCEDSQL_TTL="+ttl.String()), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &process{cmd, stdin, bufio.NewScanner(stdout), out}, nil
}

// await reads until the process says words.
func (p *process) await(words string) error {
	for p.words.Scan() {
		fmt.Fprintln(p.out, p.words.Text())
		if strings.HasPrefix(p.words.Text(), words) {
			return nil
		}
	}
	return fmt.Errorf("it never says %q: %w", words, errors.Join(p.words.Err(), p.cmd.Wait()))
}

// finish lets the process write, and waits for its end.
func (p *process) finish() error {
	if err := p.stdin.Close(); err != nil {
		return err
	}
	for p.words.Scan() {
		fmt.Fprintln(p.out, p.words.Text())
	}
	return errors.Join(p.words.Err(), p.cmd.Wait())
}
