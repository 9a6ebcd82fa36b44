package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"coordd.dev/test/daemons"
)

// limit ends a test that hangs; the first time, grpcurl has to be built.
const limit = 8 * time.Minute

// An example is a block of shell, and what it is to print: "..." stands for anything, and
// white space for nothing, since JSON has it at random.
type example struct {
	line   int
	script string
	prints string // empty: anything
}

// fence is the mark of a block, with the language of what begins.
var fence = regexp.MustCompile("^```([a-z]*)$")

// examples reads the blocks of a document.
func examples(text string) (all []example, err error) {
	language, first := "", 0
	var block []string
	adjacent := false // nothing but empty lines since a block of shell
	for i, line := range strings.Split(text, "\n") {
		mark := fence.FindStringSubmatch(line)
		switch {
		case mark == nil && language != "":
			block = append(block, line)
		case mark == nil:
			adjacent = adjacent && strings.TrimSpace(line) == ""
		case language == "":
			language, first, block = mark[1], i+2, nil
			if language == "" {
				return nil, fmt.Errorf("line %d: a block without a language", i+1)
			}
		default:
			body := strings.Join(block, "\n")
			switch {
			case language == "sh":
				all = append(all, example{line: first, script: body})
			case adjacent:
				all[len(all)-1].prints = body
			}
			adjacent, language = language == "sh", ""
		}
	}
	return all, nil
}

// matches compares what was printed.
func (e *example) matches(printed string) bool {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	pattern := strings.ReplaceAll(regexp.QuoteMeta(squeeze(e.prints)), `\.\.\.`, `.*`)
	return e.prints == "" || regexp.MustCompile("^"+pattern+"$").MatchString(squeeze(printed))
}

const mark = "@@ block "

// runAll runs all examples in one shell, and returns what each printed.
func runAll(ctx context.Context, all []example, env ...string) ([]string, error) {
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, e := range all {
		fmt.Fprintf(&script, "echo; echo '%s'\n%s\n", mark, e.script)
	}
	shell := exec.CommandContext(ctx, "bash", "-c", script.String())
	shell.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	shell.Stdout, shell.Stderr = &stdout, &stderr
	err := shell.Run()
	printed := strings.Split(stdout.String(), mark+"\n")[1:]
	if err != nil {
		return printed, fmt.Errorf("the block at line %d: %w\n%s", all[max(0, len(printed)-1)].line, err, &stderr)
	}
	return printed, nil
}

func TestAPI(t *testing.T) {
	need(t, "curl")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := examples(string(text))
	if err != nil || len(all) < 10 {
		t.Fatalf("%d examples, %v", len(all), err)
	}
	dir := t.TempDir()
	binary, err := daemons.Build(ctx, "coordd.dev/cmd/coordd", dir)
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(dir, "tools")
	if err := linkTool(ctx, "grpcurl", tools); err != nil {
		t.Fatal(err)
	}
	c, err := daemons.Start(ctx, binary, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}()
	n := c.Nodes()[0]
	printed, err := runAll(ctx, all, "HTTP=http://"+n.Admin, "GRPC="+n.Client, "PATH="+tools+":"+os.Getenv("PATH"))
	if err != nil {
		t.Error(err)
	}
	for i, e := range all[:len(printed)] {
		if !e.matches(printed[i]) {
			t.Errorf("line %d:\n%s\nprints\n%s\nnot\n%s", e.line, e.script, printed[i], e.prints)
		}
	}
	t.Logf("%d examples", len(printed))
}

// need skips the test without a program of that name, and fails it in CI.
func need(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("there is no %s: apt-get install %s", name, name)
	}
	t.Skipf("SKIPPED: there is no %s: apt-get install %s", name, name)
}

// linkTool puts a tool of tools/go.mod into dir under its name.
func linkTool(ctx context.Context, name, dir string) error {
	where := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "-n", name)
	where.Dir = "../.."
	var stderr bytes.Buffer
	where.Stderr = &stderr
	path, err := where.Output()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, &stderr)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Symlink(strings.TrimSpace(string(path)), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}

// A block that fails, or prints something else, is seen.
func TestRunnerBites(t *testing.T) {
	all, err := examples("text\n```sh\necho '{\"a\":  \"b\"}'\n```\n\n```json\n{\"a\": \"...\"}\n```\n\n```sh\necho c\n```\nno output\n\n```json\nnot of a shell\n```\n```sh\nfalse\n```\n")
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	printed, err := runAll(t.Context(), all)
	if err == nil || !strings.Contains(err.Error(), "line 19") {
		t.Errorf("a failing block: %v", err)
	}
	if len(printed) != 3 || !all[0].matches(printed[0]) || !all[1].matches("c") || all[1].prints != "" {
		t.Errorf("%q, %+v", printed, all)
	}
	if all[0].matches(`{"a": 1}`) || all[0].matches(printed[0]+"more") {
		t.Error("anything matches")
	}
	if _, err := examples("```\nx\n```\n"); err == nil {
		t.Error("a block without a language")
	}
}
