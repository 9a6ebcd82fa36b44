package fence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"coordd.dev/client"
)

// A Dialect is a kind of database.
type Dialect uint8

// Dialects start at one.
const (
	Postgres Dialect = iota + 1
	SQLite
	MySQL
)

const (
	defaultTable = "coord_fence"
	maxTable     = 63  // bytes of an identifier: PostgreSQL cuts a longer one short
	maxResource  = 256 // bytes, as a lock's name; MySQL's column has as many
)

// A Table keeps the tokens in a table of their own, for writes that are more than
// one row.
//
// While a transaction holds a resource's row, everybody else's Check of that resource
// waits. A process that is stopped there stops them too, lock or no lock, so the
// database should end such a transaction: PostgreSQL has
// idle_in_transaction_session_timeout, MySQL wait_timeout, SQLite nothing.
//
// Where databases differ:
//
//   - PostgreSQL, at READ COMMITTED, its default, decides on what those it waited for
//     have committed, a resource's first Check included. At REPEATABLE READ and
//     SERIALIZABLE it fails with SQLSTATE 40001 if one of them committed since tx's
//     snapshot, whatever the tokens.
//   - SQLite holds the whole database for writing. Check waits as long as busy_timeout,
//     then fails with SQLITE_BUSY. If tx has read before and another has written since,
//     it fails at once: so Check comes first, or tx begins immediate.
//   - MySQL takes two statements: it cannot say of one whether it changed a row or found
//     the same token there. InnoDB only. This was tried by hand on MariaDB 10.11, and not
//     on MySQL; the other two are tested with every change.
type Table struct {
	Dialect Dialect
	Name    string // default coord_fence; may have a schema before a dot
}

// Create makes the table if it is not there. Columns: resource, the primary key,
// compared byte by byte; token, a 64-bit integer.
func (f Table) Create(ctx context.Context, db *sql.DB) error {
	s, err := f.statements()
	if err != nil {
		return err
	}
	if _, err = db.ExecContext(ctx, s.create); err != nil {
		// PostgreSQL fails if another makes it at the same time. Then it is there now.
		_, err = db.ExecContext(ctx, s.create)
	}
	if err != nil {
		return fmt.Errorf("create fence table: %w", err)
	}
	return nil
}

// Check admits t for the resource, a name of 1 to 256 bytes, if no greater token was
// admitted, and holds the resource's row until tx ends. So it comes first in tx, before
// what tx reads. It takes a *sql.Tx and no *sql.DB on purpose: without the writes in the
// same transaction it would protect nothing.
//
// [ErrStale] (a *[StaleError]) has changed nothing, and leaves tx as it is, PostgreSQL's
// too: what it wrote and is committed all the same does land. Roll it back. After an
// error that is neither that, [ErrNoToken] nor [client.ErrInvalid], the database has not
// decided: roll back, and run the transaction again if the database says it is worth it.
func (f Table) Check(ctx context.Context, tx *sql.Tx, resource string, t client.Token) error {
	s, err := f.statements()
	if err != nil {
		return err
	}
	if err := checkable(resource, t); err != nil {
		return err
	}
	if f.Dialect == MySQL {
		return s.raise(ctx, tx, resource, t)
	}
	err = Changed(tx.ExecContext(ctx, s.admit, resource, t))
	if errors.Is(err, ErrStale) {
		seen, err := s.seen(ctx, tx, resource)
		if err != nil {
			seen = 0 // it is refused, whatever keeps us from asking for whom
		}
		return &StaleError{Resource: resource, Token: t, Seen: seen}
	}
	if err != nil {
		return fmt.Errorf("check fencing token of %s: %w", resource, err)
	}
	return nil
}

// Statement is the SQL that Check runs, for other drivers. Its parameters are resource
// and token; it changes no row if the token is stale. In MySQL that cannot be told from
// the number of rows: read the row's token afterwards, FOR UPDATE, and compare.
// It panics if the Table is not valid.
func (f Table) Statement() string {
	s, err := f.statements()
	if err != nil {
		panic(err)
	}
	return s.admit
}

