package machine_test

import (
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What the histories' fake clients ask for.

func (h *history) command() machine.Command {
	if len(h.clients) == 0 {
		return h.open()
	}
	c := h.clients[h.intn(len(h.clients))]
	switch n := h.intn(144); {
	case n < 25:
		r := &machine.Renew{}
		for _, c := range h.callers {
			if h.intn(4) > 0 {
				r.Sessions = append(r.Sessions, c.id)
			}
		}
		for _, c := range h.clients {
			if h.intn(4) > 0 {
				r.Sessions = append(r.Sessions, c.id)
			}
		}
		return r
	case n < 30:
		return h.open()
	case n < 36:
		return h.takeUp(c)
	case n < 38:
		return &machine.Revoke{Session: h.somebody(), Now: h.intn(2) == 0}
	case n < 40:
		return &machine.Sessions{}
	case n < 43:
		return h.openUnary()
	case n < 75:
		return h.call()
	case n < 78:
		return &machine.Describe{On: h.object(h.kind())}
	case n < 81:
		return h.list()
	case n < 85:
		return h.read()
	default:
		return h.frame(c)
	}
}

func (h *history) open() machine.Command {
	c := &fakeClient{instance: uint64(1 + h.intn(2)), epoch: 1, ttl: (500 + int64(h.intn(3000))) * ms}
	c.secret[0] = byte(h.intn(200))
	a := &machine.Attach{Secret: c.secret, Instance: c.instance, Epoch: c.epoch, TTL: c.ttl, Who: fmt.Sprint("host-", h.intn(9))}
	if old := h.someone(); old != nil && old.id != 0 && h.intn(2) == 0 {
		a.Replaces, a.ReplacesSecret, a.Instance = old.id, old.secret, old.instance
		c.instance, c.epoch = old.instance, old.epoch+1
		a.Epoch = c.epoch
		a.Wanted = h.ranges(old.last)
		if h.intn(8) == 0 {
			a.ReplacesSecret[0]++
		}
	}
	h.clients = append(h.clients, c)
	if len(h.clients) > 6 {
		h.clients = h.clients[1:]
	}
	return a
}

func (h *history) someone() *fakeClient {
	if len(h.clients) == 0 {
		return nil
	}
	return h.clients[h.intn(len(h.clients))]
}

func (h *history) takeUp(c *fakeClient) machine.Command {
	if c.id == 0 {
		return nil // its Attach was refused, or is in this entry
	}
	a := &machine.Attach{
		Session: c.id, Secret: c.secret, Instance: c.instance, Epoch: c.epoch + 1,
		Wanted: h.ranges(c.last + 2),
	}
	switch h.intn(8) {
	case 0:
		a.Secret[0]++
	case 1:
		a.Epoch = c.epoch
	case 2:
		a.Instance++
	default:
		c.epoch++
	}
	return a
}

// ranges are random ones within 1..last.
func (h *history) ranges(last park.Seq) (out []machine.Range) {
	for seq := park.Seq(1); seq <= last; seq += park.Seq(1 + h.intn(3)) {
		r := machine.Range{First: seq, Last: seq + park.Seq(h.intn(6))}
		out = append(out, r)
		seq = r.Last + 1
	}
	return out
}

func (h *history) frame(c *fakeClient) machine.Command {
	f := &machine.Frame{Session: c.id, Epoch: c.epoch}
	if h.intn(20) == 0 && c.epoch > 0 {
		f.Epoch--
		h.seen["old epoch"]++
	}
	if h.intn(6) == 0 {
		f.Acked = h.ranges(c.last)
	}
	for range 1 + h.intn(4) {
		seq := c.last + 1
		switch h.intn(30) {
		case 0:
			seq = 1 + park.Seq(h.intn(int(c.last)+1))
		case 1:
			seq = c.last + 2
		}
		f.Ops = append(f.Ops, h.op(seq, c))
		if seq == c.last+1 && f.Epoch == c.epoch {
			c.last++
		}
	}
	return f
}

func (h *history) op(seq park.Seq, c *fakeClient) machine.Op {
	op := machine.Op{Seq: seq}
	recent := func() park.Seq {
		return seq - min(seq, park.Seq(h.intn(8)))
	}
	kinds := 62
	if h.plain {
		kinds = 46
	}
	switch n := h.intn(kinds); {
	case n < 22:
		op.Do = machine.DoWait
		op.Wait = h.wait()
		op.Wait.Lineage = h.lineage(c.id)
	case n >= 46:
		op = h.ofOthers(c.id, seq, recent())
	case n >= 40:
		op = h.ofLeader(c.id, seq, recent())
	case n < 33:
		op.Do, op.To = machine.DoEnd, recent()
	case n < 35:
		op.Do, op.To, op.N = machine.DoRelease, recent(), int64(h.intn(3))
	case n < 37:
		op.Do, op.On, op.N = machine.DoResize, h.object(park.KindSemaphore), int64(1+h.intn(4))
	case n < 38:
		op.Do, op.On = machine.DoDescribe, h.object(h.kind())
	case n < 39:
		op.Do, op.N = machine.DoRefuse, int64(h.intn(2))
	default:
		op.Do = machine.DoNoop
		if h.intn(4) == 0 {
			op.Do = machine.DoLeave
		}
	}
	return op
}

func (h *history) object(kind park.Kind) park.Object {
	return park.Object{Kind: kind, Name: string(rune('a' + h.intn(3)))}
}

func (h *history) wait() machine.Wait {
	w := machine.Wait{Commit: park.Any, Try: h.intn(6) == 0}
	arms := 1
	if h.intn(4) == 0 {
		arms = 1 + h.intn(4)
		w.Commit = park.Commit(1 + h.intn(3))
	}
	for range arms {
		if (w.Commit != park.Every || h.intn(20) == 0) && h.atChannel() {
			w.Arms = append(w.Arms, h.chanArm())
			continue
		}
		if !h.plain && (w.Commit != park.Every && h.intn(4) == 0 || h.intn(50) == 0) {
			w.Arms = append(w.Arms, h.latchArm())
			continue
		}
		a := park.Arm{On: h.object(park.KindLock), N: 1}
		if n := h.intn(9); n < 2 {
			a = park.Arm{On: h.object(park.KindElection), N: 1, Value: h.value()}
			if h.intn(30) == 0 {
				a.N++
			}
		} else if n < 5 {
			a = park.Arm{On: h.object(park.KindSemaphore), N: int64(1 + h.intn(3)), Limit: 3}
			if h.intn(10) == 0 {
				a.Limit = int64(h.intn(4))
			}
		} else {
			a.Shared = h.intn(3) == 0
		}
		if h.intn(60) == 0 {
			a.On.Name = ""
		}
		if h.intn(60) == 0 {
			a.Value = h.value()
		}
		if h.intn(120) == 0 {
			a.On.Kind = []park.Kind{park.KindCond, park.KindMap}[h.intn(2)]
		}
		w.Arms = append(w.Arms, a)
	}
	if w.Commit == park.Every && h.intn(10) > 0 {
		slices.SortFunc(w.Arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
		w.Arms = slices.CompactFunc(w.Arms, func(a, b park.Arm) bool { return a.On == b.On })
	}
	if h.intn(4) == 0 {
		w.Note = fmt.Sprint("note ", h.intn(9))
	}
	if h.intn(2) == 0 {
		w.Trace = fmt.Sprint("trace ", h.intn(1000))
		if h.intn(100) == 0 {
			w.Trace = strings.Repeat("t", 65)
		}
	}
	if h.intn(8) == 0 {
		w.Prio = int32(h.intn(5)) - 2
	}
	if h.intn(6) == 0 {
		w.Limit = int64(h.intn(3000)) * ms
	}
	if h.intn(6) == 0 {
		w.Delay = int64(h.intn(5000)) * ms
		if h.intn(4) == 0 {
			w.Delay = int64(h.intn(90_000)) * ms
		}
	}
	return w
}

// value is a candidate's.
func (h *history) value() string {
	switch h.intn(40) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("v", 4097)
	}
	return fmt.Sprint("host-", h.intn(9), ":80")
}

// somebody is a session, mostly a live one.
func (h *history) somebody() park.SessionID {
	n := h.intn(len(h.clients) + len(h.callers))
	if n < len(h.clients) {
		return h.clients[n].id
	}
	return h.callers[n-len(h.clients)].id
}

// ofLeader is a proclamation or a transfer by a call of a session; where the model knows a
// leadership of it and somebody who waits for it, mostly about these.
func (h *history) ofLeader(s park.SessionID, seq, target park.Seq) machine.Op {
	op := machine.Op{Seq: seq, Do: machine.DoProclaim, To: target, Value: h.value()}
	if h.intn(3) > 0 {
		op.Do, op.Value, op.Heir = machine.DoTransfer, "", h.somebody()
	}
	var led []*modelCall
	for _, c := range h.model.calls {
		if c.s.id == s && c.state == held && slices.ContainsFunc(c.arms, isElection) {
			led = append(led, c)
		}
	}
	if len(led) == 0 || h.intn(4) == 0 {
		return op
	}
	c := led[h.intn(len(led))]
	op.To = c.seq
	i := slices.IndexFunc(c.arms, isElection)
	if q := h.model.queue(c.arms[i].On); len(q) > 0 && op.Do == machine.DoTransfer && h.intn(4) > 0 {
		op.Heir = q[h.intn(len(q))].s.id
	}
	return op
}

func isElection(a park.Arm) bool { return a.On.Kind == park.KindElection }

// list asks for objects from somewhere on.
func (h *history) list() machine.Command {
	l := &machine.List{Kind: h.kind() * park.Kind(h.intn(2)), Max: int64(h.intn(6))}
	if h.intn(2) == 0 {
		l.After = h.object(h.kind())
	}
	if h.intn(4) == 0 {
		l.Prefix = string(rune('a' + h.intn(3)))
	}
	if h.intn(4) == 0 {
		l.Max = 1000
	}
	return l
}
