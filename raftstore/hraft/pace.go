package hraft

import (
	"io"
	"time"
)

const (
	// paceRest is how long the writer of a snapshot rests for the time that it was busy: it
	// takes a quarter of a processor's time, and leaves the rest to who waits for a lock.
	paceRest = 3

	// paceMost bounds one rest: a writer that had to wait was not busy all of the time.
	paceMost = 20 * time.Millisecond
)

// A pacedWriter rests between writes, until hurry is closed. It counts as busy what passes
// from the end of a rest to the end of the next write, that is the making of what is
// written too.
type pacedWriter struct {
	w     io.Writer
	hurry <-chan struct{}
	since time.Time // the end of the last rest
}

// Write is part of io.Writer.
func (p *pacedWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil {
		return n, err // the sink's
	}
	rest := time.NewTimer(min(paceRest*time.Since(p.since), paceMost))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-p.hurry:
	}
	p.since = time.Now()
	return n, nil
}
