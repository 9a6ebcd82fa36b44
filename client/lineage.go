package client

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	coordv1 "coordd.dev/api/coord/v1"
)

// This file has what a ctx carries for the search for deadlocks (SEMANTICS G1).

type lineageKey struct{}

// A lineage is the holds that a ctx carries, the latest first.
type lineage struct {
	hold *Hold      // nil if it is another process's
	far  distantRef // then this
	rest *lineage
}

// ContextWithoutLineage is for work that the holds in ctx do not wait for. A wait
// made with a hold's context declares "this hold is not released until this wait
// ends"; deadlocks are found among such declarations.
func ContextWithoutLineage(ctx context.Context) context.Context {
	return context.WithValue(ctx, lineageKey{}, (*lineage)(nil))
}

// LineageFrom returns the holds that ctx carries, the latest first, for another process that
// works for this one: in the environment of a command, in the metadata of a request. That
// makes its context of them by [ContextWithLineage]. They are at most 64.
func LineageFrom(ctx context.Context) []HoldID {
	var ids []HoldID
	for l := lineageOf(ctx); l != nil && len(ids) < maxLineage; l = l.rest {
		id := l.far.text()
		if h := l.hold; h != nil {
			if h.id.seq == 0 || h.ended() != nil {
				continue
			}
			id = distantRef{h.courier.conn.cluster(), h.id}.text()
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// ContextWithLineage returns a ctx that carries holds of another process besides its own,
// the latest first, as [LineageFrom] gives them there. A wait made with it promises in the name of that
// process that they are kept until the wait ends. Those of other clusters than the one that is
// asked promise nothing, nor do those that have ended.
func ContextWithLineage(ctx context.Context, holds ...HoldID) (context.Context, error) {
	l := lineageOf(ctx)
	for _, id := range slices.Backward(holds) {
		far, err := id.parse()
		if err != nil {
			return nil, fmt.Errorf("lineage: %w", err)
		}
		l = &lineage{far: far, rest: l}
	}
	return context.WithValue(ctx, lineageKey{}, l), nil
}

// A HoldID names a hold to other processes: cluster, session, and which call of it. It has
// letters, digits, dashes and dots.
type HoldID string

// A distantRef is what a HoldID says.
type distantRef struct {
	cluster string
	id      holdID
}

func (d distantRef) text() HoldID {
	return HoldID(fmt.Sprintf("%s.%s.%d", d.cluster, sessionID(d.id.session), d.id.seq))
}

func (h HoldID) parse() (distantRef, error) {
	bad := fmt.Errorf("%w: hold id %q is not cluster.session.seq", ErrInvalid, string(h))
	parts := strings.Split(string(h), ".")
	if len(h) > maxName || len(parts) != 3 || parts[0] == "" {
		return distantRef{}, bad
	}
	session, serr := SessionID(parts[1]).number()
	seq, qerr := strconv.ParseUint(parts[2], 10, 64)
	if serr != nil || qerr != nil || seq == 0 {
		return distantRef{}, bad
	}
	return distantRef{parts[0], holdID{session, seq}}, nil
}

// in is what the cluster of a conn calls the hold, and where it was acquired, if that is
// known here. It is false if it is another cluster's, or has ended.
func (l *lineage) in(c *conn) (id holdID, site string, ok bool) {
	if h := l.hold; h != nil {
		if h.courier.conn != c || h.id.seq == 0 || h.ended() != nil {
			return holdID{}, "", false
		}
		return h.id, h.from.at(), true
	}
	return l.far.id, "", l.far.cluster == c.cluster()
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
		id, site, ok := l.in(k.conn)
		if ok && !o.names(id) {
			o.lineage = append(o.lineage, &coordv1.NamedHold{SessionId: id.session, Seq: id.seq, Site: site})
		}
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
		if h == nil || h.courier.conn != k.conn || h.ended() != nil {
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
