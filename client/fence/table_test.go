package fence_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

func TestTableNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"":                              true, // coord_fence
		"fences":                        true,
		"_f2":                           true,
		"app.Fences":                    true,
		strings.Repeat("f", 63):         true,
		strings.Repeat("f", 64):         false,
		"2f":                            false,
		"a.b.c":                         false,
		".f":                            false,
		"f.":                            false,
		"f;":                            false,
		"f -- ":                         false,
		`"f"`:                           false,
		"`f`":                           false,
		"f(x)":                          false,
		"fénce":                         false,
		"f\x00":                         false,
		"coord_fence; DROP TABLE users": false,
	} {
		for _, d := range []fence.Dialect{fence.Postgres, fence.SQLite, fence.MySQL} {
			table := fence.Table{Dialect: d, Name: name}
			// There is no database behind it: what is valid would panic.
			if !ok {
				if err := table.Create(t.Context(), nil); !errors.Is(err, client.ErrInvalid) {
					t.Errorf("create %q: %v", name, err)
				}
				if err := table.Check(t.Context(), nil, "r", 1); !errors.Is(err, client.ErrInvalid) {
					t.Errorf("check in %q: %v", name, err)
				}
			}
			if got := statement(table); (got != "") != ok {
				t.Errorf("%q: %s", name, got)
			}
		}
	}
}

// statement is empty if it panics with an ErrInvalid.
func statement(f fence.Table) (s string) {
	defer func() {
		if err, ok := recover().(error); ok && !errors.Is(err, client.ErrInvalid) {
			panic(err)
		}
	}()
	return f.Statement()
}

func TestTableNeedsADialect(t *testing.T) {
	for _, d := range []fence.Dialect{0, fence.MySQL + 1} {
		f := fence.Table{Dialect: d}
		if err := f.Check(t.Context(), nil, "r", 1); !errors.Is(err, client.ErrInvalid) {
			t.Error(err)
		}
		if s := statement(f); s != "" {
			t.Error(s)
		}
	}
}

// What the database would refuse, or take for something else, it is not asked. There is
// no transaction: to ask would panic.
func TestTableRefusesUnasked(t *testing.T) {
	f := fence.Table{Dialect: fence.Postgres}
	for _, c := range []struct {
		resource string
		token    client.Token
		want     error
	}{
		{"r", 0, fence.ErrNoToken},
		{"r", math.MaxInt64 + 1, client.ErrInvalid},
		{"", 1, client.ErrInvalid},
		{strings.Repeat("r", 257), 1, client.ErrInvalid},
		{"r\x00", 1, client.ErrInvalid},
		{"r\xff", 1, client.ErrInvalid},
	} {
		if err := f.Check(t.Context(), nil, c.resource, c.token); !errors.Is(err, c.want) {
			t.Errorf("%q %v: %v", c.resource, c.token, err)
		}
	}
}
