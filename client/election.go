package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	coordv1 "coordd.dev/api/coord/v1"
)

// An Election has at most one leader. A leadership is an exclusive hold with a
// value; its token is the term. Who campaigns waits in line: by priority
// ([WithPriority]), then first come, first served.
//
// Each Campaign is a candidate of its own, also several of one handle at once: of
// them too one leads at a time.
type Election struct {
	_       noCopy
	courier *courier
	name    string
	cfg     handleConfig

	mu     sync.Mutex
	latest *Hold // the leadership of this handle with the greatest term, nil before the first
}

// Election returns a handle.
func (c *Client) Election(name string, opts ...HandleOption) *Election {
	return &Election{courier: c.courier, name: name, cfg: handleOptions(opts)}
}

// Campaign waits until it leads, with a value that observers see: at most 4 KiB, an
// address perhaps. A cancelled Campaign leaves nothing behind. It never succeeds on a
// dead session: one that dies meanwhile is replaced, and the candidate goes to the end
// of the line.
func (e *Election) Campaign(ctx context.Context, value string) (*Leadership, error) {
	h, err := e.courier.acquire(ctx, e.want(value), false)
	if err != nil {
		return nil, err
	}
	e.won(h)
	return &Leadership{hold: h}, nil
}

// won keeps h as the latest leadership. Two goroutines may come here in any order; the
// term tells which one won last.
func (e *Election) won(h *Hold) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.latest == nil || e.latest.token < h.token {
		e.latest = h
	}
}

// IsLeader is nil if this handle leads now, by any of its Campaigns that has returned; by
// the local clock; no network. Else it is how the handle's last leadership ended, as
// [Leadership.Err] has it, [ErrNotFound] if it never led, or ctx's error.
func (e *Election) IsLeader(ctx context.Context) error {
	if ctx.Err() != nil {
		return contextEnded(ctx, e.ref().String(), nil)
	}
	e.mu.Lock()
	h := e.latest
	e.mu.Unlock()
	if h == nil {
		return fmt.Errorf("%s: %w: this handle has not led yet", e.ref(), ErrNotFound)
	}
	return h.Err()
}

// Leader reads the present leader, linearizably.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	d, err := e.describe(ctx, "read the leader of ")
	if err != nil {
		return Leader{}, err
	}
	return leaderFrom(d), nil
}

// LeaderStale reads it from any node, one that knows no leader of the cluster included,
// with the log index it is from.
func (e *Election) LeaderStale(ctx context.Context) (Leader, uint64, error) {
	op := "read the leader of " + e.ref().String()
	if err := checkName(e.name); err != nil {
		return Leader{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	if e.courier.closed() {
		return Leader{}, 0, fmt.Errorf("%s: %w", op, ErrClientClosed)
	}
	var d *coordv1.Description
	err := e.courier.conn.anyNode(ctx, func(ctx context.Context, l *link) error {
		resp, err := coordv1.NewInspectServiceClient(l.cc).DescribeObject(ctx, &coordv1.DescribeObjectRequest{
			Kind: coordv1.Kind_KIND_ELECTION, Name: e.name, Stale: true,
		})
		d = resp.GetDescription()
		return err
	})
	r := (*refused)(nil)
	switch {
	case err == nil:
		return leaderFrom(d), d.GetIndex(), nil
	case errors.As(err, &r) && r.reason == coordv1.Reason_REASON_NOT_FOUND:
		return Leader{Vacant: true}, r.index(), nil
	case ctx.Err() != nil:
		return Leader{}, 0, contextEnded(ctx, op, nil)
	}
	return Leader{}, 0, fmt.Errorf("%s: %w", op, err)
}

// Candidates are the leader, then those who wait, in order, as many as
// [Client.Describe] lists.
func (e *Election) Candidates(ctx context.Context) ([]Candidate, error) {
	d, err := e.describe(ctx, "list the candidates of ")
	if err != nil {
		return nil, err
	}
	var all []Candidate
	for _, parties := range [][]*coordv1.Party{d.GetHolders(), d.GetWaiters()} {
		for _, p := range parties {
			if p.GetDelayed() == nil { // else it is gone, and only its lock-delay left
				all = append(all, Candidate{Who: holderFrom(p), Value: p.GetValue(), Priority: int(p.GetPriority())})
			}
		}
	}
	return all, nil
}

// describe reads the election through the session's stream. One that nobody knows is
// vacant.
func (e *Election) describe(ctx context.Context, verb string) (*coordv1.Description, error) {
	d, err := e.courier.describe(ctx, verb+e.ref().String(), KindElection, e.name)
	if errors.Is(err, ErrNotFound) {
		return &coordv1.Description{}, nil
	}
	return d, err
}

func (e *Election) ref() Ref { return Ref{Kind: KindElection, Name: e.name} }

func (e *Election) want(value string) *want {
	w := newWant(e.ref(), []*coordv1.Arm{
		{Kind: coordv1.Kind_KIND_ELECTION, Name: e.name, Value: value},
	}, e.cfg)
	w.fault = errors.Join(w.fault, checkValue(value))
	w.wait.Priority = int32(e.cfg.priority)
	return w
}

func checkValue(value string) error {
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("%w: the value has %d bytes, more than %d", ErrInvalid, len(value), maxValue)
	case !utf8.ValidString(value):
		return fmt.Errorf("%w: the value is not UTF-8", ErrInvalid)
	}
	return nil
}

// A Leader is a state of an Election.
type Leader struct {
	Vacant bool // then the rest is zero; in Observe, the last leader's
	Value  string
	Term   Token
	Who    Holder
	Missed uint64 // only in Observe: changes before this state, at most, that it could not tell
}

// A Candidate leads or waits to.
type Candidate struct {
	Who      Holder
	Value    string
	Priority int // of one that waits; a leader has none any more
}

// leaderFrom is who leads by a description. A holder whose session has failed does not
// lead, though nobody else can until its lock-delay is over.
func leaderFrom(d *coordv1.Description) Leader {
	if p := holderOf(d); p != nil && p.GetDelayed() == nil {
		return Leader{Value: p.GetValue(), Term: Token(p.GetToken()), Who: holderFrom(p)}
	}
	return Leader{Vacant: true}
}

// holderOf is the one holder of an election, nil if it has none.
func holderOf(d *coordv1.Description) *coordv1.Party {
	if len(d.GetHolders()) == 0 {
		return nil
	}
	return d.GetHolders()[0]
}
