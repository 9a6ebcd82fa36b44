package machine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// restored returns the machine that comes out of m's snapshot.
func restored(t testing.TB, m *machine.Machine) *machine.Machine {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again, err := machine.Restore(&b)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != m.Hash() {
		t.Fatalf("the restored machine has the hash %#x, the original %#x", again.Hash(), m.Hash())
	}
	if err := again.Check(); err != nil {
		t.Fatalf("restored: %v", err)
	}
	return again
}

// An entry with more answers than this has them counted by kind.
const manyAnswers = 40

// print prints what an entry answered: the results of commands, then the events.
func (tr *trace) print(commands []machine.Command, results []any, events []machine.Event) string {
	var out []string
	for i, r := range results {
		switch r := r.(type) {
		case []machine.Renewal:
			for j, a := range r {
				out = append(out, fmt.Sprintf("%s renewal: %s", tr.name(commands[i].(*machine.Renew).Sessions[j]),
					[...]string{"", "renewed", "over", "revoked"}[a]))
			}
		case park.Code:
			out = append(out, fmt.Sprintf("%s: %s", verbOf(commands[i]), codeName(r)))
		case machine.SessionList:
			for _, s := range r.Sessions {
				out = append(out, tr.info(s))
			}
		case machine.Opened:
			out = append(out, tr.openedUnary(r))
		case machine.Called:
			if s := tr.called(commands[i].(*machine.Call), r); s != "" {
				out = append(out, s)
			}
		case *machine.Description:
			out = append(out, tr.described(commands[i].(*machine.Describe), r))
		case machine.ReadResult:
			out = append(out, readText(r))
		case machine.ObjectList:
			out = append(out, tr.listed(r)...)
		}
	}
	for _, e := range events {
		out = append(out, tr.event(e))
	}
	if len(out) > manyAnswers {
		out = counted(out)
	}
	var b strings.Builder
	for _, s := range out {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(s, "\n", "\n    "))
	}
	return b.String()
}

// counted replaces lines that differ only in who they are about by their number, the
// first and the last of them.
func counted(lines []string) (out []string) {
	var kinds []string
	of := map[string][]string{}
	for _, l := range lines {
		who, what, _ := strings.Cut(l, " ")
		if _, call, ok := strings.Cut(who, "/"); ok {
			if call[0] > '9' {
				call = strings.TrimRight(call, "0123456789") // a request: its ids count
			}
			what = call + " " + what
		}
		if of[what] == nil {
			kinds = append(kinds, what)
		}
		of[what] = append(of[what], who)
	}
	for _, what := range kinds {
		who := of[what]
		out = append(out, fmt.Sprintf("%d of them, %s to %s: %s", len(who), who[0], who[len(who)-1], what))
	}
	return out
}

func verbOf(c machine.Command) string {
	switch c.(type) {
	case *machine.Revoke:
		return "revoke"
	case *machine.Bootstrap:
		return "bootstrap"
	}
	return fmt.Sprintf("%T", c)
}

func codeName(c park.Code) string {
	names := [...]string{
		"none", "granted", "done", "busy", "over", "invalid", "mismatch", "limit", "full",
		"not found", "timed out", "recalled", "revoked", "ended", "closed", "cut short", "deadlock",
	}
	return names[c]
}

func refusalName(r machine.Refusal) string {
	names := [...]string{
		"none", "over", "not yours", "old epoch", "gap", "invalid", "limit", "revoked", "unready",
	}
	return names[r]
}

func (tr *trace) name(id park.SessionID) string {
	if p := tr.byID[id]; p != nil {
		return p.name
	}
	return id.String()
}

func (tr *trace) event(e machine.Event) string {
	switch e.Type {
	case machine.EventAttached:
		return tr.attached(e)
	case machine.EventRefused:
		if e.Session != 0 {
			return fmt.Sprintf("%s attach refused: %s", tr.name(e.Session), refusalName(e.Refusal))
		}
		p := tr.opening[0]
		tr.opening = tr.opening[1:]
		return fmt.Sprintf("%s open refused: %s", p.name, refusalName(e.Refusal))
	case machine.EventCut:
		return fmt.Sprintf("%s cut, epoch %d: %s", tr.name(e.Session), e.Epoch, refusalName(e.Refusal))
	case machine.EventEnded:
		return fmt.Sprintf("%s ended: %s", tr.name(e.Session), refusalName(e.Refusal))
	}
	var b strings.Builder
	call := fmt.Sprint(e.Seq)
	if e.Request != "" {
		call = e.Request
	}
	fmt.Fprintf(&b, "%s/%s %s", tr.name(e.Session), call, codeName(e.Code))
	if e.Token != 0 {
		fmt.Fprintf(&b, ", token %d", e.Token)
	}
	if e.Arm != 0 {
		fmt.Fprintf(&b, ", arm %d", e.Arm)
	}
	if e.Value != 0 {
		fmt.Fprintf(&b, " (%d)", e.Value)
	}
	b.WriteString(dataText(e.Data) + printedEntries(e.Entries))
	if e.Waited != "" {
		fmt.Fprintf(&b, ", waited for %q", e.Waited)
	}
	if e.Description != nil {
		b.WriteString(tr.description(e.Description))
	}
	for _, c := range e.Cycle {
		b.WriteString("\n" + tr.cycleWait(c))
	}
	return b.String()
}

