package machine_test

import (
	"fmt"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/table"
)

// What the histories' fake clients ask of conds and maps, and what they delete.

// kind is any kind that there is.
func (h *history) kind() park.Kind { return park.Kind(1 + h.intn(int(park.KindChan))) }

// ofOthers is an op of the kinds that a plain history has none of.
func (h *history) ofOthers(s park.SessionID, seq, target park.Seq) machine.Op {
	switch n := h.intn(8); {
	case h.atChannel() && n < 6:
		return h.ofChannel(s, seq, target)
	case n < 4:
		return h.ofLatch(s, seq, target)
	}
	return h.ofCond(s, seq, target)
}

// ofCond is an op about a cond, a map, or a name to be forgotten.
func (h *history) ofCond(s park.SessionID, seq, target park.Seq) machine.Op {
	switch n := h.intn(20); {
	case n < 7:
		return h.await(s, seq, target)
	case n < 11:
		return h.signal(seq)
	case n < 18:
		return machine.Op{Seq: seq, Do: machine.DoTable, On: h.mapName(), Table: h.tableOp()}
	default:
		kinds := []park.Kind{park.KindMap, park.KindSemaphore, park.KindMap, park.KindSemaphore, park.KindLock, park.KindElection, park.KindCond}
		on := h.object(kinds[h.intn(len(kinds))])
		if on.Kind == park.KindCond {
			on = h.awaited()
		}
		return machine.Op{Seq: seq, Do: machine.DoDelete, On: on}
	}
}

// await is about a lock that the model knows a session holds, if there is one.
func (h *history) await(s park.SessionID, seq, target park.Seq) machine.Op {
	lock := h.object(park.KindLock).Name
	for _, c := range h.model.calls {
		if c.s.id == s && c.state == held && len(c.arms) == 1 && c.arms[0].On.Kind == park.KindLock && h.intn(8) > 0 {
			target, lock = c.seq, c.arms[0].On.Name
		}
	}
	op := machine.Op{Seq: seq, Do: machine.DoAwait, To: target, Wait: machine.Wait{
		Commit: park.Any, Prio: []int32{0, 0, 0, 0, 0, 2, -1}[h.intn(7)],
		Arms: []park.Arm{{On: h.object(park.KindCond), N: 1, Value: lock}},
	}}
	w := &op.Wait
	w.Lineage = h.lineage(s)
	if h.intn(2) == 0 {
		w.Trace, w.Note = fmt.Sprint("trace ", h.intn(1000)), "cond"
	}
	if h.intn(3) == 0 {
		w.Limit = int64(h.intn(2000)) * ms
	}
	if h.intn(6) == 0 {
		w.Delay = int64(h.intn(5000)) * ms
	}
	switch h.intn(90) {
	case 0:
		w.Arms[0].N = 2
	case 1:
		w.Arms[0].Shared = true
	case 2:
		w.Arms[0].On.Name = ""
	case 3:
		w.Arms[0].Value = ""
	case 4:
		w.Arms = append(w.Arms, w.Arms[0])
	case 5:
		w.Arms = append(w.Arms, park.Arm{On: h.object(park.KindLock), N: 1})
	case 6:
		w.Commit = park.Every
	case 7:
		w.Try = true
	case 8:
		w.Trace = strings.Repeat("t", 65)
	case 9:
		w.Arms[0].On.Kind = park.KindLock
	case 10:
		w.Arms = nil
	}
	return op
}

// awaited is a cond, mostly one that somebody waits on if there is one.
func (h *history) awaited() park.Object {
	on := h.object(park.KindCond)
	for range 4 {
		if len(h.model.queue(on)) > 0 {
			break
		}
		on = h.object(park.KindCond)
	}
	return on
}

func (h *history) signal(seq park.Seq) machine.Op {
	op := machine.Op{Seq: seq, Do: machine.DoSignal, On: h.awaited(), N: []int64{1, 1, 1, 1, 1, 100, 100, 2}[h.intn(8)]}
	switch h.intn(40) {
	case 0:
		op.N = -int64(h.intn(2))
	case 1:
		op.On.Name = ""
	case 2:
		op.On.Kind = park.KindLock
	}
	return op
}

// mapName is one of three maps, mostly the first, or hardly ever no map.
func (h *history) mapName() park.Object {
	on := h.object(park.KindMap)
	if h.intn(2) == 0 {
		on.Name = "a"
	}
	switch h.intn(60) {
	case 0:
		on.Name = ""
	case 1:
		on.Kind = park.KindLock
	}
	return on
}

