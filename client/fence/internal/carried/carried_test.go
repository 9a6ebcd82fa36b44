package carried_test

import (
	"math"
	"strings"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence/internal/carried"
)

func TestToken(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   client.Token
		wrong  string
	}{
		{nil, 0, ""},
		{[]string{"1"}, 1, ""},
		{[]string{"9223372036854775807"}, math.MaxInt64, ""},
		{[]string{"9223372036854775808"}, 0, `"9223372036854775808" is not a decimal number from 1 to 9223372036854775807`},
		{[]string{"18446744073709551616"}, 0, "is not a decimal"},
		{[]string{"0"}, 0, `"0" is not a decimal`},
		{[]string{"-1"}, 0, `"-1" is not a decimal`},
		{[]string{"+1"}, 0, `"+1" is not a decimal`},
		{[]string{""}, 0, `"" is not a decimal`},
		{[]string{"0x10"}, 0, "is not a decimal"},
		{[]string{"1_000"}, 0, "is not a decimal"},
		{[]string{"1e3"}, 0, "is not a decimal"},
		{[]string{"7, 7"}, 0, "is not a decimal"}, // as a proxy joins two
		{[]string{"7", "7"}, 0, "more than once"},
		{[]string{strings.Repeat("a", 1000)}, 0, `"` + strings.Repeat("a", 40) + `" is not`},
	} {
		got, ok, err := carried.Token(c.values)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("%.60q: %v, %v", c.values, got, ok)
		}
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%.60q: %v, want %q", c.values, err, c.wrong)
		}
	}
}
