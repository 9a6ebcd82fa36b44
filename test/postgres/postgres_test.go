package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A verdict is a TB that only says how a test would have ended.
type verdict struct{ testing.TB }

func (verdict) Helper()                   {}
func (verdict) Fatalf(f string, a ...any) { panic("failed: " + fmt.Sprintf(f, a...)) }
func (verdict) Skipf(f string, a ...any)  { panic("skipped: " + fmt.Sprintf(f, a...)) }

// A test that is not run says so, and where CI is set it is no success.
func TestAbsent(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped: ", "true": "failed: "} {
		t.Setenv("CI", ci)
		t.Setenv("PATH", t.TempDir())
		_, err := find(filepath.Join(t.TempDir(), "*", "bin", "initdb"))
		if !errors.Is(err, errMissing) {
			t.Fatal(err)
		}
		func() {
			defer func() {
				said := fmt.Sprint(recover())
				if !strings.HasPrefix(said, want) || !strings.Contains(said, "apt-get install postgresql") {
					t.Errorf("CI=%q: %s", ci, said)
				}
			}()
			absent(verdict{}, err)
		}()
	}
}

func TestFindsTheNewest(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"9.6", "13", "8.4", "strange"} {
		bin := filepath.Join(dir, v, "bin")
		if err := os.MkdirAll(bin, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "initdb"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find(filepath.Join(dir, "*", "bin", "initdb"))
	if err != nil || got != filepath.Join(dir, "13", "bin") {
		t.Errorf("%s, %v", got, err)
	}
}

func TestStartAndStop(t *testing.T) {
	var s *Server
	t.Run("while it is needed", func(t *testing.T) {
		s = Start(t)
		sockets, err := filepath.Glob(filepath.Join(s.dir, ".s.PGSQL.*"))
		if err != nil || len(sockets) == 0 {
			t.Errorf("no socket in %s: %v", s.dir, err)
		}
	})
	if s == nil {
		return // skipped, and it said so
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
	if s.cmd.ProcessState == nil {
		t.Error("its process is left")
	}
}
