package latest_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"coordd.dev/raftstore/internal/latest"
)

func Example() {
	v := latest.New("first")
	value, changed := v.Get()
	go v.Set("second")
	<-changed
	newer, _ := v.Get()
	fmt.Println(value, newer)
	// Output: first second
}

// TestSkips: a slow reader gets the newest value, and a writer does not wait for it.
func TestSkips(t *testing.T) {
	v := latest.New(0)
	_, changed := v.Get()
	for i := range 10 {
		v.Set(i + 1)
	}
	<-changed
	if got, _ := v.Get(); got != 10 {
		t.Errorf("got %d", got)
	}
}

// TestSame: a value that is the same is not newer.
func TestSame(t *testing.T) {
	v := latest.New(1)
	_, changed := v.Get()
	v.Set(1)
	select {
	case <-changed:
		t.Error("woken for nothing")
	default:
	}
}

// TestNoneMissed: a reader that always waits for what it got ends at the last value.
func TestNoneMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const last = 1000
		v := latest.New(0)
		go func() {
			for i := range last {
				v.Set(i + 1)
			}
		}()
		for before := 0; ; {
			got, changed := v.Get()
			if got < before {
				t.Fatalf("%d after %d", got, before)
			}
			if before = got; got == last {
				return
			}
			<-changed
		}
	})
}
