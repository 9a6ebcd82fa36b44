package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

var (
	endless  = regexp.MustCompile(`(get|describe|explain) .*-w|--observe|map watch|waitgroup add`)
	stranger = regexp.MustCompile(`--endpoints`)
)

// examples are the lines that the help of a command shows, and of those below it.
func examples(cmd *cobra.Command) (lines []string) {
	for line := range strings.Lines(cmd.Example) {
		if line = strings.TrimSpace(line); !stranger.MatchString(line) {
			lines = append(lines, line)
		}
	}
	for _, sub := range cmd.Commands() {
		lines = append(lines, examples(sub)...)
	}
	return lines
}

// Every line that help shows is one that works.
func TestHelpRuns(t *testing.T) {
	cluster := coordtest.New(t)
	dir := t.TempDir()
	for _, name := range []string{"deploy.sh", "backup.sh", "read.sh", "serve.sh", "migrate.sh", "three-parts.sh", "resize.sh", "work.sh", "worker.sh"} {
		stub(t, filepath.Join(dir, name), "exit 0")
	}
	for _, name := range []string{"make", "rsync"} {
		stub(t, filepath.Join(dir, "bin", name), "exit 0")
	}
	stub(t, filepath.Join(dir, "bin", "jq"), "exec head -n 1")
	stub(t, filepath.Join(dir, "bin", "dot"), "exec cat")
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	t.Setenv(envEndpoints, cluster.Target())
	t.Setenv(patient, "yes")
	t.Chdir(dir)

	c := cluster.Dial()
	lines := examples(new(app).root())
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		refill(t, c, line)
		code, said := runShown(t, line)
		allowed := []int{0, exitFailed, exitNotFound, exitHeld, exitNotAcquired, exitSignal + int(syscall.SIGINT)}
		if strings.Contains(line, "waitgroup done") {
			allowed = append(allowed, exitRefused) // nothing is counted
		}
		if strings.Contains(line, "member add") || strings.Contains(line, "member replace") {
			allowed = append(allowed, exitRefused) // no node waits there; test/e2e has one
		}
		if !slices.Contains(allowed, code) {
			t.Errorf("%s\nexits %d: %s", line, code, said)
		}
	}
}

// refill has what receives find something, and what goes on to the end come to one.
func refill(t *testing.T, c *client.Client, line string) {
	t.Helper()
	if !strings.Contains(line, "jobs") || strings.Contains(line, "delete") {
		return
	}
	if err := c.Delete(t.Context(), client.KindChan, "jobs"); err != nil && !errors.Is(err, client.ErrNotFound) {
		t.Fatal(err)
	}
	jobs := client.NewChan[string](c, "jobs", 100, client.WithCodec(client.Raw()))
	for range 5 {
		jobs.Send("job")
	}
	if strings.Contains(line, "--follow") {
		jobs.Close()
	}
}

func stub(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// runShown runs a line as a shell does. What does not end by itself is interrupted once it has
// said something.
func runShown(t *testing.T, line string) (code int, said string) {
	t.Helper()
	shell, piped := "exec "+line, strings.Contains(line, " | ")
	if piped {
		shell = line // it ends when nobody reads it
	}
	cmd := exec.Command("sh", "-c", shell)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadByte(); err == nil && !piped && endless.MatchString(line) {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
	}
	_, _ = io.Copy(io.Discard, r)
	_ = cmd.Wait() // its code is what is asked for
	return cmd.ProcessState.ExitCode(), errs.String()
}
