package machine_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What machine and model say, as text.

// isResult tells what the model says of the result of a command from its events.
func isResult(s string) bool {
	word, _, _ := strings.Cut(s, " ")
	return slices.Contains([]string{"renew", "revoke", "sessions", "opened", "called", "object", "list", "read"}, word)
}

func printedResult(c machine.Command, r any) (out []string) {
	switch c := c.(type) {
	case *machine.Renew:
		for i, a := range r.([]machine.Renewal) {
			out = append(out, fmt.Sprintf("renew %v %s", c.Sessions[i], [...]string{"", "ok", "over", "revoked"}[a]))
		}
	case *machine.Revoke:
		out = append(out, fmt.Sprintf("revoke %v %s", c.Session, map[park.Code]string{
			park.Done: "done", park.NotFound: "not found",
		}[r.(park.Code)]))
	case *machine.Sessions:
		out = append(out, fmt.Sprintf("sessions %+v", r))
	case *machine.Open:
		out = append(out, fmt.Sprintf("opened %+v", r))
	case *machine.Call:
		out = append(out, fmt.Sprintf("called %+v", r))
	case *machine.Describe:
		out = append(out, fmt.Sprintf("object %+v", *r.(*machine.Description)))
	case *machine.List:
		out = append(out, "list "+printedList(r.(machine.ObjectList)))
	case *machine.Read:
		out = append(out, printedRead(r.(machine.ReadResult)))
	}
	return out
}

// printedList is a list with its holders, which are behind pointers.
func printedList(l machine.ObjectList) string {
	var b strings.Builder
	fmt.Fprintf(&b, "index %d revision %d more %v", l.Index, l.Revision, l.More)
	for _, s := range l.Objects {
		holder := machine.Party{}
		if s.Holder != nil {
			holder = *s.Holder
		}
		s.Holder = nil
		fmt.Fprintf(&b, " %+v %+v", s, holder)
	}
	return b.String()
}

// printedDelivery is what a grant says of an element.
func printedDelivery(attempts int64, value string) string {
	if attempts == 0 && value == "" {
		return ""
	}
	return fmt.Sprintf(" attempt %d of %q", attempts, value)
}

func lines(s []string) string {
	var b bytes.Buffer
	for _, l := range s {
		fmt.Fprintln(&b, "  ", l)
	}
	return b.String()
}

func dump(commands []machine.Command) string {
	var b bytes.Buffer
	for _, c := range commands {
		fmt.Fprintf(&b, "  %T %+v\n", c, c)
	}
	return b.String()
}

func printed(e machine.Event) string {
	switch e.Type {
	case machine.EventAttached:
		left := []string{}
		for _, o := range e.Replaced {
			left = append(left, fmt.Sprintf("%d:%d:%d:%d:%q", o.Seq, o.Code, o.Value, o.Arm, o.Data))
		}
		return fmt.Sprintf("attached %v to %d/%d last %d replaced %d gone %v %v",
			e.Session, e.Instance, e.Epoch, e.Last, e.ReplacedLast, e.ReplacedGone, left)
	case machine.EventRefused:
		return fmt.Sprintf("refused %d/%d: %d", e.Instance, e.Epoch, e.Refusal)
	case machine.EventCut:
		return fmt.Sprintf("cut %v epoch %d: %d", e.Session, e.Epoch, e.Refusal)
	case machine.EventEnded:
		return fmt.Sprintf("ended %v revoked %v", e.Session, e.Refusal == machine.RefusedRevoked)
	}
	call := fmt.Sprintf("%v/%d %q", e.Session, e.Seq, e.Request)
	switch {
	case e.Code == park.Granted:
		return fmt.Sprintf("granted %s token %d arm %d waited %q%s", call, e.Token, e.Arm, e.Waited, printedDelivery(e.Value, e.Data))
	case e.Code == park.Deadlock && len(e.Cycle) > 0:
		return fmt.Sprintf("deadlock %s of %d", call, cycleLength(e.Cycle))
	case e.Waited != "":
		return fmt.Sprintf("code %d of %s says that it waited for %q", e.Code, call, e.Waited)
	case e.Description != nil:
		return fmt.Sprintf("outcome %s code %d arm %d: %+v", call, e.Code, e.Arm, *e.Description)
	}
	return fmt.Sprintf("outcome %s code %d value %d arm %d data %q", call, e.Code, e.Value, e.Arm, e.Data) + printedEntries(e.Entries)
}
