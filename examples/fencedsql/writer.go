package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	_ "github.com/mattn/go-sqlite3" // driver sqlite3

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

const order = "orders/42"

// write is a writer, the process that the example is about. It pays the order once,
// under its lock. It reads the rest of what it is to do from the environment.
func write(ctx context.Context, name string, unfenced bool) (err error) {
	db, err := open(os.Getenv("FENCEDSQL_DB"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ttl, err := time.ParseDuration(os.Getenv("FENCEDSQL_TTL"))
	if err != nil {
		return fmt.Errorf("read the TTL: %w", err)
	}
	c, err := client.Dial(ctx, "", client.WithTTL(ttl), client.WithName(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	err = c.Mutex(order).Do(ctx, func(ctx context.Context, token client.Token) error {
		fmt.Printf("%s holds %s, with token %s\n", name, order, token)
		// Here A is stopped. In life it is a long collection of garbage, swapping, a
		// virtual machine that is moved: nothing that A could notice.
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return err
		}
		// ctx has ended if the lock was lost, which stops most of what is late. It does
		// not call back a statement that is on its way. This stands for that one.
		ctx = context.WithoutCancel(ctx)
		if err := pay(ctx, db, name, token, unfenced); err != nil {
			return err
		}
		fmt.Printf("%s has written\n", name)
		return nil
	})
	if errors.Is(err, fence.ErrStale) {
		fmt.Printf("%s is refused: %v\n", name, err)
		return nil
	}
	if lost, ok := errors.AsType[*client.LostError](err); ok {
		fmt.Printf("%s learns of it only now: %v\n", name, lost)
		return nil
	}
	return err
}

// pay is two writes, and the check before them, in one transaction.
func pay(ctx context.Context, db *sql.DB, name string, token client.Token, unfenced bool) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if !unfenced {
		if err := tokens().Check(ctx, tx, order, token); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE orders SET paid_by = ? WHERE id = 42`, name); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO ledger (order_id, payer) VALUES (42, ?)`, name); err != nil {
		return err
	}
	return tx.Commit()
}

func tokens() fence.Table { return fence.Table{Dialect: fence.SQLite} }

func open(file string) (*sql.DB, error) {
	return sql.Open("sqlite3", "file:"+file+"?_busy_timeout=60000")
}

// create makes the tables, with an order that nobody has paid.
func create(ctx context.Context, db *sql.DB) error {
	for _, q := range []string{
		`CREATE TABLE orders (id integer PRIMARY KEY, paid_by text)`,
		`CREATE TABLE ledger (order_id integer, payer text)`,
		`INSERT INTO orders VALUES (42, NULL)`,
	} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
	}
	return tokens().Create(ctx, db)
}
