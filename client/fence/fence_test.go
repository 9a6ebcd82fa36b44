package fence_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

func TestGuard(t *testing.T) {
	var g fence.Guard
	for _, step := range []struct {
		resource string
		token    client.Token
		want     error
	}{
		{"a", 5, nil},
		{"a", 5, nil}, // the same holder writes again
		{"a", 7, nil},
		{"a", 6, fence.ErrStale},
		{"a", 5, fence.ErrStale},
		{"b", 1, nil}, // resources are apart
		{"a", 0, fence.ErrNoToken},
		{"c", 0, fence.ErrNoToken},
		{"a", 8, nil},
	} {
		if err := g.Check(step.resource, step.token); !errors.Is(err, step.want) {
			t.Errorf("check %s %v: %v, want %v", step.resource, step.token, err, step.want)
		}
	}
	err := g.Check("a", 3)
	stale, ok := errors.AsType[*fence.StaleError](err)
	if !ok || stale.Seen != 8 || stale.Token != 3 || stale.Resource != "a" {
		t.Errorf("got %#v", err)
	}
	if got := err.Error(); got != "a: stale fencing token 3: 8 was seen" {
		t.Error(got)
	}
}

// However they race, a token that was admitted after another is not smaller.
func TestGuardIsMonotonic(t *testing.T) {
	var g fence.Guard
	var wg sync.WaitGroup
	var mu sync.Mutex
	var greatest client.Token
	for i := range 8 {
		wg.Go(func() {
			for k := range 1000 {
				token := client.Token(1 + (k*7+i*13)%997)
				mu.Lock() // the write that the check is one step with
				if err := g.Check("r", token); err == nil {
					if token < greatest {
						t.Errorf("%v admitted after %v", token, greatest)
					}
					greatest = token
				} else if !errors.Is(err, fence.ErrStale) || token >= greatest {
					t.Errorf("%v refused after %v: %v", token, greatest, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// noCount is the result of a driver that does not count.
type noCount struct{}

var errNoCount = errors.New("not counted")

func (noCount) LastInsertId() (int64, error) { return 0, errNoCount }
func (noCount) RowsAffected() (int64, error) { return 0, errNoCount }

func TestChanged(t *testing.T) {
	if err := fence.Changed(driver.RowsAffected(1), nil); err != nil {
		t.Error(err)
	}
	if err := fence.Changed(driver.RowsAffected(0), nil); !errors.Is(err, fence.ErrStale) {
		t.Error(err)
	}
	if err := fence.Changed(nil, errNoCount); !errors.Is(err, errNoCount) {
		t.Error(err)
	}
	if err := fence.Changed(noCount{}, nil); !errors.Is(err, errNoCount) {
		t.Error(err)
	}
}

func ExampleGuard() {
	var g fence.Guard
	fmt.Println(g.Check("disk", 41))
	fmt.Println(g.Check("disk", 42)) // the lock went to another, who writes
	fmt.Println(g.Check("disk", 41)) // and the first one, late
	// Output:
	// <nil>
	// <nil>
	// disk: stale fencing token 41: 42 was seen
}

func ExampleChanged() {
	// stands for tx.ExecContext(ctx, `UPDATE ... WHERE id = $3 AND fence <= $2`, ...)
	update := func(rows int64) (driver.Result, error) { return driver.RowsAffected(rows), nil }
	fmt.Println(fence.Changed(update(1)))
	fmt.Println(fence.Changed(update(0)))
	// Output:
	// <nil>
	// no row was changed: stale fencing token
}