// statements are a Table's, in its dialect.
type statements struct{ create, admit, read string }

func (f Table) statements() (statements, error) {
	name := f.Name
	if name == "" {
		name = defaultTable
	}
	if !isTable(name) {
		return statements{}, fmt.Errorf("%w: fence table %q: letters, digits and underscores, with a schema or without", client.ErrInvalid, name)
	}
	// The alias names the row that is there, also where the table's name has a schema.
	const insert, upsert = "INSERT INTO %s AS f (resource, token) VALUES (%s) ",
		"ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token"
	switch f.Dialect {
	case Postgres:
		return statements{
			create: fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (resource text COLLATE "C" PRIMARY KEY, token bigint NOT NULL)`, name),
			admit:  fmt.Sprintf(insert+upsert, name, "$1, $2"),
			read:   fmt.Sprintf("SELECT token FROM %s WHERE resource = $1", name),
		}, nil
	case SQLite:
		return statements{
			create: fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (resource text NOT NULL PRIMARY KEY, token integer NOT NULL) WITHOUT ROWID", name),
			admit:  fmt.Sprintf(insert+upsert, name, "?, ?"),
			read:   fmt.Sprintf("SELECT token FROM %s WHERE resource = ?", name),
		}, nil
	case MySQL:
		// Not the row alias of 8.0.20, which MariaDB has not: VALUES() both have.
		return statements{
			create: fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (resource varbinary(%d) PRIMARY KEY, token bigint NOT NULL) ENGINE = InnoDB", name, maxResource),
			admit:  fmt.Sprintf("INSERT INTO %s (resource, token) VALUES (?, ?) ON DUPLICATE KEY UPDATE token = GREATEST(token, VALUES(token))", name),
			read:   fmt.Sprintf("SELECT token FROM %s WHERE resource = ? FOR UPDATE", name),
		}, nil
	default:
		return statements{}, fmt.Errorf("%w: fence table: no dialect %d", client.ErrInvalid, f.Dialect)
	}
}

// raise is Check where the row says what was decided. The first statement has locked
// it, so the second is one step with it.
func (s statements) raise(ctx context.Context, tx *sql.Tx, resource string, t client.Token) error {
	_, err := tx.ExecContext(ctx, s.admit, resource, t)
	if err != nil {
		return fmt.Errorf("check fencing token of %s: %w", resource, err)
	}
	seen, err := s.seen(ctx, tx, resource)
	if err != nil {
		return fmt.Errorf("check fencing token of %s: %w", resource, err)
	}
	if t < seen {
		return &StaleError{Resource: resource, Token: t, Seen: seen}
	}
	return nil
}

func (s statements) seen(ctx context.Context, tx *sql.Tx, resource string) (client.Token, error) {
	var seen uint64
	err := tx.QueryRowContext(ctx, s.read, resource).Scan(&seen)
	return client.Token(seen), err
}

// checkable refuses what would fail in the database, which may end tx, or be cut short
// there and so be another resource.
func checkable(resource string, t client.Token) error {
	switch {
	case resource == "" || len(resource) > maxResource:
		return fmt.Errorf("%w: the resource's name has %d bytes, not 1 to %d", client.ErrInvalid, len(resource), maxResource)
	case !utf8.ValidString(resource) || strings.ContainsRune(resource, 0):
		return fmt.Errorf("%w: the resource's name %q is not UTF-8 without NUL", client.ErrInvalid, resource)
	case t == 0:
		return fmt.Errorf("%s: %w", resource, ErrNoToken)
	case t > math.MaxInt64:
		return fmt.Errorf("%w: fencing token %s is not below 2^63", client.ErrInvalid, t)
	}
	return nil
}

// isTable says whether name is an identifier, with a schema's before a dot or without.
// It stands unquoted in the statements, as it does in a migration.
func isTable(name string) bool {
	schema, table, two := strings.Cut(name, ".")
	return isIdentifier(schema) && (!two || isIdentifier(table))
}

func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxTable
}
