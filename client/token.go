package client

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"slices"
	"strconv"

	coordv1 "coordd.dev/api/coord/v1"
)

// A Token is a fencing token: of two exclusive holds of one name the later has the
// greater. It is below 2^63, so it fits a BIGINT. 0 is no token.
type Token uint64

// String is decimal.
func (t Token) String() string { return strconv.FormatUint(uint64(t), 10) }

// Value makes a Token an argument of database/sql. Token 0 is refused: a hold that
// others share cannot be fenced.
func (t Token) Value() (driver.Value, error) {
	if t == 0 || t > math.MaxInt64 {
		return nil, fmt.Errorf("fencing token %d: %w: only an exclusive hold has one", uint64(t), ErrInvalid)
	}
	return int64(t), nil
}

type (
	tokenKey   struct{}
	lineageKey struct{}
)

// A lineage is the holds that a ctx carries, the latest first.
type lineage struct {
	hold *Hold
	rest *lineage
}

// TokenFrom returns the token of the innermost exclusive hold that ctx carries, or
// the one that [ContextWithToken] put there.
func TokenFrom(ctx context.Context) (Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(Token)
	return t, ok
}

// ContextWithHold returns a ctx that carries h's token and lineage besides its own,
// and that also ends when h does.
func ContextWithHold(ctx context.Context, h *Hold) context.Context {
	ctx, _ = h.within(ctx)
	return ctx
}

// ContextWithToken is for servers that were sent a token (package fence).
func ContextWithToken(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}

// ContextWithoutLineage is for work that the holds in ctx do not wait for. A wait
// made with a hold's context declares "this hold is not released until this wait
// ends"; deadlocks are found among such declarations.
func ContextWithoutLineage(ctx context.Context) context.Context {
	return context.WithValue(ctx, lineageKey{}, (*lineage)(nil))
}

func lineageOf(ctx context.Context) *lineage {
	l, _ := ctx.Value(lineageKey{}).(*lineage)
	return l
}

// carrying is ctx with h's token and lineage.
func carrying(ctx context.Context, h *Hold) context.Context {
	ctx = context.WithValue(ctx, lineageKey{}, &lineage{hold: h, rest: lineageOf(ctx)})
	if h.token != 0 {
		ctx = ContextWithToken(ctx, h.token)
	}
	return ctx
}

// name adds what ctx carries to where a wait comes from: of the holds in it those of this
// cluster that are surely held, the latest.
func (o *origin) name(ctx context.Context, k *courier) {
	for l := lineageOf(ctx); l != nil && len(o.lineage) < maxLineage; l = l.rest {
		h := l.hold
		if h.courier.conn != k.conn || h.id.seq == 0 || h.ended() != nil || o.names(h.id) {
			continue
		}
		o.lineage = append(o.lineage, &coordv1.NamedHold{SessionId: h.id.session, Seq: h.id.seq, Site: h.from.at()})
	}
	if len(o.lineage) > 0 {
		o.site = o.at()
	}
}

// names reports whether a hold is named already.
func (o *origin) names(id holdID) bool {
	return slices.ContainsFunc(o.lineage, func(n *coordv1.NamedHold) bool {
		return n.GetSessionId() == id.session && n.GetSeq() == id.seq
	})
}

// selfCycle returns a *DeadlockError if ctx carries a hold that would have to be
// released before w can be had: a wait made with that ctx could never end. This much is
// known without asking the cluster.
func selfCycle(ctx context.Context, k *courier, w *want) error {
	var holds []Ref
	conflict := false
	for l := lineageOf(ctx); l != nil; l = l.rest {
		h := l.hold
		if h.courier.conn != k.conn || h.ended() != nil {
			continue
		}
		holds = append(holds, h.ref())
		conflict = conflict || w.conflicts(h.want)
	}
	if !conflict {
		return nil
	}
	return &DeadlockError{Cycle: []Wait{{Who: k.self(), Holds: holds, Wants: w.ref}}}
}

// self is this client as others see it.
func (k *courier) self() Holder {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Holder{Session: sessionID(k.live.id), Name: k.cfg.name, Metadata: k.cfg.metadata}
}
