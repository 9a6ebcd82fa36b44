package client

import (
	"context"
	"fmt"

	coordv1 "coordd.dev/api/coord/v1"
)

// LoadStale reads from any node, one that knows no leader of the cluster included, with the
// revision it is from: what was stored later it may not have.
func (m *Map[K, V]) LoadStale(ctx context.Context, key K) (value V, ok bool, rev Revision, err error) {
	op := "load from " + m.ref.String()
	text, err := encodeKey(key)
	if err != nil {
		return value, false, 0, fmt.Errorf("%s: %w", op, err)
	}
	r, err := m.loadStale(ctx, op, []byte(text))
	if err != nil || !r.GetFound() {
		return value, false, Revision(r.GetRevision()), err
	}
	value, err = decode[V](m.codec, r.GetValue())
	return value, err == nil, Revision(r.GetRevision()), err
}

// loadStale asks any node for the value of a key.
func (m *table) loadStale(ctx context.Context, op string, key []byte) (*coordv1.LoadResponse, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if m.courier.closed() {
		return nil, fmt.Errorf("%s: %w", op, ErrClientClosed)
	}
	var r *coordv1.LoadResponse
	err := m.courier.conn.anyNode(ctx, func(ctx context.Context, l *link) (err error) {
		r, err = coordv1.NewMapServiceClient(l.cc).Load(ctx, &coordv1.LoadRequest{
			Name: m.ref.Name, Key: key, Codec: m.codec.Name(), Stale: true,
		})
		return err
	})
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return nil, contextEnded(ctx, op, nil)
	}
	return nil, fmt.Errorf("%s: %w", op, err)
}
