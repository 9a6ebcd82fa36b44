package main

import (
	"context"
	"sync"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A row is what the database has. Its version rises with every write.
type row struct {
	Value   string `json:"value"`
	Version int64  `json:"version"`
}

// A cache has rows of a database that it has read, while nobody has said that they changed.
// It never returns a row that is older than a change it has heard of.
type cache struct {
	client   *client.Client
	versions *versions
	read     func(ctx context.Context, key string) (row, error)

	mu      sync.Mutex
	began   chan struct{}    // closed when it has heard what there was to hear
	session client.SessionID // in which it has heard all changes; "" while it may miss some
	known   map[string]int64 // the latest versions that it has heard of
	rows    map[string]row   // none of them older; none while session is ""
}

func newCache(c *client.Client, p stage.Part, read func(context.Context, string) (row, error)) *cache {
	return &cache{
		client: c, versions: newVersions(c, p), read: read,
		began: make(chan struct{}), known: make(map[string]int64), rows: make(map[string]row),
	}
}

// start follows the versions until stop, which waits for the end of that. It returns when it
// has caught up, or ctx has ended.
func (s *cache) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil {
			s.follow(ctx)
			s.drop()
		}
	})
	select {
	case <-s.began:
	case <-ctx.Done():
	}
	return func() {
		cancel()
		following.Wait()
	}
}

// follow hears of changes until its session is lost, or one is missed.
//
// A watch outlives its session, and an outage of any length. But by the end of a lease, at
// the latest, the cache is to know that it hears nothing.
func (s *cache) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A session that is over may not be replaced yet, and a call waits until it is.
	if _, _, err := s.versions.of.LoadContext(ctx, "any"); err != nil {
		return
	}
	for e, err := range s.versions.of.Watch(ctx, 0) {
		switch {
		case err != nil:
			return // ctx has ended, or client.ErrSkipped
		case e.Type == client.EventSynced: // every change so far is known
			session := s.client.Session()
			defer context.AfterFunc(session.Context(), cancel)()
			s.hears(session.ID)
		default:
			s.changed(e.Key, e.Value)
		}
	}
}

func (s *cache) hears(session client.SessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
	select {
	case <-s.began:
	default:
		close(s.began)
	}
}

func (s *cache) changed(key string, version int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[key] = max(s.known[key], version)
	if s.rows[key].Version < s.known[key] {
		delete(s.rows, key)
	}
}

// drop forgets all rows. What is known of versions stays true.
func (s *cache) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = ""
	clear(s.rows)
}

// get returns a row, from memory if it is there.
func (s *cache) get(ctx context.Context, key string) (row, error) {
	for {
		r, known, found, hearing := s.look(key)
		if found {
			return r, nil
		}
		read := s.fill
		if !hearing {
			read = s.fresh
		}
		r, err := read(ctx, key, known)
		if err != nil {
			return row{}, err
		}
		if s.keep(key, r) {
			return r, nil
		}
	}
}

// look is what there is of a key. The clock is read, since a process that stood still may be
// here before it learns that its session is over.
func (s *cache) look(key string) (r row, known int64, found, hearing bool) {
	session := s.client.Session()
	s.mu.Lock()
	defer s.mu.Unlock()
	hearing = s.session == session.ID && time.Now().Before(session.Deadline)
	r, found = s.rows[key]
	return r, s.known[key], found && hearing, hearing
}

// keep reports whether r is not older than what was heard of while it was read, and keeps it
// for others.
func (s *cache) keep(key string, r row) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Version < s.known[key] {
		return false
	}
	if s.session != "" {
		s.rows[key] = r
	}
	return true
}
