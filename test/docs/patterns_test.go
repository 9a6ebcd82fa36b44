package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// README's list of patterns has every example that is a play of several processes, and no
// other; docs/patterns.md tells of the same.
func TestPatterns(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/patterns.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := names("(?m)^- `go run ./examples/([a-z]+)`: ", readme)
	told := names("(?m)^`go run ./examples/([a-z]+)`$", page)
	plays := plays(t)
	if len(plays) < 7 || len(told) < 7 {
		t.Fatalf("only %q are found, and %q told", plays, told)
	}
	if !slices.Equal(slices.Sorted(slices.Values(listed)), plays) {
		t.Errorf("README lists %q, there are %q", listed, plays)
	}
	if !slices.Equal(slices.Sorted(slices.Values(told)), plays) {
		t.Errorf("docs/patterns.md tells of %q, there are %q", told, plays)
	}
	if sections := strings.Count(string(page), "\n## "); sections != len(told) {
		t.Errorf("docs/patterns.md has %d sections with %d commands", sections, len(told))
	}
}

func names(pattern string, page []byte) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(page), -1) {
		all = append(all, m[1])
	}
	return all
}

// plays are the directories of examples whose main has a stage, sorted.
func plays(t *testing.T) (all []string) {
	t.Helper()
	mains, err := filepath.Glob("../../examples/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, main := range mains {
		text, err := os.ReadFile(main)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "stage.Run(") {
			all = append(all, filepath.Base(filepath.Dir(main)))
		}
	}
	return all
}