func (tr *trace) cycleWait(c machine.CycleWait) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d (%s)", tr.name(c.ID.Session), c.ID.Seq, c.Who)
	if c.Note != "" {
		fmt.Fprintf(&b, " %q", c.Note)
	}
	ref := func(what string, r machine.Ref) {
		fmt.Fprintf(&b, "%s %s %s", what, kindName(r.On.Kind), r.On.Name)
		if r.Site != "" {
			fmt.Fprintf(&b, " at %s", r.Site)
		}
	}
	for i, r := range c.Holds {
		ref([...]string{" holds", ","}[min(i, 1)], r)
	}
	ref(" wants", c.Wants)
	if c.Skipped > 0 {
		fmt.Fprintf(&b, ", and %d more", c.Skipped)
	}
	return b.String()
}

func (tr *trace) attached(e machine.Event) string {
	if p := tr.byID[e.Session]; p != nil {
		p.epoch = e.Epoch
		return fmt.Sprintf("%s attached, epoch %d: last %d", p.name, e.Epoch, e.Last)
	}
	p := tr.opening[0]
	tr.opening = tr.opening[1:]
	p.id = e.Session
	tr.peers[p.name], tr.byID[p.id] = p, p
	var b strings.Builder
	fmt.Fprintf(&b, "%s opened", p.name)
	switch {
	case e.ReplacedGone:
		b.WriteString(": the replaced one is gone")
	case e.ReplacedLast != 0:
		fmt.Fprintf(&b, ": the replaced one's last %d", e.ReplacedLast)
	}
	for _, o := range e.Replaced {
		fmt.Fprintf(&b, ", %d %s", o.Seq, codeName(o.Code))
		if o.Value != 0 {
			fmt.Fprintf(&b, " (%d)", o.Value)
		}
		b.WriteString(dataText(o.Data))
	}
	return b.String()
}

func (tr *trace) description(d *machine.Description) string {
	var b strings.Builder
	if d.On.Kind == park.KindChan && d.Stored {
		b.WriteString("\n" + chanText(d.Traits))
	} else if d.Limit != 0 {
		fmt.Fprintf(&b, "\n%d of %d permits held", d.Held, d.Limit)
	}
	if isLatch(d.On.Kind) && d.Stored {
		b.WriteString("\n" + latchText(d.On, d.Traits))
	}
	if d.Stored && d.On.Kind == park.KindMap {
		b.WriteString("\n" + mapTraits(d.Traits))
	}
	for _, p := range d.Holders {
		fmt.Fprintf(&b, "\nheld by %s", tr.party(p))
	}
	for _, p := range d.Waiters {
		fmt.Fprintf(&b, "\nwaiting: %s", tr.party(p))
	}
	fmt.Fprintf(&b, "\n%d waiting", d.Waiting)
	return b.String()
}

func (tr *trace) party(p machine.Party) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", tr.name(p.Session), p.Who)
	if p.Note != "" {
		fmt.Fprintf(&b, " %q", p.Note)
	}
	if p.Value != "" {
		fmt.Fprintf(&b, ", value %q", p.Value)
	}
	if p.Trace != "" {
		fmt.Fprintf(&b, ", trace %q", p.Trace)
	}
	if p.Shared {
		b.WriteString(", shared")
	}
	if p.N != 1 {
		fmt.Fprintf(&b, ", %d permits", p.N)
	}
	if p.Token != 0 {
		fmt.Fprintf(&b, ", token %d", p.Token)
	}
	if p.Prio != 0 {
		fmt.Fprintf(&b, ", prio %d", p.Prio)
	}
	fmt.Fprintf(&b, ", for %v", time.Duration(p.For))
	if p.Delayed != 0 {
		fmt.Fprintf(&b, ", lock-delay %v", time.Duration(p.Delayed))
	}
	return b.String()
}

func (tr *trace) info(s machine.SessionInfo) string {
	revoked := ""
	if s.Revoked {
		revoked = ", revoked"
	}
	return fmt.Sprintf("%s session (%s): ttl %v, %v left, %d holds, %d waits%s", tr.name(s.ID), s.Who,
		time.Duration(s.TTL), time.Duration(s.Remaining), s.Holds, s.Waits, revoked)
}
