package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long the same line of raft is held back. It says several times a
// second, as an error, that a peer that is down is still down.
const quietFor = 10 * time.Second

// A quiet handler passes on what the raft library logs, less of it: information only
// for those who want to debug, complaints once in a while, and nothing during a stop,
// when every connection breaks.
type quiet struct {
	to      slog.Handler
	muted   <-chan struct{} // closed: say nothing
	repeats *repeats
}

// Repeats are the lines said lately, of one handler and all that derive from it.
type repeats struct {
	mu   sync.Mutex
	said map[string]repeat
}

type repeat struct {
	last time.Time
	held int // not said since
}

// maxRepeats bounds the memory of a quiet handler; at it, it forgets everything.
const maxRepeats = 256

func newQuiet(to slog.Handler, muted <-chan struct{}) slog.Handler {
	return &quiet{to: to, muted: muted, repeats: &repeats{said: make(map[string]repeat)}}
}

// Enabled is part of slog.Handler.
func (q *quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.to.Enabled(ctx, lowered(level))
}

// lowered makes information of raft's a matter of debugging.
func lowered(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

// Handle is part of slog.Handler.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	select {
	case <-q.muted:
		return nil
	default:
	}
	r.Level = lowered(r.Level)
	if r.Level >= slog.LevelWarn {
		held, say := q.repeats.say(key(r), r.Time)
		if !say {
			return nil
		}
		if held > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("times_held_back", held))
		}
	}
	return q.to.Handle(ctx, r)
}

// key is what makes two lines the same: their text and whom they are about, which
// stands first.
func key(r slog.Record) string {
	k := r.Message
	r.Attrs(func(a slog.Attr) bool {
		k += " " + a.Value.String()
		return false
	})
	return k
}

func (s *repeats) say(key string, now time.Time) (held int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.said[key]
	if known && now.Sub(r.last) < quietFor {
		r.held++
		s.said[key] = r
		return 0, false
	}
	if len(s.said) >= maxRepeats {
		clear(s.said)
	}
	s.said[key] = repeat{last: now}
	return r.held, true
}

// WithAttrs is part of slog.Handler.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{to: q.to.WithAttrs(attrs), muted: q.muted, repeats: q.repeats}
}

// WithGroup is part of slog.Handler.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{to: q.to.WithGroup(name), muted: q.muted, repeats: q.repeats}
}
