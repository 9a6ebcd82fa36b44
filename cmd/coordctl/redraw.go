package main

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
)

// A redrawing shows an object anew whenever it changes hands: on a terminal in place, and now
// and then besides, with json in a line each time.
type redrawing struct {
	*app
	look func(ctx context.Context, revision uint64) (view, error) // the object now; it is at revision at least

	shown uint64 // revision that is shown
	drawn bool
}

// A view is what is shown.
type view struct {
	revision uint64
	json     any
	text     string
}

func (d *redrawing) run(ctx context.Context, n *nodes, of topic, name, what string) error {
	req := &coordv1.WatchRequest{Kind: of.kind, Name: name}
	return (&following{nodes: n, what: what, req: req, hear: d.hear}).run(ctx)
}

// hear shows the object as it is now, which is the same whatever was skipped. What was
// shown since the change happened is not shown again: so a burst is shown once.
func (d *redrawing) hear(ctx context.Context, r *coordv1.WatchResponse, anew bool) error {
	inPlace := d.output != asJSON && isTerminal(d.stdout)
	changed := anew || len(r.GetChanges()) > 0 && r.GetRevision() > d.shown
	if !changed && !inPlace {
		return nil
	}
	v, err := d.look(ctx, r.GetRevision())
	if err != nil {
		return err
	}
	d.shown = v.revision
	if inPlace {
		if err := d.text("\x1b[H\x1b[2J"); err != nil {
			return err
		}
	} else if d.drawn && d.output != asJSON {
		if err := d.text("\n"); err != nil {
			return err
		}
	}
	d.drawn = true
	if d.output == asJSON {
		return d.line(v.json)
	}
	return d.text(v.text)
}
