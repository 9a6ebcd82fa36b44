package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	_ "github.com/mattn/go-sqlite3"    // driver sqlite3

	"coordd.dev/client"
	"coordd.dev/client/fence"
	"coordd.dev/test/postgres"
)

// A database is a real one, and how to get connections to it.
type database struct {
	dialect  fence.Dialect
	driver   string
	source   string
	settings []string // of a SQLite file; the first of a name counts
	schema   string   // one that is there
}

// sqliteFile is a new database. It waits long for a lock unless other settings say else.
// Without a C compiler there is no SQLite: the test is skipped, but not where CI is set.
func sqliteFile(t *testing.T) database {
	t.Helper()
	d := database{
		dialect:  fence.SQLite,
		driver:   "sqlite3",
		source:   "file:" + filepath.Join(t.TempDir(), "test.db"),
		settings: []string{"_journal_mode=WAL", "_synchronous=OFF", "_busy_timeout=120000"},
		schema:   "main",
	}
	if err := d.open(t).PingContext(t.Context()); err != nil {
		if strings.Contains(err.Error(), "requires cgo") && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return d
}

func postgresServer(t *testing.T) database {
	t.Helper()
	return database{dialect: fence.Postgres, driver: "pgx", source: postgres.Start(t).URL(), schema: "public"}
}

// onBoth runs a test on each database; a table of the test's own keeps it from others'.
func onBoth(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, sqliteFile(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, postgresServer(t)) })
}

// with is the source with settings before those that the database has.
func (d database) with(settings ...string) string {
	if settings = append(settings, d.settings...); len(settings) > 0 {
		return d.source + "?" + strings.Join(settings, "&")
	}
	return d.source
}

// open is a pool of connections.
func (d database) open(t *testing.T, settings ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.with(settings...))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(8) // the default of 2 makes a new process of PostgreSQL's for most of a race
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// table makes a fence table.
func (d database) table(ctx context.Context, t *testing.T, db *sql.DB, name string) fence.Table {
	t.Helper()
	f := fence.Table{Dialect: d.dialect, Name: name}
	if err := f.Create(ctx, db); err != nil {
		t.Fatal(err)
	}
	return f
}

// begin begins a transaction, which a test that forgets it rolls back.
func begin(ctx context.Context, t *testing.T, db *sql.DB, level sql.IsolationLevel) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// admit checks in a transaction of its own and commits it if the check says so.
func admit(ctx context.Context, t *testing.T, db *sql.DB, f fence.Table, resource string, token client.Token) error {
	t.Helper()
	tx := begin(ctx, t, db, sql.LevelDefault)
	if err := f.Check(ctx, tx, resource, token); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// isBusy says whether SQLite did not get its lock, which decides nothing. By its words:
// without cgo the driver has no types to ask.
func isBusy(err error) bool {
	return err != nil && strings.Contains(err.Error(), "database is locked")
}

// isUnserializable says whether PostgreSQL found no order in which both could have run.
func isUnserializable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "40001"
}

// isTaken says whether a row's key is another's.
func isTaken(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23505" || err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed")
}

// execute runs a statement that must not fail.
func execute(ctx context.Context, t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(ctx, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scan asks for one value.
func scan[T any](ctx context.Context, t *testing.T, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
