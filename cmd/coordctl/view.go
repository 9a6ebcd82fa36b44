package main

import (
	"cmp"
	"strconv"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
)

// What -o json says of objects. Ids, tokens, indexes and revisions are strings, so that no
// tool rounds them; durations are Go's.

type partyView struct {
	Session  string            `json:"session_id"`
	Name     string            `json:"name,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Note     string            `json:"note,omitempty"`
	Value    string            `json:"value,omitempty"`
	Token    string            `json:"token,omitempty"`
	Shared   bool              `json:"shared,omitempty"`
	Count    int64             `json:"count"`
	For      string            `json:"for"`
	Priority int32             `json:"priority,omitempty"`
	Renewed  string            `json:"renewed_ago"`
	TTL      string            `json:"ttl"`
	Left     string            `json:"lease_left"`
	Delayed  string            `json:"lock_delay_left,omitempty"` // its session is over
	TraceID  string            `json:"trace_id,omitempty"`
}

func partyViewOf(p *coordv1.Party) *partyView {
	if p == nil {
		return nil
	}
	v := &partyView{
		Session:  formatSessionID(p.GetSessionId()),
		Name:     p.GetWho().GetName(),
		Metadata: p.GetWho().GetMetadata(),
		Note:     p.GetNote(),
		Value:    p.GetValue(),
		Token:    number(p.GetToken()),
		Shared:   p.GetShared(),
		Count:    p.GetCount(),
		For:      millis(p.GetFor().AsDuration()),
		Priority: p.GetPriority(),
		Renewed:  millis(p.GetRenewed().AsDuration()),
		TTL:      p.GetTtl().AsDuration().String(),
		Left:     millis(leaseLeft(p)),
		TraceID:  p.GetTraceId(),
	}
	if p.GetDelayed() != nil {
		v.Delayed, v.Left = millis(p.GetDelayed().AsDuration()), "0s"
	}
	return v
}

func partyViews(parties []*coordv1.Party) []*partyView {
	out := make([]*partyView, len(parties))
	for i, p := range parties {
		out[i] = partyViewOf(p)
	}
	return out
}

// number is "" for 0, which is none.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func millis(d time.Duration) string { return d.Round(time.Millisecond).String() }

// leaseLeft is how long a party's session lives yet, unless it is renewed.
func leaseLeft(p *coordv1.Party) time.Duration {
	return max(0, p.GetTtl().AsDuration()-p.GetRenewed().AsDuration())
}

// who names a party as the client's errors do: host-a pid 812 (billing).
func who(p *coordv1.Party) string { return whoIs(p.GetSessionId(), p.GetWho(), p.GetNote()) }

func whoIs(session uint64, w *coordv1.Who, note string) string {
	return clean(client.Holder{
		Session: client.SessionID(formatSessionID(session)), Name: w.GetName(), Metadata: w.GetMetadata(), Note: note,
	}.String())
}

type objectView struct {
	Kind    string     `json:"kind"`
	Name    string     `json:"name"`
	Holder  *partyView `json:"holder,omitempty"` // one of them
	Holders int64      `json:"holders"`          // 100 are 100 or more
	Waiting int64      `json:"waiting"`
	Limit   int64      `json:"limit,omitempty"`
	Held    int64      `json:"held,omitempty"`
	State   string     `json:"state,omitempty"`
}

func objectViewOf(o *coordv1.ObjectSummary) *objectView {
	return &objectView{
		Kind: kindWord(o.GetKind()), Name: o.GetName(), Holder: partyViewOf(o.GetHolder()),
		Holders: o.GetHolders(), Waiting: o.GetWaiting(), Limit: o.GetLimit(), Held: o.GetHeld(),
		State: stateWord(o.GetState()),
	}
}

// summaryOf is a description as a list has it.
func summaryOf(d *coordv1.Description) *coordv1.ObjectSummary {
	o := &coordv1.ObjectSummary{
		Kind: d.GetKind(), Name: d.GetName(), Holders: int64(len(d.GetHolders())),
		Waiting: d.GetWaiting(), Limit: d.GetLimit(), Held: d.GetHeld(), State: d.GetState(),
	}
	if o.Holders > 0 {
		o.Holder = d.GetHolders()[0]
	}
	return o
}

// An objectTable is objects in rows.
type objectTable struct {
	columns
	app   *app
	kinds bool // of several
	limit bool // some may be semaphores
	has   bool // some may be of a kind that has something in it
}

func (a *app) objectTable(of []topic) *objectTable {
	t := &objectTable{app: a, columns: columns{w: a.stdout}, kinds: len(of) > 1}
	for _, o := range of {
		t.limit = t.limit || o.kind == coordv1.Kind_KIND_SEMAPHORE
		t.has = t.has || !hadInTurn(o.kind)
	}
	return t
}

// head is the first row.
func (t *objectTable) head() {
	t.object("KIND", "NAME", "HOLDER", "HELD", "WAITING", "PERMITS", "HAS", []string{"SESSION", "TOKEN", "TTL", "RENEWED", "VALUE", "NOTE"})
}

// object puts the cells of a row in their order, less those that this table does not have.
func (t *objectTable) object(kind, name, holder, held, waiting, permits, has string, wide []string) {
	cells := []string{name, holder, held, waiting}
	if t.kinds {
		cells = append([]string{kind}, cells...)
	}
	if t.limit {
		cells = append(cells, permits)
	}
	if t.has {
		cells = append(cells, has)
	}
	if t.app.output == asWide {
		cells = append(cells, wide...)
	}
	t.row(cells...)
}

func (t *objectTable) add(o *coordv1.ObjectSummary) {
	holder, held, permits := "-", "-", "-"
	if o.GetKind() == coordv1.Kind_KIND_SEMAPHORE && o.GetLimit() > 0 {
		permits = strconv.FormatInt(o.GetHeld(), 10) + "/" + strconv.FormatInt(o.GetLimit(), 10)
	}
	wide := []string{"-", "-", "-", "-", "-", "-"}
	if h := o.GetHolder(); h != nil {
		holder, held = t.app.holder(h, o.GetHolders()), short(h.GetFor().AsDuration())
		if h.GetDelayed() != nil {
			held += ", free in " + short(h.GetDelayed().AsDuration())
		}
		wide = []string{
			formatSessionID(h.GetSessionId()), cmp.Or(number(h.GetToken()), "-"), short(h.GetTtl().AsDuration()),
			short(h.GetRenewed().AsDuration()) + " ago", t.app.clip(h.GetValue()), t.app.clip(h.GetNote()),
		}
	}
	t.object(kindWord(o.GetKind()), t.app.cut(o.GetName()), holder, held, strconv.FormatInt(o.GetWaiting(), 10), permits, contents(o), wide)
}

// holder names one of n holders.
func (a *app) holder(h *coordv1.Party, n int64) string {
	s := a.clip(who(h))
	if h.GetDelayed() != nil {
		s += ", gone"
	}
	switch {
	case n >= mostCounted:
		s += ", " + strconv.Itoa(mostCounted-1) + " or more others"
	case n > 1:
		s += " and " + strconv.FormatInt(n-1, 10) + " more"
	}
	return s
}

// mostCounted is how many holders a list counts.
const mostCounted = 100
