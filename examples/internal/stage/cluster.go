package stage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Cluster is a coordd dev of one node.
type Cluster struct {
	Endpoints string // as COORD_ENDPOINTS has them

	dir string
	cmd *exec.Cmd
}

// StartCluster builds coordd and starts it, on the first free ports from 7600 on. ctx is
// for the start; only Stop ends it.
func StartCluster(ctx context.Context) (c *Cluster, err error) {
	dir, err := os.MkdirTemp("", "stage-")
	if err != nil {
		return nil, fmt.Errorf("start coordd: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	binary := filepath.Join(dir, "coordd")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "coordd.dev/cmd/coordd")
	if b, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build coordd: %w\n%s", err, b)
	}
	cmd := exec.Command(binary, "dev", "--nodes", "1")
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = apart()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start coordd: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start coordd: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, endpoints, ok := strings.Cut(lines.Text(), "export COORD_ENDPOINTS="); ok {
			// The rest of what it says fits into the pipe.
			return &Cluster{endpoints, dir, cmd}, nil
		}
	}
	return nil, fmt.Errorf("start coordd: it ended: %w", errors.Join(lines.Err(), cmd.Wait(), context.Cause(ctx)))
}

// Stop ends the cluster and removes what it kept.
func (c *Cluster) Stop() error {
	err := c.cmd.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, c.cmd.Wait(), os.RemoveAll(c.dir))
}
