package stage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a process that is told to stop may take to.
const patience = 10 * time.Second

// A Process plays a part. One goroutine reads what it says, and ends with it.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and everything is read
	err  error         // how it ended, once done is closed

	mu   sync.Mutex
	said []string      // since the last Await
	more chan struct{} // closed by the next line
}

func start(ctx context.Context, binary, name string, out *output, args []string, env ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.SysProcAttr = apart()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{name: name, cmd: cmd, done: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			out.say("%s: %s", name, lines.Text())
			p.hear(lines.Text())
		}
		p.err = cmd.Wait()
	}()
	return p, nil
}

// apart keeps a terminal's ^C from a process: who started it tells it when to stop.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (p *Process) hear(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, line)
	close(p.more)
	p.more = make(chan struct{})
}

// Await waits until the process says a line that begins so, and returns it. It looks only
// at what no Await has passed yet.
func (p *Process) Await(ctx context.Context, begins string) (string, error) {
	for ended := false; ; {
		line, ok, more := p.pass(begins)
		if ok {
			return line, nil
		}
		if ended {
			return "", fmt.Errorf("await %q of %s: it has ended: %w", begins, p.name, errors.Join(errors.New("unsaid"), p.err))
		}
		select {
		case <-more:
		case <-p.done:
			ended = true // what it said last may not have been looked at
		case <-ctx.Done():
			return "", fmt.Errorf("await %q of %s: %w", begins, p.name, context.Cause(ctx))
		}
	}
}

func (p *Process) pass(begins string) (line string, ok bool, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, line := range p.said {
		if strings.HasPrefix(line, begins) {
			p.said = p.said[i+1:]
			return line, true, nil
		}
	}
	p.said = nil
	return "", false, p.more
}

// Wait waits for the end of the process, which is to succeed.
func (p *Process) Wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// Signal sends sig: SIGTERM has the process stop, SIGSTOP stand still, SIGCONT go on.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the process as a crash does (SIGKILL), and returns when it is no more.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}
