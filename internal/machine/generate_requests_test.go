package machine_test

import (
	"fmt"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A fakeCaller has a session without a stream. It knows the ids it has used and what it
// asked with them.
type fakeCaller struct {
	id     park.SessionID
	secret machine.Secret
	asked  []machine.Call
	early  string // an id that was ended and is to be asked for yet
}

func (h *history) openUnary() machine.Command {
	c := &fakeCaller{}
	c.secret[0] = byte(1 + h.intn(200))
	h.opening = append(h.opening, c)
	o := &machine.Open{Secret: c.secret, TTL: (500 + int64(h.intn(8000))) * ms, Who: fmt.Sprint("caller-", h.intn(9))}
	if h.intn(40) == 0 {
		o.TTL = 1
	}
	return o
}

// call is a new one, a retry, or an end.
func (h *history) call() machine.Command {
	if len(h.callers) == 0 {
		return h.openUnary()
	}
	c := h.callers[h.intn(len(h.callers))]
	out := &machine.Call{Session: c.id, Secret: c.secret}
	switch n := h.intn(20); {
	case n < 3 && len(c.asked) > 0:
		*out = c.recent(h, 30)
	case n == 3 && len(c.asked) > 0:
		*out = c.recent(h, 300) // it may be forgotten
	case n < 10 && len(c.asked) > 0:
		out.Request, out.Op.Do = c.recent(h, 12).Request, machine.DoEnd
	case n == 10 && c.early == "":
		c.early = fmt.Sprint("early ", len(c.asked))
		out.Request, out.Op.Do = c.early, machine.DoEnd
	case n == 11 && h.intn(8) == 0:
		out.Op.Do = machine.DoLeave
	default:
		*out = h.newCall(c)
	}
	h.spoil(out)
	return out
}

// recent is one of the last so many calls.
func (c *fakeCaller) recent(h *history, among int) machine.Call {
	return c.asked[len(c.asked)-1-h.intn(min(among, len(c.asked)))]
}

func (h *history) newCall(c *fakeCaller) machine.Call {
	out := machine.Call{Session: c.id, Secret: c.secret, Request: fmt.Sprint("r ", len(c.asked))}
	if c.early != "" && h.intn(2) == 0 {
		out.Request, c.early = c.early, ""
	}
	if len(c.asked) > 0 {
		out.Target = c.recent(h, 8).Request
		if h.intn(8) == 0 {
			out.Target = c.recent(h, 400).Request // it may be forgotten
		}
	}
	kinds := 28
	if h.plain {
		kinds = 22
	}
	switch n := h.intn(kinds); {
	case n < 12:
		out.Op = machine.Op{Do: machine.DoWait, Wait: h.wait()}
		out.Op.Wait.Lineage = h.lineage(c.id)
	case n < 14:
		out.Op = machine.Op{Do: machine.DoRelease, N: int64(h.intn(3))}
	case n < 15:
		out.Op = machine.Op{Do: machine.DoResize, On: h.object(park.KindSemaphore), N: int64(1 + h.intn(4))}
	case n < 16:
		out.Op = machine.Op{Do: machine.DoDescribe, On: h.object(h.kind())}
	case n < 17:
		out.Op = machine.Op{Do: machine.DoNoop}
	default:
		if out.Op = h.ofLeader(c.id, 0, 0); n >= 22 {
			out.Op = h.ofOthers(c.id, 0, 0)
		}
		if s := h.model.session(c.id); s != nil {
			if name := s.name(out.Op.To); name != "" {
				out.Target = name
			}
		}
		out.Op.To = 0
	}
	c.asked = append(c.asked, out)
	return out
}

// spoil makes a call one that must be refused, sometimes.
func (h *history) spoil(c *machine.Call) {
	switch h.intn(80) {
	case 0:
		c.Secret[0]++
	case 1:
		c.Request = ""
	case 2:
		c.Request = strings.Repeat("r", 129)
	case 3:
		c.Target = "unknown"
	case 4:
		c.Session = h.somebody()
	}
}

// hammer is so many short calls of one session that earlier ones are forgotten.
func (h *history) hammer() (out []machine.Command) {
	if len(h.callers) == 0 {
		return nil
	}
	c := h.callers[h.intn(len(h.callers))]
	for range 100 + h.intn(60) {
		call := machine.Call{
			Session: c.id, Secret: c.secret, Request: fmt.Sprint("r ", len(c.asked)), Op: machine.Op{Do: machine.DoNoop},
		}
		c.asked = append(c.asked, call)
		out = append(out, &call)
	}
	return out
}
