// Package fence refuses late writes.
//
// No lock service can stop a paused process from writing after its lock went to
// another. What is written to can: it remembers the greatest token it has seen and
// refuses a smaller one. The check and the write must be one atomic step, so they
// belong into one statement or one transaction.
//
// The shortest form is a column:
//
//	UPDATE orders SET state = $1, fence = $2 WHERE id = $3 AND fence <= $2
//
// with [Changed] around it. Writes that are more than one row check in a [Table], in
// their transaction. A resource in memory has a [Guard]. To a service that owns the
// data the token goes in [Header], with [Transport] and [Handler], or with gRPC
// (package fence/grpcfence). Only exclusive holds have tokens.
//
// What is always so:
//
//  1. Token 0 is never admitted.
//  2. Once a token was admitted for a resource, no smaller one ever is. What a
//     transaction admitted counts from its commit.
package fence

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"coordd.dev/client"
)

var (
	// ErrStale is what a late writer gets.
	ErrStale = errors.New("stale fencing token")

	// ErrNoToken refuses token 0: a shared hold's, or none.
	ErrNoToken = errors.New("no fencing token")
)

// A StaleError is an [ErrStale] that knows what it met.
type StaleError struct {
	Resource    string
	Token, Seen client.Token // Seen is 0 where the resource does not tell
}

// Error reads: disk: stale fencing token 7: 9 was seen.
func (e *StaleError) Error() string {
	s := fmt.Sprintf("%s: %v %s", e.Resource, ErrStale, e.Token)
	if e.Seen != 0 {
		s += fmt.Sprintf(": %s was seen", e.Seen)
	}
	return s
}

// Is makes a StaleError an [ErrStale].
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// A Guard is a fence in memory, for a resource that lives in this process. Its zero
// value is ready.
type Guard struct {
	mu   sync.Mutex
	seen map[string]client.Token // the greatest, by resource
}

// Check admits t if no greater token was admitted for the resource.
func (g *Guard) Check(resource string, t client.Token) error {
	if t == 0 {
		return fmt.Errorf("%s: %w", resource, ErrNoToken)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if seen := g.seen[resource]; t < seen {
		return &StaleError{Resource: resource, Token: t, Seen: seen}
	}
	if g.seen == nil {
		g.seen = make(map[string]client.Token)
	}
	g.seen[resource] = t
	return nil
}

// Changed wraps an UPDATE that has the fence in its WHERE: [ErrStale] if it changed
// no row. (A row that does not exist reads the same. MySQL needs clientFoundRows.)
//
//	return fence.Changed(tx.ExecContext(ctx, update, state, token, id))
func Changed(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("count changed rows: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("no row was changed: %w", ErrStale)
	}
	return nil
}
