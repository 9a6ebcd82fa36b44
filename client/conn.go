package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	// Back-off is short while nodes answer and have no leader: an election is over soon.
	retryFirst    = 20 * time.Millisecond
	retryElection = 100 * time.Millisecond
	retryMost     = time.Second

	// suspicionTimeout is how long a suspect has for an answer that it gives at once, or
	// for one to anybody, until another link is looked for.
	suspicionTimeout = 750 * time.Millisecond

	// maxAttaching is how many sessions take up their streams at the same time: when a
	// link fails, all of them come at once to a node that has just become the leader.
	maxAttaching = 64
)

// A conn is a process's connection to a cluster, shared by the sessions of NewSession
// and closed with the last of them: the link to the leader, the search for it, and
// the renewal of all leases.
type conn struct {
	network   network
	endpoints []string
	clock     *clock
	renewals  renewals

	stop context.CancelFunc
	wg   sync.WaitGroup // of every goroutine of the conn

	mu       sync.Mutex
	couriers map[*courier]struct{} // its users
	look     time.Duration         // how often the clock is looked at
	closed   bool
	current  *link         // nil: it has to be searched for
	hint     string        // where the leader was last said to be
	members  []string      // where the leader last said that clients reach the nodes
	of       string        // the cluster's id, as the last link's node said; "" before the first
	search   *search       // asked for, or nil
	found    chan struct{} // closed and made anew when a link is found

	attaching chan struct{} // has a token for each session that takes up its stream

	searches chan struct{} // has a token when search is set
	suspects chan *link    // to be asked whether it is alive
	oftener  chan struct{} // has a token when look is another
}

// A search for the leader serves all who want a link meanwhile.
type search struct {
	done chan struct{}
	link *link
	err  error
}

func newConn(n network, endpoints []string) *conn {
	ctx, stop := context.WithCancel(context.Background())
	c := &conn{
		network:   n,
		endpoints: endpoints,
		clock:     newClock(),
		stop:      stop,
		couriers:  make(map[*courier]struct{}),
		found:     make(chan struct{}),
		attaching: make(chan struct{}, maxAttaching),
		searches:  make(chan struct{}, 1),
		suspects:  make(chan *link, 1),
		look:      lookMost,
		oftener:   make(chan struct{}, 1),
		renewals:  renewals{kick: make(chan struct{}, 1)},
	}
	c.wg.Go(func() { c.serveSearches(ctx) })
	c.wg.Go(func() { c.serveSuspects(ctx) })
	c.wg.Go(func() { c.serveRenewals(ctx) })
	c.wg.Go(func() { c.serveClock(ctx) })
	c.wg.Go(func() { c.serveMembers(ctx) })
	return c
}

// join adds a user. It fails once the last user has left.
func (c *conn) join(k *courier) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClientClosed
	}
	c.couriers[k] = struct{}{}
	if m := k.lessee.Margin(); m < c.look {
		c.look = m
		kick(c.oftener)
	}
	return nil
}

// leave removes a user, whose goroutines have ended; the last one closes the conn.
func (c *conn) leave(k *courier) {
	c.mu.Lock()
	delete(c.couriers, k)
	if len(c.couriers) > 0 || c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.mu.Unlock()

	c.stop()
	c.wg.Wait()
	if c.current != nil { // nobody else is left to change it
		c.current.close()
	}
}

// leader returns the link to the leader, or to a node that passes calls on to it. It
// searches once if there is none.
func (c *conn) leader(ctx context.Context) (*link, error) {
	c.mu.Lock()
	if l := c.current; l != nil {
		c.mu.Unlock()
		return l, nil
	}
	s := c.search
	if s == nil {
		s = &search{done: make(chan struct{})}
		c.search = s
		kick(c.searches)
	}
	c.mu.Unlock()
	select {
	case <-s.done:
		return s.link, s.err
	case <-ctx.Done():
		return nil, fmt.Errorf("search for the leader: %w", context.Cause(ctx))
	}
}

