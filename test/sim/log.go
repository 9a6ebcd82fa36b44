package main

import (
	"time"

	"coordd.dev/internal/machine"
)

// A log is what all nodes agree on, and who may add to it. It stands for raftstore and its
// engine: terms are disjoint; an entry in flight when its leader falls is committed
// before the next leader's first, or never; whoever proposed it is not told which.
type log struct {
	w       *world
	entries []entry
	hashes  []uint64 // of the state after each entry, as far as any node has applied
	changes [][]machine.Change
	term    uint64
	leader  *node // of term; nil: an outage

	flying []*proposal // of term, in the order in which they were proposed
	last   time.Duration
}

// An entry is what the envelope of raftstore has.
type entry struct {
	term      uint64
	increment int64
	commands  [][]byte
}

// A proposal is an entry in flight.
type proposal struct {
	entry
	node *node
	done func() // committed, and not unknown to its node
}

// propose appends an entry for n, which believes to lead its term.
func (l *log) propose(p *proposal) {
	if p.term != l.term {
		return // deposed: it never gets a majority, and never an answer
	}
	l.flying = append(l.flying, p)
	d := 200*time.Microsecond + upTo(l.w.net, 3*time.Millisecond)
	if p.node.slow {
		d += upTo(l.w.net, 400*time.Millisecond)
	}
	l.last = max(l.last, l.w.now+d)
	l.w.at(l.last, func() { l.commit(p) })
}

// commit commits p, and what its leader proposed before it.
func (l *log) commit(p *proposal) {
	if p.term != l.term {
		return // fate had its way with it
	}
	if p.node.paused { // nobody counts its majority
		p.node.run(func() { l.commit(p) })
		return
	}
	l.flying = l.flying[1:] // p: they come in order
	l.append(p.entry)
	p.node.catchUp()
	if p.done != nil {
		p.done()
	}
}

func (l *log) append(e entry) {
	l.entries = append(l.entries, e)
	l.hashes = append(l.hashes, 0)
	l.changes = append(l.changes, nil)
	for _, n := range l.w.nodes {
		if n != l.leader {
			n.lag()
		}
	}
}

// elect makes n the leader of the next term. Of what the old leader had in flight a
// prefix is committed, unless nobody says that it must be.
func (l *log) elect(n *node) {
	old := l.leader
	keep := len(l.flying)
	if keep > 0 {
		keep = l.w.fate.IntN(keep + 1)
	}
	for i, p := range l.flying {
		if i < keep {
			l.append(p.entry)
			l.w.tally.hit(tallyLateCommit)
		} else {
			l.w.tally.hit(tallyTruncated)
		}
	}
	l.flying = nil
	l.term++
	l.leader = n
	l.w.tracef("term %d: node %d leads", l.term, n.id)
	if old != nil && old != n {
		l.depose(old)
	}
	n.lead(l.term)
}

// depose tells the old leader, sooner or later.
func (l *log) depose(old *node) {
	d := upTo(l.w.fate, 5*time.Millisecond)
	if l.w.Faults.has(faultDeposed) && !l.w.healed {
		d += upTo(l.w.fate, time.Second)
		l.w.tally.hit(tallyDeposed)
	}
	term := old.term
	l.w.after(d, func() {
		old.run(func() {
			if old.term == term {
				old.follow()
			}
		})
	})
}

// stop ends the term without a next one.
func (l *log) stop() {
	if l.leader == nil {
		return
	}
	old := l.leader
	l.leader = nil
	l.term++ // nobody's; what is in flight is the next leader's to settle
	old.follow()
}

// commands decodes an entry's commands for one node.
func (e *entry) decode() ([]machine.Command, error) {
	out := make([]machine.Command, len(e.commands))
	for i, b := range e.commands {
		c, err := machine.DecodeCommand(b)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}
