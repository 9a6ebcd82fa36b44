package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	coordv1 "coordd.dev/api/coord/v1"
)

// watch shows the present objects, and then what happens to them, a line each.
func (g *getting) watch(ctx context.Context) error {
	req := new(coordv1.WatchRequest)
	if len(g.of) == 1 {
		req.Kind = g.of[0].kind
		if !g.names.prefix {
			req.Name = g.names.text
		}
	}
	return (&following{nodes: g.nodes, what: g.what, req: req, hear: g.hear}).run(ctx)
}

func (g *getting) hear(ctx context.Context, r *coordv1.WatchResponse, anew bool) error {
	if n := r.GetSkipped(); n > 0 {
		if err := g.missed(n); err != nil {
			return err
		}
	}
	if anew {
		if err := g.present(ctx, r.GetPresent()); err != nil {
			return err
		}
	}
	for _, c := range r.GetChanges() {
		if err := g.change(c); err != nil {
			return err
		}
	}
	return nil
}

// missed says that changes are not known any more.
func (g *getting) missed(n uint64) error {
	fmt.Fprintf(g.stderr, "coordctl: %s: up to %d changes were missed; this is what there is now\n", g.what, n)
	if g.output != asJSON {
		return nil
	}
	return g.line(changeView{Type: "skipped", Skipped: strconv.FormatUint(n, 10)})
}

// present shows the one object that is watched, or lists those that are: after the watch
// has begun, so that what changes meanwhile is told twice and not never.
func (g *getting) present(ctx context.Context, of *coordv1.Description) error {
	t := g.objectTable(g.of)
	show := func(page []*coordv1.ObjectSummary, _ uint64) error {
		if g.output != asJSON {
			return t.page(page)
		}
		for _, o := range page {
			if err := g.line(changeView{Type: "present", Kind: kindWord(o.GetKind()), Name: o.GetName(), Object: objectViewOf(o)}); err != nil {
				return err
			}
		}
		return nil
	}
	if g.output != asJSON {
		t.head()
	}
	var err error
	if of != nil {
		err = show([]*coordv1.ObjectSummary{summaryOf(of)}, 0)
	} else {
		err = g.list(ctx, show)
	}
	if err != nil {
		return err
	}
	return t.flush()
}

func (g *getting) change(c *coordv1.ObjectChange) error {
	if !g.names.matches(c.GetName()) || !slices.ContainsFunc(g.of, func(t topic) bool { return t.kind == c.GetKind() }) {
		return nil
	}
	if g.output == asJSON {
		return g.line(changeViewOf(c))
	}
	return g.text(fmt.Sprintf("#%d %s %s: %s\n", c.GetRevision(), kindWord(c.GetKind()), g.cut(c.GetName()), g.happened(c)))
}

// A changeView is a line of get -w -o json.
type changeView struct {
	Type     string            `json:"type"`
	Revision string            `json:"revision,omitempty"`
	Skipped  string            `json:"skipped,omitempty"` // at most so many changes
	Kind     string            `json:"kind,omitempty"`
	Name     string            `json:"name,omitempty"`
	Session  string            `json:"session_id,omitempty"`
	WhoName  string            `json:"who,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Note     string            `json:"note,omitempty"`
	Value    string            `json:"value,omitempty"`
	Token    string            `json:"token,omitempty"`
	Shared   bool              `json:"shared,omitempty"`
	Count    int64             `json:"count,omitempty"`
	Waited   string            `json:"waited,omitempty"`
	Held     string            `json:"held,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Key      string            `json:"key,omitempty"`    // of a map
	Data     *bytesView        `json:"data,omitempty"`   // likewise
	Object   *objectView       `json:"object,omitempty"` // of present
}

func changeViewOf(c *coordv1.ObjectChange) changeView {
	v := changeView{
		Type:     enum(c.GetType().String(), "CHANGE_TYPE_"),
		Revision: strconv.FormatUint(c.GetRevision(), 10),
		Kind:     kindWord(c.GetKind()),
		Name:     c.GetName(),
		Session:  formatSessionID(c.GetSessionId()),
		WhoName:  c.GetWho().GetName(),
		Metadata: c.GetWho().GetMetadata(),
		Note:     c.GetNote(),
		Value:    c.GetValue(),
		Token:    number(c.GetToken()),
		Shared:   c.GetShared(),
		Count:    c.GetCount(),
	}
	if c.GetWaited() != nil {
		v.Waited = millis(c.GetWaited().AsDuration())
	}
	if c.GetHeld() != nil {
		v.Held = millis(c.GetHeld().AsDuration())
	}
	if c.GetKind() == coordv1.Kind_KIND_MAP && len(c.GetKey()) > 0 {
		v.Key, v.Data = string(c.GetKey()), new(bytesViewOf(c.GetData()))
	}
	if c.GetEndReason() != 0 {
		v.Reason = enum(c.GetEndReason().String(), "END_REASON_")
	}
	return v
}

