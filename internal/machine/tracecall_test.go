package machine_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What traces know of sessions without a stream, of objects and of changes.

func (tr *trace) caller(w *words) (out []machine.Command) {
	for _, name := range spread(w.next()) {
		o := &words{tr.t, slices.Clone(w.rest)}
		tr.calling = append(tr.calling, &peer{name: name})
		out = append(out, &machine.Open{
			Secret: secretOf(name), TTL: o.duration(o.option("ttl", "10s")), Who: o.option("who", name),
		})
	}
	return out
}

// calls is one, or many whose ids count: n*3 stands for n1, n2 and n3.
func (tr *trace) calls(w *words) (out []machine.Command) {
	for _, id := range spread(w.rest[1]) {
		one := &words{tr.t, slices.Clone(w.rest)}
		one.rest[1] = id
		out = append(out, tr.call(one))
	}
	return out
}

func (tr *trace) call(w *words) machine.Command {
	name := w.next()
	c := &machine.Call{Session: tr.named(name)[0].id, Secret: secretOf(w.option("secret", name))}
	if w.flag("leave") {
		c.Op.Do = machine.DoLeave
		return c
	}
	if c.Request = w.next(); c.Request == "-" {
		c.Request = ""
	}
	if w.flag("end") {
		c.Op.Do = machine.DoEnd
		return c
	}
	c.Op = tr.op(w, func() park.Seq {
		c.Target = w.next()
		return 0
	})
	return c
}

func kinds() map[string]park.Kind {
	return map[string]park.Kind{
		"lock": park.KindLock, "semaphore": park.KindSemaphore, "election": park.KindElection,
		"waitgroup": park.KindWaitGroup, "once": park.KindOnce,
		"cond": park.KindCond, "map": park.KindMap, "chan": park.KindChan,
	}
}

func (w *words) object() park.Object {
	kind, ok := kinds()[w.next()]
	if !ok {
		w.t.Fatal("no kind of object")
	}
	return park.Object{Kind: kind, Name: w.next()}
}

func (w *words) list() machine.Command {
	l := &machine.List{Prefix: w.option("prefix", ""), Max: w.number(w.option("max", "100"))}
	if kind, name, ok := strings.Cut(w.option("after", ""), ":"); ok {
		l.After = park.Object{Kind: kinds()[kind], Name: name}
	}
	if len(w.rest) > 0 {
		l.Kind = kinds()[w.next()]
	}
	return l
}

// openedUnary prints the result of an Open, and learns the session that a name stands for.
func (tr *trace) openedUnary(r machine.Opened) string {
	p := tr.calling[0]
	tr.calling = tr.calling[1:]
	if r.Refusal != 0 {
		return fmt.Sprintf("%s open refused: %s", p.name, refusalName(r.Refusal))
	}
	p.id = r.Session
	tr.peers[p.name], tr.byID[p.id] = p, p
	return p.name + " opened"
}

// called prints the result of a Call; "" if its answer is an event.
func (tr *trace) called(c *machine.Call, r machine.Called) string {
	who := tr.name(c.Session) + "/" + c.Request
	switch {
	case r.Refusal != 0:
		return fmt.Sprintf("%s refused: %s", who, refusalName(r.Refusal))
	case c.Op.Do == machine.DoEnd:
		return fmt.Sprintf("%s end: %s", who, codeName(r.Code))
	case c.Op.Do == machine.DoLeave:
		return fmt.Sprintf("%s leave: %s", tr.name(c.Session), codeName(r.Code))
	}
	return ""
}

func kindName(k park.Kind) string {
	return [...]string{"", "lock", "semaphore", "election", "waitgroup", "once", "cond", "map", "chan"}[k]
}

func (tr *trace) described(c *machine.Describe, d *machine.Description) string {
	if d.Empty() {
		return fmt.Sprintf("%s %s at revision %d: nothing", kindName(c.On.Kind), c.On.Name, d.Revision)
	}
	return fmt.Sprintf("%s %s at revision %d%s", kindName(d.On.Kind), d.On.Name, d.Revision, tr.description(d))
}

func (tr *trace) listed(l machine.ObjectList) (out []string) {
	for _, s := range l.Objects {
		line := fmt.Sprintf("%s %s: %d hold", kindName(s.On.Kind), s.On.Name, s.Holders)
		if s.Holder != nil {
			line += ", first " + tr.party(*s.Holder)
		}
		line += fmt.Sprintf("; %d wait", s.Waiting)
		if s.On.Kind == park.KindChan {
			line += "; " + chanText(s.Traits)
		} else if s.Traits.Limit != 0 {
			line += fmt.Sprintf("; %d of %d permits", s.Traits.Held, s.Traits.Limit)
		}
		if isLatch(s.On.Kind) {
			line += "; " + latchText(s.On, s.Traits)
		}
		if s.On.Kind == park.KindMap {
			line += "; " + mapTraits(s.Traits)
		}
		out = append(out, line)
	}
	if l.More {
		out = append(out, "and more")
	}
	return out
}

// printChanges prints those of the last entry.
func (tr *trace) printChanges() string {
	var b strings.Builder
	for _, c := range tr.changes {
		fmt.Fprintf(&b, "  %d at %v: %s %s", c.Revision, time.Duration(c.Clock), kindName(c.On.Kind), c.On.Name)
		if c.Type == machine.ChangeResized {
			fmt.Fprintf(&b, " resized to %d by %s/%d (%s)\n", c.N, tr.name(c.ID.Session), c.ID.Seq, c.Who)
			continue
		}
		b.WriteString(" " + [...]string{"", "granted to", "ended by", "delayed after", "proclaimed by",
			6: "stored by", 7: "deleted by", 8: "closed by", 9: "cut by the end of", 10: "removed by"}[c.Type])
		fmt.Fprintf(&b, " %s/%d (%s)%s\n", tr.name(c.ID.Session), c.ID.Seq, c.Who, changeText(c))
	}
	if b.Len() == 0 {
		return "  none\n"
	}
	return b.String()
}

func changeText(c machine.Change) string {
	var b strings.Builder
	if c.Shared {
		b.WriteString(", shared")
	}
	if c.N > 1 {
		fmt.Fprintf(&b, ", %d permits", c.N)
	}
	if c.Token != 0 {
		fmt.Fprintf(&b, ", token %d", c.Token)
	}
	for _, s := range []struct{ what, text string }{{"key", c.Key}, {"value", c.Value}, {"note", c.Note}, {"trace", c.Trace}} {
		if s.text != "" {
			fmt.Fprintf(&b, ", %s %q", s.what, s.text)
		}
	}
	if c.Waited != 0 {
		fmt.Fprintf(&b, ", waited %v", time.Duration(c.Waited))
	}
	if c.Ending != 0 {
		fmt.Fprintf(&b, ", held %v: %s", time.Duration(c.Held), [...]string{
			"", "released", "expired", "replaced", "revoked", "left", "transferred", "delay over",
			"acknowledged", "completed",
		}[c.Ending])
	}
	return b.String()
}
