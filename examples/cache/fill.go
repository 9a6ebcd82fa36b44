package main

import (
	"context"
	"errors"
	"fmt"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

// A versions says which version of a row is the latest that all processes are to know of. A
// key that has not changed is not there, so a map of at most 4,096 entries does for long; a
// database of more keys has versions of buckets of them.
type versions struct {
	client *client.Client
	part   stage.Part
	of     *client.Map[string, int64]
}

func newVersions(c *client.Client, p stage.Part) *versions {
	return &versions{client: c, part: p, of: client.NewMap[string, int64](c, p.Object("versions"))}
}

// changed tells everybody of a write, after it. Two writers may come here in the other order
// than they wrote in: a version never falls.
func (v *versions) changed(ctx context.Context, key string, version int64) error {
	for {
		old, loaded, err := v.of.LoadOrStoreContext(ctx, key, version)
		if err != nil {
			return fmt.Errorf("announce version %d of %s: %w", version, key, err)
		}
		if !loaded {
			return v.forget(ctx, key, 0)
		}
		if old >= version {
			return nil
		}
		swapped, err := v.of.CompareAndSwapContext(ctx, key, old, version)
		if err != nil {
			return fmt.Errorf("announce version %d of %s: %w", version, key, err)
		}
		if swapped {
			return v.forget(ctx, key, old)
		}
	}
}

// fillName is the object by which a row is read once, of those who know of a version.
func fillName(key string, known int64) string { return fmt.Sprintf("fill/%s@%d", key, known) }

// fill reads a row, in one process of all that know of this version and want it now. The
// others get what it has read; should it die, one of them reads.
func (s *cache) fill(ctx context.Context, key string, known int64) (row, error) {
	once := client.OnceValueContext(s.client, s.versions.part.Object(fillName(key, known)),
		func(ctx context.Context, _ client.Token) (row, error) { return s.fresh(ctx, key, known) })
	r, err := once(ctx)
	if err != nil {
		return row{}, fmt.Errorf("fill: %w", err)
	}
	if _, now, _, _ := s.look(key); now > known { // whoever announced that may have come too soon
		err = s.versions.forget(ctx, key, known)
	}
	return r, err
}

// fresh reads a row that is not older than a version.
func (s *cache) fresh(ctx context.Context, key string, known int64) (row, error) {
	r, err := s.read(ctx, key)
	if err == nil && r.Version < known {
		err = fmt.Errorf("the database has version %d of %s, and %d was announced: is a replica behind?", r.Version, key, known)
	}
	return r, err
}

// forget deletes what was read by those who knew of a version that is the latest no more. Who
// is still about to read by it does so afresh, and deletes it in turn.
func (v *versions) forget(ctx context.Context, key string, known int64) error {
	err := v.client.Delete(ctx, client.KindOnce, v.part.Object(fillName(key, known)))
	if errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrBusy) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget version %d of %s: %w", known, key, err)
	}
	return nil
}
