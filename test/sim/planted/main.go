// Command planted shows what the simulation is worth: it plants bugs in the pure halves,
// one at a time, and prints by what each was caught and how soon.
//
//	go run ./test/sim/planted            all of them
//	go run ./test/sim/planted lifo gap   these
//
// A bug is an edit of a source file. The edited text never touches the tree: it goes to a
// temporary directory and into the build by way of go build -overlay. An edit whose text
// is no longer found is an error (and fails this directory's test), so that a bug cannot
// quietly stop being planted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := mainErr(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func mainErr(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("planted", flag.ContinueOnError)
	limit := f.Duration("duration", 10*time.Second, "how long to simulate for each bug")
	if err := f.Parse(args); err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	missed := 0
	for _, b := range bugs() {
		if f.NArg() > 0 && !slices.Contains(f.Args(), b.name) {
			continue
		}
		r, err := b.try(ctx, root, dir, *limit)
		if err != nil {
			return fmt.Errorf("plant %s: %w", b.name, err)
		}
		if !r.caught {
			missed++
		}
		fmt.Fprintf(out, "%-24s %-8s %s\n%36s%s\n", b.name, r.took.Round(10*time.Millisecond), b.what, "", r.by)
	}
	if missed > 0 {
		return fmt.Errorf("planted: %d bugs were not caught", missed)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// A bug is edits that make one.
type bug struct {
	name  string
	what  string
	edits []edit
}

// An edit replaces a text that occurs once in a file.
type edit struct{ file, old, new string }

// A result is what became of a planted bug.
type result struct {
	caught bool
	by     string
	took   time.Duration // of simulation
}

func (b *bug) try(ctx context.Context, root, dir string, limit time.Duration) (result, error) {
	overlay, err := b.overlay(root, dir)
	if err != nil {
		return result{}, err
	}
	bin := filepath.Join(dir, "sim-"+b.name)
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", bin, "./test/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return result{}, fmt.Errorf("build: %w\n%s", err, out)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit+time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, "-seed", "1", "-shrink=false", "-duration", limit.String()).CombinedOutput()
	r := result{took: time.Since(begin)}
	var exit *exec.ExitError
	switch {
	case err == nil:
		r.by = "NOT CAUGHT"
	case !errors.As(err, &exit):
		return result{}, fmt.Errorf("run: %w", err)
	default:
		r.caught, r.by = verdict(string(out))
	}
	return r, nil
}

// verdict finds what failed in what sim printed.
func verdict(out string) (bool, string) {
	_, after, ok := strings.Cut(out, "FAILED ")
	lines := strings.SplitN(after, "\n", 3)
	if !ok || len(lines) < 2 {
		return false, "NOT CAUGHT: " + out
	}
	return true, lines[1]
}

// overlay writes the edited files, and what go build is to be told of them.
func (b *bug) overlay(root, dir string) (string, error) {
	replace := map[string]string{}
	for _, e := range b.edits {
		path := filepath.Join(root, e.file)
		from := path
		if edited, ok := replace[path]; ok {
			from = edited
		}
		text, err := e.apply(from)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, b.name+"-"+strings.ReplaceAll(e.file, "/", "-"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write edited file: %w", err)
		}
		replace[path] = to
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("encode overlay: %w", err)
	}
	overlay := filepath.Join(dir, b.name+".json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		return "", fmt.Errorf("write overlay: %w", err)
	}
	return overlay, nil
}

// apply returns the text of a file with the edit.
func (e *edit) apply(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read source: %w", err)
	}
	if n := strings.Count(string(data), e.old); n != 1 {
		return "", fmt.Errorf("%s has %d times, not once: %q", e.file, n, e.old)
	}
	return strings.Replace(string(data), e.old, e.new, 1), nil
}
