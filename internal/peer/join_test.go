package peer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseJoin(t *testing.T) {
	got, err := ParseJoin([]string{" b:1", "a:1 "})
	if want := []string{"a:1", "b:1"}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for in, want := range map[string]string{
		"a":                             "not host:port",
		"a:1,a:1":                       "twice",
		"0.0.0.0:1":                     "every interface",
		"[::]:1":                        "every interface",
		":1":                            "every interface",
		"a:0":                           "port must be",
		"a:http":                        "port must be",
		"":                              "not host:port",
		strings.Repeat("a", 254) + ":1": "255",
	} {
		if _, err := ParseJoin(strings.Split(in, ",")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