func (h *history) tableOp() *table.Op {
	values := []string{"", "v", "w", "v\x00", "\xff"}
	keys := []string{"k", "k", "k", "k", "kk", "l", "\x00", "\xff"} // so that it is mostly there
	op := &table.Op{Verb: table.Verb(1 + h.intn(10))}
	if h.intn(4) == 0 {
		op.Verb = table.Store
	}
	if op.Verb == table.Clear && h.intn(2) == 0 {
		op.Verb = table.Range
	}
	if op.Verb != table.Clear && op.Verb != table.Range {
		op.Key = keys[h.intn(len(keys))]
		op.Value, op.Old = values[h.intn(len(values))], values[h.intn(len(values))]
	}
	if h.intn(6) == 0 {
		op.Codec = []string{"json", "json", "gob"}[h.intn(3)]
	}
	switch h.intn(120) {
	case 0:
		op.Key = ""
	case 1:
		op.Key = strings.Repeat("k", 1025)
	case 2:
		op.Value = strings.Repeat("v", 65537)
	case 3:
		op.Verb = table.Verb(11 + h.intn(2)*244)
	case 4:
		op.Verb = 0
	case 5:
		op.Codec = strings.Repeat("c", 65)
	}
	return op
}

// read reads a map without a session.
func (h *history) read() machine.Command {
	r := &machine.Read{On: h.mapName(), Op: *h.tableOp()}
	if h.intn(8) > 0 {
		r.Op.Verb = []table.Verb{table.Load, table.Range}[h.intn(2)]
	}
	return r
}

// drama is several sessions that wait on one cond and are signalled while the lock is held,
// and then some that end what they wait for: a Signal must find who is left.
func (h *history) drama() (out []machine.Command) {
	on := park.Object{Kind: park.KindCond, Name: "d"}
	lock := machine.Wait{Commit: park.Any, Arms: []park.Arm{{On: park.Object{Kind: park.KindLock, Name: "d"}, N: 1}}}
	said := func(c *fakeClient, ops ...machine.Op) {
		for i := range ops {
			c.last++
			ops[i].Seq = c.last
		}
		out = append(out, &machine.Frame{Session: c.id, Epoch: c.epoch, Ops: ops})
	}
	var waiting []*fakeClient
	for range 2 + h.intn(4) {
		c := h.clients[h.intn(len(h.clients))]
		w := machine.Wait{Commit: park.First, Arms: []park.Arm{{On: on, N: 1, Value: "d"}}}
		if w.Lineage = h.lineage(c.id); h.intn(3) == 0 {
			w.Limit = int64(h.intn(300)) * ms
		}
		said(c, machine.Op{Do: machine.DoWait, Wait: lock}, machine.Op{Do: machine.DoAwait, To: c.last + 1, Wait: w})
		waiting = append(waiting, c)
	}
	holder := h.clients[h.intn(len(h.clients))]
	said(holder, machine.Op{Do: machine.DoWait, Wait: lock})
	if h.intn(2) == 0 { // it waits on with the lock in its hands, for what the others may hold
		w := h.wait()
		w.Lineage = &park.Lineage{Holds: []park.Named{{ID: park.ID{Session: holder.id, Seq: holder.last}}}}
		said(holder, machine.Op{Do: machine.DoWait, Wait: w})
	}
	for range 1 + h.intn(2) {
		said(h.clients[h.intn(len(h.clients))], machine.Op{Do: machine.DoSignal, On: on, N: []int64{1, 1, 1, 3}[h.intn(4)]})
	}
	for _, c := range waiting {
		switch h.intn(6) {
		case 0, 1:
			said(c, machine.Op{Do: machine.DoEnd, To: c.last - min(c.last, park.Seq(h.intn(3)))})
		case 2:
			if a := h.takeUp(c); a != nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// What a run of random histories must have seen of conds, maps and deletions.
var mustSeeConds = []string{
	"a cond in a select refused", "await without a hold", "await refused", "await not admitted", "awaited",
	"await with a lock that had a lock-delay", "unary await",
	"signalled", "signalled nobody", "unary signalled", "signal refused", "broadcast to several",
	"signalled, and others wait on", "woken with a priority", "granted after a signal", "granted after a broadcast",
	"a Signal passed on after a cancel", "a Signal passed on after a limit", "a Signal passed on after an attach",
	"a Signal passed on after its session's end", "a Signal passed on within its session",
	"a Signal passed on twice", "a Signal lost, nobody waits",
	"deadlock by a signal",
	"a broadcast lost by a cancel", "a broadcast lost by a limit", "a broadcast lost by its session's end",
	"not signalled, ended by a cancel", "not signalled, ended by a limit", "not signalled, ended by its session's end",
	"map refused", "ranged over several", "cleared several", "unary range",
	"map verb 1, there true", "map verb 1, there false", "map verb 2, there true", "map verb 2, there false",
	"map verb 3, there true", "map verb 3, there false", "map verb 4, there true", "map verb 4, there false",
	"map verb 5, there true", "map verb 5, there false", "map verb 6, there true", "map verb 6, there false",
	"map verb 7, there true", "map verb 7, there false", "map verb 8, there true", "map verb 8, there false",
	"read code 2", "read code 5", "read code 6", "a map's value again",
	"delete of kind 7 code 2", "delete of kind 7 code 9", "delete of kind 2 code 2", "delete of kind 2 code 3",
	"delete of kind 2 code 9", "delete of kind 2 waited for", "delete of kind 1 code 5", "delete of kind 3 code 5",
	"delete of kind 6 code 5", "delete of kind 6 waited for",
	"change 6", "change 7", "change 10", "described kind 6", "described kind 7",
}
