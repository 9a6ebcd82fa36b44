package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

func TestTable(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) {
		for name, test := range map[string]func(context.Context, *testing.T, database){
			"admits":              testAdmits,
			"names":               testNames,
			"create at once":      testCreateAtOnce,
			"refused":             testRefused,
			"not committed":       testNotCommitted,
			"no table":            testNoTable,
			"one after the other": testOneAfterTheOther,
		} {
			t.Run(name, func(t *testing.T) { test(bounded(t), t, d) })
		}
		switch d.dialect {
		case fence.SQLite:
			t.Run("busy", func(t *testing.T) { testBusy(bounded(t), t, d) })
			t.Run("read first", func(t *testing.T) { testReadFirst(bounded(t), t, d) })
		case fence.Postgres:
			t.Run("waits", func(t *testing.T) { testWaits(bounded(t), t, d) })
		}
	})
}

func testAdmits(ctx context.Context, t *testing.T, d database) {
	db := d.open(t)
	f := d.table(ctx, t, db, "") // coord_fence
	for _, step := range []struct {
		resource string
		token    client.Token
		seen     client.Token // of a refusal
	}{
		{"a", 5, 0},
		{"a", 5, 0}, // the same holder writes again
		{"a", 7, 0},
		{"a", 6, 7},
		{"a", 5, 7},
		{"b", 1, 0}, // resources are apart
		{"a", 8, 0},
		{"c", math.MaxInt64, 0},
		{"c", math.MaxInt64, 0},
		{"c", math.MaxInt64 - 1, math.MaxInt64},
	} {
		err := admit(ctx, t, db, f, step.resource, step.token)
		if step.seen == 0 {
			if err != nil {
				t.Errorf("check %s %v: %v", step.resource, step.token, err)
			}
			continue
		}
		stale, ok := errors.AsType[*fence.StaleError](err)
		if want := (fence.StaleError{Resource: step.resource, Token: step.token, Seen: step.seen}); !ok || *stale != want {
			t.Errorf("check %s %v: %v, want %v", step.resource, step.token, err, &want)
		}
	}
	if err := admit(ctx, t, db, f, "a", 0); !errors.Is(err, fence.ErrNoToken) {
		t.Errorf("token 0: %v", err)
	}
	if n := scan[int](ctx, t, db, "SELECT count(*) FROM coord_fence"); n != 3 {
		t.Errorf("%d resources", n)
	}
}

// A resource's name is compared byte by byte, up to its greatest length.
func testNames(ctx context.Context, t *testing.T, d database) {
	db := d.open(t)
	f := d.table(ctx, t, db, d.schema+".fence_names")
	longest := strings.Repeat("x", 253)
	names := []string{
		"a", "A", "a ", " a", "á", "a\u0301", "", "'; DROP TABLE fence_names; --", "%", "1", "01",
		longest + "001", longest + "002", strings.Repeat("語", 85), strings.Repeat("語", 84) + "x",
	}
	for i, name := range names {
		want := error(nil)
		if name == "" {
			want = client.ErrInvalid
		}
		// Each smaller than the one before: a name that is taken for another is refused.
		if err := admit(ctx, t, db, f, name, client.Token(1000-i)); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Every node of a service makes the table as it starts, and makes it again.
func testCreateAtOnce(ctx context.Context, t *testing.T, d database) {
	f := fence.Table{Dialect: d.dialect, Name: "fence_create"}
	const nodes = 8
	errs := make([]error, nodes)
	var group sync.WaitGroup
	for i := range errs {
		db := d.open(t)
		if err := db.PingContext(ctx); err != nil {
			t.Fatal(err)
		}
		group.Go(func() { errs[i] = f.Create(ctx, db) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	db := d.open(t)
	if err := admit(ctx, t, db, f, "a", 5); err != nil {
		t.Fatal(err)
	}
	if err := f.Create(ctx, db); err != nil {
		t.Error(err)
	}
	if err := admit(ctx, t, db, f, "a", 4); !errors.Is(err, fence.ErrStale) {
		t.Errorf("made again, the table forgot: %v", err)
	}
}

// A refusal changes nothing and ends nothing: tx goes on, and what it writes and commits
// all the same does land. That is why the caller has to roll it back.
func testRefused(ctx context.Context, t *testing.T, d database) {
	db := d.open(t)
	f := d.table(ctx, t, db, "fence_refused")
	execute(ctx, t, db, "CREATE TABLE refused_writes (n integer)")
	if err := admit(ctx, t, db, f, "a", 7); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		tx   func(*sql.Tx) error
		left int
	}{{(*sql.Tx).Rollback, 0}, {(*sql.Tx).Commit, 1}} {
		tx := begin(ctx, t, db, sql.LevelDefault)
		if err := f.Check(ctx, tx, "a", 6); !errors.Is(err, fence.ErrStale) {
			t.Fatal(err)
		}
		if got := scan[int](ctx, t, tx, "SELECT token FROM fence_refused"); got != 7 {
			t.Errorf("refused, and the token is %d", got)
		}
		execute(ctx, t, tx, "INSERT INTO refused_writes VALUES (1)")
		if err := end.tx(tx); err != nil {
			t.Error(err)
		}
		if got := scan[int](ctx, t, db, "SELECT count(*) FROM refused_writes"); got != end.left {
			t.Errorf("%d writes are left, not %d", got, end.left)
		}
	}
}

// What was rolled back was not admitted: a smaller token, whose holder may be the one
// that goes on, is not refused for it.
func testNotCommitted(ctx context.Context, t *testing.T, d database) {
	db := d.open(t)
	f := d.table(ctx, t, db, "fence_rolled_back")
	for _, next := range []client.Token{1, 5} { // of a new resource, and of an old one
		tx := begin(ctx, t, db, sql.LevelDefault)
		if err := f.Check(ctx, tx, "a", 9); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := admit(ctx, t, db, f, "a", next); err != nil {
			t.Error(err)
		}
	}
}

// What fails is not a refusal: nobody may take it for a reason to give up the write.
func testNoTable(ctx context.Context, t *testing.T, d database) {
	db := d.open(t)
	f := fence.Table{Dialect: d.dialect, Name: "fence_nowhere"}
	err := admit(ctx, t, db, f, "a", 1)
	if err == nil || errors.Is(err, fence.ErrStale) || !strings.Contains(err.Error(), "check fencing token of a: ") {
		t.Errorf("without the table: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	tx := begin(ctx, t, db, sql.LevelDefault)
	cancel()
	if err := f.Check(ended, tx, "a", 1); !errors.Is(err, context.Canceled) || errors.Is(err, fence.ErrStale) {
		t.Errorf("with an ended ctx: %v", err)
	}
}
