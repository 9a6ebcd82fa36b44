package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"0", 0, true},
		{"3", 3 * time.Second, true},
		{"0.5", 500 * time.Millisecond, true},
		{"1e2", 100 * time.Second, true},
		{"90s", 90 * time.Second, true},
		{"1m30s", 90 * time.Second, true},
		{"", 0, false},
		{"soon", 0, false},
		{"-1", 0, false},
		{"-1s", 0, false},
		{"NaN", 0, false},
		{"Inf", 0, false},
		{"1e300", 0, false},
		{"9999999999999h", 0, false},
	} {
		got, err := parseDuration(c.in)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("parseDuration(%q) = %v, %v", c.in, got, err)
		}
	}
}

func TestShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s":    0,
		"5ms":   5 * time.Millisecond,
		"1s":    time.Second,
		"1.5s":  1500 * time.Millisecond,
		"2s":    2*time.Second + 30*time.Millisecond,
		"59s":   59*time.Second + 900*time.Millisecond,
		"2m":    2 * time.Minute,
		"2m5s":  2*time.Minute + 5*time.Second,
		"1h":    time.Hour,
		"1h30m": 90*time.Minute + 12*time.Second,
		"2d":    48 * time.Hour,
		"1d1h":  25 * time.Hour,
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %s, want %s", d, got, want)
		}
	}
	if got := short(-time.Second); got != "0s" {
		t.Errorf("short of a negative duration = %s", got)
	}
}

// Whatever short prints, a flag takes, but for days, which no flag needs.
func TestShortParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)-1).Draw(t, "d"))
		got, err := parseDuration(short(d))
		if err != nil || got > d {
			t.Fatalf("%v is %s is %v, %v", d, short(d), got, err)
		}
	})
}
