// Package stagetest runs an example as a person would, its processes too, against a
// coordtest cluster.
package stagetest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"coordd.dev/coordtest"
)

// env is set for a test binary that is to be the example.
const env = "STAGE_PLAY"

// limit is for a run that hangs.
const limit = 2 * time.Minute

// Main is for TestMain: it runs main in a process that Play started, and the tests else.
func Main(m *testing.M, main func()) {
	if os.Getenv(env) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Play runs the example, which is to succeed, and returns what it printed.
func Play(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), env+"=yes", "COORD_ENDPOINTS="+coordtest.New(t).Target())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s\n%s", err, out, &stderr)
	}
	return string(out)
}
