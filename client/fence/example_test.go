package fence_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

// The token goes with the request, and the service that owns the data checks it.
func ExampleHandler() {
	var guard fence.Guard
	serve := fence.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := client.TokenFrom(r.Context()) // 0 if there was none: refused
		if err := guard.Check(r.URL.Path, token); err != nil {
			http.Error(w, err.Error(), http.StatusPreconditionFailed)
			return
		}
		fmt.Fprintln(w, "written")
	}))
	billing := httptest.NewServer(serve)
	defer billing.Close()

	hc := &http.Client{Transport: &fence.Transport{}}
	put := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, billing.URL+"/orders/42", nil)
		if err != nil {
			return err
		}
		res, err := hc.Do(r)
		if err != nil {
			return err
		}
		fmt.Println(res.Status)
		return res.Body.Close()
	}

	// Each stands for mu.Do(ctx, func(ctx context.Context, _ client.Token) error { return put(ctx) }).
	for _, token := range []client.Token{41, 42, 41} {
		if err := put(client.ContextWithToken(context.Background(), token)); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 200 OK
	// 200 OK
	// 412 Precondition Failed
}

// The check comes first in the transaction whose writes it protects, and an error, of
// whatever kind, rolls both back.
func ExampleTable() {
	tokens := fence.Table{Dialect: fence.Postgres} // tokens.Create(ctx, db), once

	pay := func(ctx context.Context, db *sql.DB, mu *client.Mutex) error {
		return mu.Do(ctx, func(ctx context.Context, t client.Token) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := tokens.Check(ctx, tx, "orders/42", t); err != nil {
				return err
			}
			for _, q := range []string{
				`UPDATE orders SET state = 'paid' WHERE id = 42`,
				`INSERT INTO ledger (id, cents) VALUES (42, 1999)`,
			} {
				if _, err := tx.ExecContext(ctx, q); err != nil {
					return err
				}
			}
			return tx.Commit()
		})
	}
	_ = pay
}

func ExampleTable_Statement() {
	fmt.Println(fence.Table{Dialect: fence.SQLite, Name: "fences"}.Statement())
	// Output:
	// INSERT INTO fences AS f (resource, token) VALUES (?, ?) ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token
}
