package client

import (
	"context"
	"fmt"
	"iter"

	coordv1 "coordd.dev/api/coord/v1"
)

// An Event is a change of a Map.
type Event[K comparable, V any] struct {
	Type EventType
	Entry[K, V]
}

// An EventType says what an Event is.
type EventType uint8

// Wire values; never reordered.
const (
	EventStored  EventType = iota + 1 // Entry is as it is now
	EventDeleted                      // Value is what it was
	EventSynced                       // all that was there is told; Entry has only the Revision
)

// Watch yields the changes after revision from, in order. From 0 it yields the
// entries first, then one EventSynced. It resumes over reconnects; where it cannot,
// the last pair is [ErrSkipped] and Watch(ctx, 0) starts afresh. It ends with ctx, with the
// client, or with the loop.
func (m *Map[K, V]) Watch(ctx context.Context, from Revision) iter.Seq2[Event[K, V], error] {
	return func(yield func(Event[K, V], error) bool) {
		op := "watch " + m.ref.String()
		inner, stop := m.courier.untilDraining(ctx)
		defer stop()
		w := &mapWatcher[K, V]{of: m, watcher: newWatcher(m.courier, m.ref), yield: yield}
		w.heard, w.lost = w.hear, func() error { return ErrSkipped }
		w.after, w.known = uint64(from), from != 0
		err := w.start(inner)
		if err == nil && !w.ended {
			err = w.run(inner)
		}
		switch {
		case err == nil: // the loop has ended
		case ctx.Err() != nil:
			yield(Event[K, V]{}, contextEnded(ctx, op, nil))
		case inner.Err() != nil:
			yield(Event[K, V]{}, fmt.Errorf("%s: %w", op, context.Cause(inner)))
		default:
			yield(Event[K, V]{}, fmt.Errorf("%s: %w", op, err))
		}
	}
}

// A mapWatcher turns the changes of a map into events.
type mapWatcher[K comparable, V any] struct {
	watcher
	of    *Map[K, V]
	yield func(Event[K, V], error) bool
}

// start tells what is there, if it is to be told.
func (w *mapWatcher[K, V]) start(ctx context.Context) error {
	if err := checkName(w.ref.Name); err != nil || w.known {
		return err
	}
	all, at, err := w.of.snapshot(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		w.tell(Event[K, V]{Type: EventStored, Entry: e})
	}
	w.tell(Event[K, V]{Type: EventSynced, Entry: Entry[K, V]{Revision: at}})
	w.after, w.known = uint64(at), true
	return nil
}

func (w *mapWatcher[K, V]) hear(resp *coordv1.WatchResponse) error {
	if resp.GetSkipped() > 0 {
		return ErrSkipped
	}
	for _, c := range resp.GetChanges() {
		kind := EventStored
		switch c.GetType() {
		case coordv1.ChangeType_CHANGE_TYPE_STORED:
		case coordv1.ChangeType_CHANGE_TYPE_DELETED:
			kind = EventDeleted
		default: // the map itself is deleted, after its entries
			continue
		}
		e, err := w.of.entry(string(c.GetKey()), c.GetData(), Revision(c.GetRevision()))
		if err != nil {
			return err
		}
		w.tell(Event[K, V]{Type: kind, Entry: e})
	}
	return nil
}

func (w *mapWatcher[K, V]) tell(e Event[K, V]) {
	w.ended = w.ended || !w.yield(e, nil)
}