func (c *conn) serveSearches(ctx context.Context) {
	for {
		select {
		case <-c.searches:
			c.runSearch(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (c *conn) runSearch(ctx context.Context) {
	c.mu.Lock()
	s, hint := c.search, c.hint
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	s.link, s.err = c.find(ctx, hint)

	c.mu.Lock()
	c.search, c.hint = nil, ""
	if s.err == nil {
		c.use(s.link)
	}
	c.mu.Unlock()
	close(s.done)
}

// use makes l the current link. mu is held.
func (c *conn) use(l *link) {
	c.current = l
	c.of = l.cluster
	close(c.found)
	c.found = make(chan struct{})
}

// cluster is the id of the cluster, as the node said that was found last.
func (c *conn) cluster() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of
}

// queue waits until a session may take up its stream; dequeue follows it.
func (c *conn) queue(ctx context.Context) error {
	select {
	case c.attaching <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to attach: %w", context.Cause(ctx))
	}
}

func (c *conn) dequeue() { <-c.attaching }

// failed says that l is of no use, and where else the leader may be ("" if that is
// not known). Every call on l ends, so that all sessions move together.
func (c *conn) failed(l *link, hint string) {
	c.mu.Lock()
	if c.current == l {
		c.current = nil
		c.hint = hint
	}
	c.mu.Unlock()
	l.close()
}

// suspect has l asked whether it is alive and still the one to talk to, because it owes
// somebody an answer. If not, it has failed.
func (c *conn) suspect(l *link) {
	for {
		select {
		case c.suspects <- l:
			return
		default: // another is being asked, and one stands in line: it may be of the past
		}
		select {
		case <-c.suspects:
		default:
		}
	}
}

func (c *conn) serveSuspects(ctx context.Context) {
	for {
		select {
		case l := <-c.suspects:
			c.examine(ctx, l)
		case <-ctx.Done():
			return
		}
	}
}

// examine asks l whether it is alive. A node that has more to do than it can must not lose
// its connections over it, to have all that they carried come again: so a silent one is
// given up only once another link was found, or none in the time that a search has.
func (c *conn) examine(ctx context.Context, l *link) {
	if !c.uses(l) {
		return // it has failed already
	}
	st, err := askSuspect(ctx, l)
	if status.Code(err) != codes.DeadlineExceeded {
		if err != nil || l.stale(st) {
			c.failed(l, st.GetLeaderAddress())
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	var asking sync.WaitGroup
	asking.Go(func() {
		if st, err = l.ask(ctx); err == nil {
			cancel()
		}
	})
	better, _ := c.find(ctx, "")
	if better == nil || better.addr != l.addr {
		cancel()
	} // else the node lives, and l has the time that is left
	asking.Wait()
	switch answered := err == nil && !l.stale(st); {
	case answered && better != nil:
		better.close()
	case answered:
	case better != nil:
		c.replace(l, better)
	default:
		c.failed(l, st.GetLeaderAddress())
	}
}

// uses reports whether l is the current link.
func (c *conn) uses(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current == l
}

// askSuspect asks until there is an answer, or not a word to anybody meanwhile.
func askSuspect(ctx context.Context, l *link) (*coordv1.StatusResponse, error) {
	for {
		heard := l.ear.heard.Load()
		st, err := askOnce(ctx, l)
		if status.Code(err) != codes.DeadlineExceeded || l.ear.heard.Load() == heard || ctx.Err() != nil {
			return st, err
		}
	}
}

func askOnce(ctx context.Context, l *link) (*coordv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, suspicionTimeout)
	defer cancel()
	return l.status(ctx)
}

// replace has better used in the place of l.
func (c *conn) replace(l, better *link) {
	c.mu.Lock()
	if c.current == l {
		c.use(better)
		better = nil
	}
	c.mu.Unlock()
	l.close()
	if better != nil {
		better.close()
	}
}

// pause waits for a moment before another try, less if a link is found meanwhile.
func (c *conn) pause(ctx context.Context, b *backOff, err error) {
	c.mu.Lock()
	found := c.found
	c.mu.Unlock()
	t := time.NewTimer(b.next(err))
	defer t.Stop()
	select {
	case <-t.C:
	case <-found:
	case <-ctx.Done():
	}
}

// A backOff is how long to wait after one failure and another.
type backOff struct{ election, outage *backoff.ExponentialBackOff }

func newBackOff() *backOff {
	return &backOff{election: exponential(retryElection), outage: exponential(retryMost)}
}

func exponential(most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = retryFirst
	b.MaxInterval = most
	return b
}

// next is how long to wait after err.
func (b *backOff) next(err error) time.Duration {
	u, r := (*unreachable)(nil), (*refused)(nil)
	if errors.As(err, &u) && u.answered || errors.As(err, &r) && r.reason == coordv1.Reason_REASON_NO_LEADER {
		return b.election.NextBackOff()
	}
	wait := b.outage.NextBackOff()
	if r != nil {
		wait += r.retryAfter // not the greater: what was refused at once must not come at once
	}
	return wait
}

func (b *backOff) reset() {
	b.election.Reset()
	b.outage.Reset()
}

// kick leaves a token in ch, which has room for one.
func kick(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
