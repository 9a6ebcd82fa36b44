package lessee

import (
	"cmp"
	"slices"
	"time"
)

// Connect begins a stream: the returned Attach is its first frame. ok is false while
// the lessee waits, after a loss, for cancelled work to stop (SEMANTICS A5): try again
// at NextDue. It is false for ever once Leave is over. secret is fresh randomness for a
// session that may be opened.
func (l *Lessee) Connect(now time.Duration, secret Secret) (a Attach, ok bool) {
	now = l.advance(now)
	if l.closed || !l.live() && now < l.notBefore {
		return Attach{}, false
	}
	l.stream = stream{epoch: l.stream.epoch + 1, started: now, secret: secret}
	if l.live() {
		l.stream.state = streamTaking
		return Attach{
			Session: l.session.id,
			Secret:  l.session.secret,
			Epoch:   l.stream.epoch,
			Wanted:  l.wanted(),
		}, true
	}
	l.stream.state = streamOpening
	return Attach{
		Secret:         secret,
		Epoch:          l.stream.epoch,
		Wanted:         l.wantedOfOld(),
		Replaces:       l.old.id,
		ReplacesSecret: l.old.secret,
	}, true
}

// wanted is invariant 2, as ranges.
func (l *Lessee) wanted() []Range {
	var seqs ranges
	// order-free: merge sorts
	for seq := range l.session.ops {
		seqs = append(seqs, Range{seq, seq})
	}
	return seqs.merge()
}

func (l *Lessee) wantedOfOld() []Range {
	var seqs ranges
	for _, c := range l.limbo {
		seqs = append(seqs, Range{c.seq, c.seq})
	}
	return seqs.merge()
}

// Attached takes the answer to the Attach of epoch; one of another epoch is ignored. It
// reports whether the stream is up: not if the lease that it opens has run out already.
func (l *Lessee) Attached(now time.Duration, epoch uint64, a Attached) (up bool) {
	now = l.advance(now)
	switch {
	case epoch != l.stream.epoch:
	case l.stream.state == streamOpening:
		l.opened(now, a)
	case l.stream.state == streamTaking && a.Session == l.session.id:
		l.takenUp(a.Last)
	}
	return epoch == l.stream.epoch && l.stream.state == streamUp
}

// opened begins a session. That it may be over already changes nothing of what it says
// about the one it replaced.
func (l *Lessee) opened(now time.Duration, a Attached) {
	if a.Session == 0 {
		return
	}
	l.stream.state = streamUp
	l.stream.nextSeq = 1
	s := &l.session
	s.identity = identity{a.Session, l.stream.secret}
	s.tried = l.stream.started
	l.credit(l.stream.started)
	l.old = identity{}
	l.settleLimbo(a)
	if now >= s.deadline {
		l.lose(now, ReasonExpired)
	}
}

// settleLimbo gives each change of the replaced session what became of it (SEMANTICS B8).
func (l *Lessee) settleLimbo(a Attached) {
	if len(l.limbo) == 0 {
		return
	}
	left := make(map[uint64]Answer, len(a.Replaced))
	for _, r := range a.Replaced {
		left[r.Seq] = r
	}
	all := l.limbo
	l.limbo = nil
	for _, c := range all {
		r, named := left[c.seq]
		switch {
		case a.ReplacedGone:
			l.finish(c, Outcome{Verdict: Unknown})
		case named && (r.Verdict == Done || r.Verdict == Refused):
			l.finish(c, Outcome{Verdict: r.Verdict, Left: true, Body: r.Body})
		case named && (r.Verdict == Over || r.Verdict == Ended), !named && c.seq > a.ReplacedLast:
			l.neverDone(c)
		default:
			l.finish(c, Outcome{Verdict: Unknown})
		}
	}
}

// neverDone settles a call that had no effect.
func (l *Lessee) neverDone(c *call) {
	switch {
	case c.ending:
		l.finish(c, Outcome{Verdict: Ended})
	case c.here:
		l.finish(c, Outcome{Verdict: Lost, Reason: l.lost})
	default:
		l.askAnew(c)
	}
}

// takenUp has what follows last sent again; what nobody wants any more of it is over, for
// it will never reach the machine.
func (l *Lessee) takenUp(last uint64) {
	l.stream.state = streamUp
	l.stream.nextSeq = last + 1
	s := &l.session
	for seq := last + 1; seq != 0 && seq <= s.lastSeq; seq++ {
		if c := s.ops[seq]; c != nil && c.ending && c.seq == seq {
			l.finish(c, Outcome{Verdict: Ended})
		}
	}
	s.lastSeq = max(s.lastSeq, last)
}

// Disconnect says that the stream of epoch is gone.
func (l *Lessee) Disconnect(epoch uint64) {
	if epoch == l.stream.epoch {
		l.stream.state = streamDown
	}
}

