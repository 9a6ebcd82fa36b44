package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNearest(t *testing.T) {
	names := []string{"deploy-a", "depoly", "deploy2", "nightly", "d", "deploy2", "größe"}
	for name, want := range map[string][]string{
		"deploy": {"deploy-a", "deploy2", "depoly"},
		"nighty": {"nightly"},
		"grösse": {"größe"},
		"x":      {"d"},
		"backup": nil,
	} {
		if got := nearest(name, names); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for pair, want := range map[[2]string]int{{"", "abc"}: 3, {"abc", ""}: 3, {"kitten", "sitting"}: 3, {"ab", "ba"}: 2, {"ß", "ss"}: 2} {
		if got := distance([]rune(pair[0]), []rune(pair[1])); got != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}

func TestTopicsOf(t *testing.T) {
	for list, want := range map[string]string{
		"locks":                "lock",
		"sem,lock,sem":         "semaphore lock",
		"all":                  "lock semaphore election channel waitgroup once cond map",
		"node":                 "member",
		"sessions,locks":       "! sessions and members are asked for alone",
		"members,members":      "! sessions and members are asked for alone",
		"barrels":              "! no kind barrels; there are locks, semaphores, elections, channels, waitgroups, onces, conds, maps, sessions and members",
		"":                     `! no kind ""; there are locks, semaphores, elections, channels, waitgroups, onces, conds, maps, sessions and members`,
		"locks,":               `! no kind ""; there are locks, semaphores, elections, channels, waitgroups, onces, conds, maps, sessions and members`,
		"mutex,elect,election": "lock election",
	} {
		of, err := topicsOf(list)
		var got []string
		for _, o := range of {
			got = append(got, o.one)
		}
		if err != nil {
			got = []string{"!", err.Error()}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", list, s, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		args     []string
		yes, nay string
	}{
		{nil, "anything", "\x00"},
		{[]string{"*"}, "anything", "\x00"},
		{[]string{"a"}, "a", "ab"},
		{[]string{"a*"}, "ab", "ba"},
		{[]string{"a**"}, "a*b", "ab"},
	} {
		p := patternOf(c.args)
		if !p.matches(c.yes) || c.nay != "\x00" && p.matches(c.nay) {
			t.Errorf("%q: %+v", c.args, p)
		}
	}
}

// Rows of later pages are no narrower than those before, and need none of them.
func TestColumns(t *testing.T) {
	var b bytes.Buffer
	c := &columns{w: &b}
	c.row("NAME", "HOLDER", "HELD")
	c.row("größer", "a", "1s")
	_ = c.flush()
	c.row("x", "somebody", "2s")
	_ = c.flush()
	c.row("NAME", "EMPTY", "HELD")
	c.row("x", "-", "1s")
	c.dropEmpty()
	_ = c.flush()
	want := `NAME     HOLDER   HELD
größer   a        1s
x        somebody   2s
NAME     HELD
x        1s
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
