package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
)

// What describe shows.

type describedView struct {
	Kind     string       `json:"kind"`
	Name     string       `json:"name"`
	Index    string       `json:"index"`
	Revision string       `json:"revision"`
	Limit    int64        `json:"limit,omitempty"` // of a semaphore; a channel's capacity
	Held     int64        `json:"held,omitempty"`  // permits, elements, entries; what a wait group counts
	Unacked  int64        `json:"unacknowledged,omitempty"`
	Bytes    int64        `json:"bytes,omitempty"`
	Codec    string       `json:"codec,omitempty"`
	State    string       `json:"state,omitempty"`
	Holders  []*partyView `json:"holders"`
	Waiters  []*partyView `json:"waiters"` // in order, at most 100
	Waiting  int64        `json:"waiting"` // all of them
	Past     []pastView   `json:"past,omitempty"`
}

type pastView struct {
	Session  string            `json:"session_id"`
	Name     string            `json:"name,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Note     string            `json:"note,omitempty"`
	Value    string            `json:"value,omitempty"`
	Token    string            `json:"token,omitempty"`
	Shared   bool              `json:"shared,omitempty"`
	Count    int64             `json:"count"`
	Held     string            `json:"held"`
	Reason   string            `json:"reason"`
	Ended    time.Time         `json:"ended"`
	Revision string            `json:"revision"`
}

func describedOf(d *coordv1.Description, past []*coordv1.PastHold) describedView {
	v := describedView{
		Kind: kindWord(d.GetKind()), Name: d.GetName(),
		Index:    strconv.FormatUint(d.GetIndex(), 10),
		Revision: strconv.FormatUint(d.GetRevision(), 10),
		Limit:    d.GetLimit(), Held: d.GetHeld(), Unacked: d.GetUnacknowledged(),
		Bytes: d.GetBytes(), Codec: d.GetCodec(), State: stateWord(d.GetState()),
		Holders: partyViews(d.GetHolders()), Waiters: partyViews(d.GetWaiters()), Waiting: d.GetWaiting(),
	}
	for _, p := range past {
		v.Past = append(v.Past, pastView{
			Session:  formatSessionID(p.GetSessionId()),
			Name:     p.GetWho().GetName(),
			Metadata: p.GetWho().GetMetadata(),
			Note:     p.GetNote(),
			Value:    p.GetValue(),
			Token:    number(p.GetToken()),
			Shared:   p.GetShared(),
			Count:    p.GetCount(),
			Held:     millis(p.GetHeld().AsDuration()),
			Reason:   enum(p.GetEndReason().String(), "END_REASON_"),
			Ended:    p.GetEnded().AsTime(),
			Revision: strconv.FormatUint(p.GetRevision(), 10),
		})
	}
	return v
}

// describe writes who holds and who waits, for people.
func (d *describing) describe(b *bytes.Buffer, desc *coordv1.Description) {
	fmt.Fprintf(b, "%s %s: %s\n", kindWord(desc.GetKind()), wholly(desc.GetName()), state(desc))
	if d.stale {
		fmt.Fprintf(b, "as one node had it at log index %d\n", desc.GetIndex())
	}
	semaphore := desc.GetKind() == coordv1.Kind_KIND_SEMAPHORE
	if len(desc.GetHolders()) > 0 {
		t := &columns{w: b}
		t.row("HOLDER", "HELD", "TOKEN", "MODE", "PERMITS", "RENEWED", "LEASE LEFT", "LOCK-DELAY", "VALUE", "NOTE", "SESSION", "TRACE")
		for _, p := range desc.GetHolders() {
			t.row(d.holderRow(p, semaphore)...)
		}
		d.section(b, t)
	}
	if len(desc.GetWaiters()) > 0 {
		t := &columns{w: b}
		t.row("NEXT", "WAITER", "TO", "WAITED", "PRIORITY", "MODE", "PERMITS", "LEASE LEFT", "VALUE", "NOTE", "SESSION", "TRACE")
		for i, p := range desc.GetWaiters() {
			t.row(d.waiterRow(i, p, semaphore)...)
		}
		d.section(b, t)
	}
	if more := desc.GetWaiting() - int64(len(desc.GetWaiters())); more > 0 {
		fmt.Fprintf(b, "and %d more\n", more)
	}
}

// section writes a table below what there is, without its empty columns.
func (d *describing) section(b *bytes.Buffer, t *columns) {
	b.WriteByte('\n')
	t.dropEmpty()
	_ = t.flush() // to memory
}

func (d *describing) holderRow(p *coordv1.Party, semaphore bool) []string {
	renewed, left, delay := short(p.GetRenewed().AsDuration())+" ago", short(leaseLeft(p)), "-"
	if p.GetDelayed() != nil {
		left, delay = "gone", short(p.GetDelayed().AsDuration())+" left"
	}
	return []string{
		d.clip(who(p)), short(p.GetFor().AsDuration()), cmp.Or(number(p.GetToken()), "-"), mode(p.GetShared()),
		permits(p.GetCount(), semaphore), renewed, left, delay,
		d.clip(p.GetValue()), d.clip(p.GetNote()), formatSessionID(p.GetSessionId()), dash(p.GetTraceId()),
	}
}

func (d *describing) waiterRow(i int, p *coordv1.Party, semaphore bool) []string {
	priority := "-"
	if n := p.GetPriority(); n != 0 {
		priority = strconv.Itoa(int(n))
	}
	return []string{
		strconv.Itoa(i + 1), d.clip(who(p)), side(p.GetSide()), short(p.GetFor().AsDuration()), priority, mode(p.GetShared()),
		permits(p.GetCount(), semaphore), short(leaseLeft(p)),
		d.clip(p.GetValue()), d.clip(p.GetNote()), formatSessionID(p.GetSessionId()), dash(p.GetTraceId()),
	}
}

// side is what somebody waits to do where there are two things.
func side(s coordv1.Side) string {
	switch s {
	case coordv1.Side_SIDE_SEND:
		return "send"
	case coordv1.Side_SIDE_RECEIVE:
		return "receive"
	default:
		return "-"
	}
}

func mode(shared bool) string {
	if shared {
		return "shared"
	}
	return "-"
}

func permits(n int64, semaphore bool) string {
	if !semaphore {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// describePast writes how the last holds ended.
func (d *describing) describePast(b *bytes.Buffer, past []*coordv1.PastHold) {
	if len(past) == 0 && !hasHolds(d.of.kind) {
		return
	}
	if len(past) == 0 {
		b.WriteString("\nno hold that ended is remembered\n")
		return
	}
	t := &columns{w: b}
	t.row("ENDED", "HAD IT", "HELD", "TOKEN", "MODE", "PERMITS", "HOW", "VALUE", "NOTE")
	for _, p := range past {
		how, why := ended(d.of.kind, p.GetEndReason())
		if why != "" {
			how += ": " + why
		}
		t.row(clockTime(p.GetEnded().AsTime()), d.clip(whoIs(p.GetSessionId(), p.GetWho(), p.GetNote())),
			short(p.GetHeld().AsDuration()), cmp.Or(number(p.GetToken()), "-"), mode(p.GetShared()),
			permits(p.GetCount(), d.of.kind == coordv1.Kind_KIND_SEMAPHORE), how, d.clip(p.GetValue()), d.clip(p.GetNote()))
	}
	d.section(b, t)
}

// clockTime is when something was, for people who look at it today.
func clockTime(t time.Time) string {
	t = t.Local()
	if time.Since(t) < 20*time.Hour {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}
