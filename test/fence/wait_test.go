package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

// However transactions race, what they write is in the order of their tokens. Without
// the check it is not, which shows that the test would see it.
func testOneAfterTheOther(ctx context.Context, t *testing.T, d database) {
	levels := []sql.IsolationLevel{sql.LevelDefault}
	if d.dialect == fence.Postgres {
		levels = append(levels, sql.LevelRepeatableRead, sql.LevelSerializable)
	}
	for i, level := range levels {
		if written := race(ctx, t, d, fmt.Sprint("raced", i), level, true); !rising(written) || len(written) == 0 {
			t.Errorf("%v: %v", level, written)
		}
	}
	if written := race(ctx, t, d, "unfenced", sql.LevelDefault, false); rising(written) {
		t.Errorf("nothing was out of order without a fence: %v", written)
	}
}

func rising(tokens []client.Token) bool {
	for i := range len(tokens) - 1 {
		if tokens[i] > tokens[i+1] {
			return false
		}
	}
	return true
}

// race has clients write their tokens to one list. It returns the list.
func race(ctx context.Context, t *testing.T, d database, name string, level sql.IsolationLevel, fenced bool) []client.Token {
	t.Helper()
	db := d.open(t)
	f := d.table(ctx, t, db, "fence_"+name)
	execute(ctx, t, db, "CREATE TABLE "+name+" (place integer PRIMARY KEY, token bigint)")
	const clients, tries = 6, 20
	errs := make([]error, clients)
	var group sync.WaitGroup
	for i := range errs {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		group.Go(func() {
			for n := range tries {
				token := client.Token(10*n + 1 + r.IntN(40)) // later ones are greater, mostly
				err := appendToken(ctx, db, f, name, level, token, fenced)
				if err != nil && !errors.Is(err, fence.ErrStale) {
					errs[i] = errors.Join(errs[i], fmt.Errorf("token %v: %w", token, err))
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(ctx, "SELECT token FROM "+name+" ORDER BY place")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var written []client.Token
	for rows.Next() {
		var token uint64
		if err := rows.Scan(&token); err != nil {
			t.Fatal(err)
		}
		written = append(written, client.Token(token))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return written
}

// appendToken runs its transaction until the database decides.
func appendToken(ctx context.Context, db *sql.DB, f fence.Table, list string, level sql.IsolationLevel, token client.Token, fenced bool) error {
	for {
		err := tryAppend(ctx, db, f, list, level, token, fenced)
		if !isUnserializable(err) && !isBusy(err) && !isTaken(err) {
			return err
		}
	}
}

func tryAppend(ctx context.Context, db *sql.DB, f fence.Table, list string, level sql.IsolationLevel, token client.Token, fenced bool) (err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if fenced {
		if err := f.Check(ctx, tx, "list", token); err != nil {
			return err
		}
	}
	// The list has its order from a read, as a careless writer does it: only one at a
	// time may be here.
	var place int
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(place), 0) + 1 FROM "+list).Scan(&place); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+list+" VALUES ($1, $2)", place, token); err != nil {
		if fenced && isTaken(err) {
			return fmt.Errorf("two were inside: %v", err) //nolint:errorlint // it must not be tried again
		}
		return err
	}
	return tx.Commit()
}

// While a transaction holds a resource's row, others wait, and then decide on what it
// committed: one that has the row already, and one that was the first to have it.
func testWaits(ctx context.Context, t *testing.T, d database) {
	const stale, undecided = "stale", "40001"
	db := d.open(t)
	f := d.table(ctx, t, db, "fence_waits")
	for _, c := range []struct {
		level            sql.IsolationLevel
		commit           bool
		smaller, greater string // what the waiter is told, besides nil
	}{
		{sql.LevelDefault, true, stale, ""}, // READ COMMITTED
		{sql.LevelDefault, false, "", ""},
		{sql.LevelRepeatableRead, true, undecided, undecided},
		{sql.LevelRepeatableRead, false, "", ""},
		{sql.LevelSerializable, true, undecided, undecided},
		{sql.LevelSerializable, false, "", ""},
	} {
		for _, first := range []bool{true, false} {
			for token, want := range map[client.Token]string{6: c.smaller, 8: c.greater} {
				t.Run(fmt.Sprintf("%v commit=%v first=%v %v after 7", c.level, c.commit, first, token), func(t *testing.T) {
					execute(ctx, t, db, "DELETE FROM fence_waits")
					if !first {
						if err := admit(ctx, t, db, f, "a", 1); err != nil {
							t.Fatal(err)
						}
					}
					got := told(waiter(ctx, t, db, f, c.level, c.commit, token))
					if got != want {
						t.Errorf("told %q, not %q", got, want)
					}
				})
			}
		}
	}
}

func told(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fence.ErrStale):
		return "stale"
	case isUnserializable(err):
		return "40001"
	}
	return err.Error()
}

// waiter is what a Check of the token says that began while a transaction held the row
// with token 7. It returns once both have ended.
func waiter(ctx context.Context, t *testing.T, db *sql.DB, f fence.Table, level sql.IsolationLevel, commit bool, token client.Token) error {
	t.Helper()
	holder := begin(ctx, t, db, level)
	if err := f.Check(ctx, holder, "a", 7); err != nil {
		t.Fatal(err)
	}
	// Another resource does not wait for it.
	if err := admit(ctx, t, db, f, "b", 1); err != nil {
		t.Fatal(err)
	}
	tx := begin(ctx, t, db, level)
	pid := scan[int](ctx, t, tx, "SELECT pg_backend_pid()")
	checked := make(chan error, 1)
	go func() { checked <- f.Check(ctx, tx, "a", token) }()
	awaitLocked(ctx, t, db, pid, checked)
	end := holder.Rollback
	if commit {
		end = holder.Commit
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	err := <-checked
	if err != nil {
		if said := told(err); said == "40001" {
			// tx is over for PostgreSQL. A new one is told the truth.
			_ = tx.Rollback()
			if again := told(admit(ctx, t, db, f, "a", token)); (again == "stale") != (token < 7) {
				t.Errorf("run again, %v is told %q", token, again)
			}
		}
		return err
	}
	return tx.Commit()
}

// awaitLocked returns when a backend waits for a lock.
func awaitLocked(ctx context.Context, t *testing.T, db *sql.DB, pid int, ended <-chan error) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !scan[bool](ctx, t, db, "SELECT cardinality(pg_blocking_pids($1)) > 0", pid) {
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it never waits")
		}
	}
}

// SQLite's row is the whole database. Who does not get it in time is told so, and not
// that its token is stale.
func testBusy(ctx context.Context, t *testing.T, d database) {
	db, hasty := d.open(t), d.open(t, "_busy_timeout=0")
	f := d.table(ctx, t, db, "fence_busy")
	for _, resource := range []string{"a", "b"} {
		holder := begin(ctx, t, db, sql.LevelDefault)
		if err := f.Check(ctx, holder, "a", 7); err != nil {
			t.Fatal(err)
		}
		if err := admit(ctx, t, hasty, f, resource, 8); !isBusy(err) || errors.Is(err, fence.ErrStale) {
			t.Errorf("while another writes: %v", err)
		}
		// A refusal holds it too, until its transaction is rolled back.
		if err := f.Check(ctx, holder, "a", 6); !errors.Is(err, fence.ErrStale) {
			t.Errorf("smaller in the same transaction: %v", err)
		}
		if err := holder.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := admit(ctx, t, hasty, f, "a", 6); !errors.Is(err, fence.ErrStale) {
			t.Errorf("after its commit: %v", err)
		}
	}
	late := begin(ctx, t, db, sql.LevelDefault)
	if err := f.Check(ctx, late, "a", 6); !errors.Is(err, fence.ErrStale) {
		t.Fatal(err)
	}
	if err := admit(ctx, t, hasty, f, "a", 9); !isBusy(err) {
		t.Errorf("beside one that was refused: %v", err)
	}
	if err := late.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := admit(ctx, t, hasty, f, "a", 9); err != nil {
		t.Errorf("after the refused one was rolled back: %v", err)
	}
}

// A deferred transaction that has read and then checks fails at once if another has
// written in between, however long it may wait for a lock. An immediate one does not.
func testReadFirst(ctx context.Context, t *testing.T, d database) {
	db, immediate := d.open(t), d.open(t, "_txlock=immediate")
	f := d.table(ctx, t, db, "fence_read")
	tx := begin(ctx, t, db, sql.LevelDefault)
	if n := scan[int](ctx, t, tx, "SELECT count(*) FROM fence_read"); n != 0 {
		t.Fatal(n)
	}
	if err := admit(ctx, t, db, f, "a", 7); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(ctx, tx, "a", 8); !isBusy(err) || errors.Is(err, fence.ErrStale) {
		t.Errorf("after a read: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	tx = begin(ctx, t, immediate, sql.LevelDefault)
	if n := scan[int](ctx, t, tx, "SELECT count(*) FROM fence_read"); n != 1 {
		t.Fatal(n)
	}
	if err := f.Check(ctx, tx, "a", 8); err != nil {
		t.Errorf("after a read in an immediate transaction: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
