package fence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"coordd.dev/client"
	"coordd.dev/client/fence"
)

// A store is what two clients write to, one of them late.
type store interface {
	// write sets the state; fenced says whether with the check. A late one is an
	// ErrStale.
	write(ctx context.Context, state string, fenced bool) error
}

// A sqlStore is a table, and a fence.Table in the same database.
type sqlStore struct {
	db    *sql.DB
	fence fence.Table
}

// write has the token from ctx, as what a server passes on.
func (s sqlStore) write(ctx context.Context, state string, fenced bool) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if fenced {
		token, _ := client.TokenFrom(ctx)
		if err := s.fence.Check(ctx, tx, "orders/42", token); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET state = $1 WHERE id = 42", state); err != nil {
		return err
	}
	return tx.Commit()
}

// An httpStore is a client of an httpServer.
type httpStore struct{ url string }

func (s httpStore) write(ctx context.Context, state string, fenced bool) error {
	path := "/open"
	if fenced {
		path = "/fenced"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url+path+"?state="+state, nil)
	if err != nil {
		return err
	}
	hc := &http.Client{Transport: &fence.Transport{}}
	res, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusPreconditionFailed:
		return fence.ErrStale
	}
	return fmt.Errorf("put: %s", res.Status)
}

// An httpServer has the state in its memory, behind a Guard or openly.
type httpServer struct {
	guard fence.Guard
	mu    sync.Mutex
	state string
}

func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock() // check and write are one step
	defer s.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/fenced") {
		token, _ := client.TokenFrom(r.Context())
		if err := s.guard.Check("orders/42", token); err != nil {
			http.Error(w, err.Error(), http.StatusPreconditionFailed)
			return
		}
	}
	s.state = r.URL.Query().Get("state")
}

// A scene is a store, how another process opens it, and what is in it.
type scene struct {
	store
	environ []string // of lateWriter
	state   func(ctx context.Context, t *testing.T) string
}

func httpScene(_ context.Context, t *testing.T) scene {
	s := &httpServer{}
	srv := httptest.NewServer(fence.Handler(s))
	t.Cleanup(srv.Close)
	return scene{
		store:   httpStore{srv.URL},
		environ: []string{"FENCE_STORE=http", "FENCE_SOURCE=" + srv.URL},
		state: func(context.Context, *testing.T) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.state
		},
	}
}

func sqlScene(ctx context.Context, t *testing.T, d database) scene {
	db := d.open(t)
	f := d.table(ctx, t, db, "")
	execute(ctx, t, db, "CREATE TABLE orders (id integer PRIMARY KEY, state text)")
	execute(ctx, t, db, "INSERT INTO orders VALUES (42, 'new')")
	return scene{
		store:   sqlStore{db, f},
		environ: []string{"FENCE_STORE=" + d.driver, "FENCE_SOURCE=" + d.with()},
		state: func(ctx context.Context, t *testing.T) string {
			return scan[string](ctx, t, db, "SELECT state FROM orders WHERE id = 42")
		},
	}
}

// storeOf is the store that the environment names, opened and ready to write.
func storeOf(ctx context.Context, kind, source string) (store, error) {
	dialects := map[string]fence.Dialect{"sqlite3": fence.SQLite, "pgx": fence.Postgres}
	switch kind {
	case "http":
		return httpStore{source}, nil
	case "sqlite3", "pgx":
		db, err := sql.Open(kind, source)
		if err != nil {
			return nil, err
		}
		return sqlStore{db, fence.Table{Dialect: dialects[kind]}}, db.PingContext(ctx)
	}
	return nil, errors.New("no such store")
}