// enum is a value's name as programs are given it; one of a later version is a number.
func enum(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// happened is a change in words.
func (a *app) happened(c *coordv1.ObjectChange) string {
	by := a.clip(whoIs(c.GetSessionId(), c.GetWho(), c.GetNote()))
	switch c.GetType() {
	case coordv1.ChangeType_CHANGE_TYPE_GRANTED:
		return granted(c, by)
	case coordv1.ChangeType_CHANGE_TYPE_ENDED, coordv1.ChangeType_CHANGE_TYPE_DELAYED:
		verb, why := ended(c.GetKind(), c.GetEndReason())
		s := subject(c) + verb + " by " + by + " after " + short(c.GetHeld().AsDuration())
		if why != "" {
			s += ": " + why
		}
		if c.GetType() == coordv1.ChangeType_CHANGE_TYPE_DELAYED {
			s += "; its lock-delay begins"
		}
		return s
	case coordv1.ChangeType_CHANGE_TYPE_PROCLAIMED:
		return by + " proclaims " + show(c.GetValue())
	case coordv1.ChangeType_CHANGE_TYPE_RESIZED:
		return "limit set to " + strconv.FormatInt(c.GetCount(), 10)
	case coordv1.ChangeType_CHANGE_TYPE_STORED:
		return a.clip(string(c.GetKey())) + " set to " + a.clip(bytesViewOf(c.GetData()).shown())
	case coordv1.ChangeType_CHANGE_TYPE_DELETED:
		return a.clip(string(c.GetKey())) + " deleted, was " + a.clip(bytesViewOf(c.GetData()).shown())
	case coordv1.ChangeType_CHANGE_TYPE_CUT:
		return "cut short: a session ended before it was done"
	case coordv1.ChangeType_CHANGE_TYPE_CLOSED:
		return "closed"
	case coordv1.ChangeType_CHANGE_TYPE_REMOVED:
		return "what was stored is deleted"
	default:
		return enum(c.GetType().String(), "CHANGE_TYPE_") + " by " + by
	}
}

// subject is what a hold is of, where that is not the object itself.
func subject(c *coordv1.ObjectChange) string {
	switch c.GetKind() {
	case coordv1.Kind_KIND_SEMAPHORE:
		return plural(int(c.GetCount()), "permit") + " "
	case coordv1.Kind_KIND_CHAN:
		return "an element "
	default:
		return ""
	}
}

func granted(c *coordv1.ObjectChange, by string) string {
	s := subject(c) + "granted to " + by
	switch c.GetKind() {
	case coordv1.Kind_KIND_CHAN:
		s = subject(c) + "delivered to " + by
	case coordv1.Kind_KIND_ONCE:
		s = "begun by " + by
	default:
	}
	if c.GetShared() {
		s += ", shared"
	}
	if c.GetValue() != "" {
		s += ", with value " + show(c.GetValue())
	}
	if d := c.GetWaited().AsDuration(); d > 0 {
		s += " after " + short(d)
	}
	if t := c.GetToken(); t != 0 {
		s += ", token " + number(t)
	}
	return s
}

// ended says how a hold ended, and why if its holder did not end it.
func ended(kind coordv1.Kind, r coordv1.EndReason) (verb, why string) {
	switch r {
	case coordv1.EndReason_END_REASON_RELEASED:
		if kind == coordv1.Kind_KIND_CHAN {
			return "given back", ""
		}
		return "released", ""
	case coordv1.EndReason_END_REASON_ACKNOWLEDGED:
		return "acknowledged", ""
	case coordv1.EndReason_END_REASON_COMPLETED:
		return "done", ""
	case coordv1.EndReason_END_REASON_EXPIRED:
		return "lost", "its lease ran out"
	case coordv1.EndReason_END_REASON_REPLACED:
		return "lost", "its client had lost the session, and opened another"
	case coordv1.EndReason_END_REASON_REVOKED:
		return "lost", "an operator revoked its session"
	case coordv1.EndReason_END_REASON_LEFT:
		return "released", "its client closed the session"
	case coordv1.EndReason_END_REASON_TRANSFERRED:
		return "handed over", ""
	case coordv1.EndReason_END_REASON_DELAY_OVER:
		return "lost", "its session had failed, and now its lock-delay is over"
	default:
		return "ended", "reason " + enum(r.String(), "END_REASON_")
	}
}
