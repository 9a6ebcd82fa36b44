package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// TestSnapshot is saving one cluster and restoring it into others: $OLD, $NEW and $OTHER are
// their endpoints, each of which a script has for itself.
func TestSnapshot(t *testing.T) {
	commands := scriptCommands()
	// flip FILE OFFSET damages a byte, counted from the end.
	commands["flip"] = func(ts *testscript.TestScript, _ bool, args []string) {
		b := []byte(ts.ReadFile(args[0]))
		b[len(b)-len(args[1])] ^= 1
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
	}
	// cut FILE takes its last byte away.
	commands["cut"] = func(ts *testscript.TestScript, _ bool, args []string) {
		b := bytes.Clone([]byte(ts.ReadFile(args[0])))
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b[:len(b)-1], 0o600))
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/snapshot",
		Cmds: commands,
		Setup: func(env *testscript.Env) error {
			env.Setenv(patient, "yes")
			for _, name := range []string{"OLD", "NEW", "OTHER"} {
				env.Setenv(name, coordtest.New(t).Target())
			}
			return setup(env.Getenv("OLD"))(env)
		},
	})
}

// A lock is waited for while a restored cluster opens no sessions, as it is while none leads.
func TestRestoredIsElecting(t *testing.T) {
	old, restored := coordtest.New(t), coordtest.New(t)
	old.Dial(client.WithTTL(time.Hour))
	file := filepath.Join(t.TempDir(), "backup")
	for _, cmd := range []*exec.Cmd{
		coordctl(old.Target(), "snapshot", "save", file), coordctl(restored.Target(), "snapshot", "restore", file),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := client.Dial(ctx, restored.Target())
	if !errors.Is(err, client.ErrUnavailable) || !electing(err) {
		t.Errorf("the dial is given up: %v", err)
	}
}