// Frame returns what is to be sent on the present stream, at most max ops; ok is false
// if there is nothing. What it returns counts as sent.
func (l *Lessee) Frame(max int) (f Frame, ok bool) {
	if l.stream.state != streamUp {
		return Frame{}, false
	}
	f.Epoch = l.stream.epoch
	n := min(max, l.queue.n+l.redo.n+int(l.session.lastSeq+1-l.stream.nextSeq))
	if n > 0 {
		f.Ops = make([]Op, 0, n)
	}
	for len(f.Ops) < max && l.stream.nextSeq <= l.session.lastSeq {
		l.dropMoot(l.stream.nextSeq)
		f.Ops = append(f.Ops, l.op(l.stream.nextSeq))
		l.stream.nextSeq++
	}
	for len(f.Ops) < max {
		c := l.nextNew()
		if c == nil {
			break
		}
		l.number(c)
		f.Ops = append(f.Ops, l.op(l.session.lastSeq))
	}
	if len(f.Ops) == 0 && l.stream.pendAcks.n < acksInOwnFrame {
		return Frame{}, false
	}
	f.Acks = l.stream.pendAcks.take()
	return f, true
}

// dropMoot ends a change that is to be sent again, and so was never done, if the hold that
// it is about was revoked or given away meanwhile.
func (l *Lessee) dropMoot(seq uint64) {
	c := l.session.ops[seq]
	switch {
	case c == nil || c.seq != seq || c.on == nil || c.on.holding():
	case c.again != nil:
		l.onItsOwn(c)
	default:
		l.finish(c, c.on.lostOutcome())
	}
}

// nextNew takes the next call off its list that is to be given a seq.
func (l *Lessee) nextNew() *call {
	if l.leave != nil && l.leave.phase == sent {
		return nil // nothing follows it
	}
	for {
		c := l.queue.first
		switch {
		case l.redo.n > 0 && !l.session.revoked:
			c = l.nextRedo()
		case c == nil:
			return nil
		default:
			l.queue.remove(c)
		}
		switch { // the hold was revoked or given away meanwhile
		case c.phase != queued || c.on == nil || c.on.holding():
		case c.again != nil:
			l.onItsOwn(c)
		default:
			l.finish(c, c.on.lostOutcome())
			continue
		}
		return c
	}
}

// nextRedo takes the least call off redo, which is sorted when it is found mixed, not
// when calls join it: they come in bursts after an Attach.
func (l *Lessee) nextRedo() *call {
	if l.mixed {
		l.mixed = false
		all := make([]*call, 0, l.redo.n)
		for l.redo.n > 0 {
			all = append(all, l.redo.first)
			l.redo.remove(l.redo.first)
		}
		sortCalls(all)
		for _, c := range all {
			l.redo.push(c)
		}
	}
	c := l.redo.first
	l.redo.remove(c)
	return c
}

// number gives the next seq to c, or to its End.
func (l *Lessee) number(c *call) {
	s := &l.session
	s.lastSeq++
	l.stream.nextSeq = s.lastSeq + 1
	s.ops[s.lastSeq] = c
	if c.ending {
		c.endSeq = s.lastSeq
		return
	}
	c.phase, c.seq = sent, s.lastSeq
}

// op is what is sent under seq.
func (l *Lessee) op(seq uint64) Op {
	c := l.session.ops[seq]
	switch {
	case c == nil:
		return Op{Seq: seq, Do: DoNoop}
	case c == l.leave:
		return Op{Seq: seq, Do: DoLeave}
	case c.endSeq == seq:
		return Op{Seq: seq, Do: DoEnd, Target: c.seq}
	case c.on != nil:
		return Op{Seq: seq, Do: DoBody, Target: c.on.seq, Body: c.body}
	}
	return Op{Seq: seq, Do: DoBody, Body: c.body}
}

// Acks are results to be acknowledged.
type acks struct {
	seqs ranges
	n    int
}

func (a *acks) add(seq uint64) {
	a.n++
	if k := len(a.seqs); k > 0 && a.seqs[k-1].Last+1 == seq {
		a.seqs[k-1].Last = seq
		return
	}
	a.seqs = append(a.seqs, Range{seq, seq})
}

func (a *acks) take() []Range {
	r := a.seqs.merge()
	*a = acks{}
	return r
}

type ranges []Range

// merge sorts r, in place, and joins what touches.
func (r ranges) merge() []Range {
	slices.SortFunc(r, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := r[:0]
	for _, x := range r {
		if k := len(out); k > 0 && x.First <= out[k-1].Last+1 {
			out[k-1].Last = max(out[k-1].Last, x.Last)
			continue
		}
		out = append(out, x)
	}
	return out
}
