package lessee

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHistories replays testdata/*.txt. A line that begins with "> " is an input, the
// lines under it are what the lessee answered; # begins a comment. With UPDATE=1 in the
// environment the answers are written instead of compared: read the diff.
//
//	new [ttl=10s] [endearly=1s]
//	start wait|read|change NAME      starton|give HOLD NAME      await HOLD NAME AGAIN      end NAME      leave NAME
//	connect TIME      attached TIME SESSION last=N [epoch=N] [oldlast=N] [gone] [SEQ=VERDICT...]
//	disconnect [epoch=N]      frame [max=N]      receive TIME [epoch=N] SEQ=VERDICT...
//	renew TIME      renewed TIME start=TIME [session=N] ok|over|revoked
//	over TIME SESSION REASON      advance TIME      due      session
func TestHistories(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(data))
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// replay runs the inputs of a history and returns it with the answers they had.
func replay(t *testing.T, text string) string {
	var b strings.Builder
	h := &history{t: t, calls: map[string]Call{}, names: map[Call]string{}}
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		input, ok := strings.CutPrefix(line, "> ")
		switch {
		case ok:
			b.WriteString(line + "\n" + h.run(input))
		case line == "" || strings.HasPrefix(line, "#"):
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// A history is one lessee and the names that its history gives to calls.
type history struct {
	t     *testing.T
	l     *Lessee
	calls map[string]Call
	names map[Call]string
}

// input is one line of a history, by word.
type input struct {
	t     *testing.T
	words []string
}

func (in *input) next() string {
	if len(in.words) == 0 {
		in.t.Fatal("input too short")
	}
	w := in.words[0]
	in.words = in.words[1:]
	return w
}

func (in *input) time() time.Duration {
	d, err := time.ParseDuration(in.next())
	if err != nil {
		in.t.Fatal(err)
	}
	return d
}

func (in *input) number() uint64 { return in.parse(in.next()) }

func (in *input) parse(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		in.t.Fatal(err)
	}
	return n
}

// option takes key=value out of the words left.
func (in *input) option(key, missing string) string {
	for i, w := range in.words {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			in.words = append(in.words[:i:i], in.words[i+1:]...)
			return v
		}
	}
	return missing
}

func (in *input) duration(key, missing string) time.Duration {
	d, err := time.ParseDuration(in.option(key, missing))
	if err != nil {
		in.t.Fatal(err)
	}
	return d
}

func (in *input) flag(key string) bool {
	for i, w := range in.words {
		if w == key {
			in.words = append(in.words[:i:i], in.words[i+1:]...)
			return true
		}
	}
	return false
}

// answers takes the rest of the words as SEQ=VERDICT.
func (in *input) answers() []Answer {
	var as []Answer
	for _, w := range in.words {
		seq, verdict, _ := strings.Cut(w, "=")
		as = append(as, Answer{in.parse(seq), parse[Verdict](in.t, verdicts(), verdict), "body" + seq})
	}
	in.words = nil
	return as
}

func verdicts() []string {
	return []string{"none", "granted", "done", "refused", "over", "ended", "recalled", "lost", "unknown"}
}

func reasons() []string {
	return []string{"none", "expired", "paused", "revoked", "closed", "ended"}
}

func dos() []string { return []string{"none", "body", "end", "noop", "leave"} }

func parse[T ~uint8](t *testing.T, names []string, name string) (x T) {
	for i, n := range names {
		if n == name {
			return T(i)
		}
	}
	t.Fatalf("no such word: %s", name)
	return
}

func (h *history) run(line string) string {
	in := &input{h.t, strings.Fields(line)}
	verb := in.next()
	var out string
	switch verb {
	case "new":
		h.l = New(Config{
			TTL:      in.duration("ttl", "10s"),
			EndEarly: in.duration("endearly", "0s"),
		})
	case "start", "here", "starton", "give", "await", "end", "leave":
		h.call(verb, in)
	case "connect", "attached", "disconnect", "frame", "receive":
		out = h.stream(verb, in)
	default:
		out = h.lease(verb, in)
	}
	if len(in.words) > 0 {
		h.t.Fatalf("not understood in %q: %v", line, in.words)
	}
	for _, o := range h.l.Outcomes() {
		out += "  " + h.outcome(o) + "\n"
	}
	return out
}

func (h *history) call(verb string, in *input) {
	var c Call
	switch verb {
	case "start":
		class := parse[Class](h.t, []string{"none", "wait", "read", "change"}, in.next())
		c = h.l.Start(class, in.words[0])
	case "here":
		c = h.l.StartHere(in.words[0])
	case "starton":
		hold := h.calls[in.next()]
		c = h.l.StartOn(hold, in.words[0])
	case "give":
		hold := h.calls[in.next()]
		c = h.l.StartGive(hold, in.words[0])
	case "await": // a hold, the name, which is its body, and the body for when it is on its own
		hold := h.calls[in.next()]
		body := in.next()
		c = h.l.StartAwait(hold, body, in.next())
		h.calls[body], h.names[c] = c, body
		return
	case "end":
		h.l.End(h.calls[in.next()])
		return
	case "leave":
		c = h.l.Leave()
	}
	name := in.next()
	h.calls[name], h.names[c] = c, name
}

func (h *history) stream(verb string, in *input) string {
	epoch := in.parse(in.option("epoch", fmt.Sprint(h.l.stream.epoch)))
	switch verb {
	case "connect":
		now := in.time()
		secret := Secret{byte(now / time.Second)}
		a, ok := h.l.Connect(now, secret)
		if !ok {
			return "  not now\n"
		}
		return "  " + attachText(a) + "\n"
	case "attached":
		now, session := in.time(), in.number()
		a := Attached{
			Session:      session,
			Last:         in.parse(in.option("last", "0")),
			ReplacedLast: in.parse(in.option("oldlast", "0")),
			ReplacedGone: in.flag("gone"),
			Replaced:     in.answers(),
		}
		h.l.Attached(now, epoch, a)
	case "disconnect":
		h.l.Disconnect(epoch)
	case "frame":
		f, ok := h.l.Frame(int(in.parse(in.option("max", "100"))))
		if !ok {
			return "  nothing\n"
		}
		return frameText(f)
	case "receive":
		now := in.time()
		h.l.Receive(now, epoch, in.answers())
	}
	return ""
}

func (h *history) lease(verb string, in *input) string {
	switch verb {
	case "renew":
		renew := h.l.Renew
		if in.option("along", "no") == "yes" {
			renew = h.l.RenewAlong
		}
		lease, ok := renew(in.time())
		if !ok {
			return "  not now\n"
		}
		return fmt.Sprintf("  lease %d start=%v\n", lease.Session, lease.Start)
	case "renewed":
		now := in.time()
		lease := Lease{Start: in.duration("start", "0s")}
		lease.Session = in.parse(in.option("session", fmt.Sprint(h.l.session.id)))
		h.l.Renewed(now, lease, parse[Renewal](h.t, []string{"none", "ok", "over", "revoked"}, in.next()))
	case "over":
		h.l.Over(in.time(), in.number(), parse[Reason](h.t, reasons(), in.next()))
	case "advance":
		h.l.Advance(in.time())
	case "due":
		at, ok := h.l.NextDue()
		if !ok {
			return "  never\n"
		}
		return fmt.Sprintf("  at %v\n", at)
	case "session":
		id, deadline := h.l.Session()
		return fmt.Sprintf("  %d until %v\n", id, deadline)
	default:
		h.t.Fatalf("no such verb: %s", verb)
	}
	return ""
}

func (h *history) outcome(o Outcome) string {
	s := h.names[o.Call]
	if s == "" {
		s = fmt.Sprint("call ", o.Call) // over before Start returned its name
	}
	s += " " + verdicts()[o.Verdict]
	if o.Reason != 0 {
		s += " " + reasons()[o.Reason]
	}
	if o.Body != nil {
		s += fmt.Sprintf(" (%v)", o.Body)
	}
	return s
}

func attachText(a Attach) string {
	s := fmt.Sprintf("attach epoch=%d", a.Epoch)
	if a.Session == 0 {
		s += " open"
	} else {
		s += fmt.Sprintf(" session=%d", a.Session)
	}
	s += fmt.Sprintf(" secret=%d", a.Secret[0])
	if a.Replaces != 0 {
		s += fmt.Sprintf(" replaces=%d secret=%d", a.Replaces, a.ReplacesSecret[0])
	}
	return s + " wanted=" + rangesText(a.Wanted)
}

func frameText(f Frame) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  frame epoch=%d", f.Epoch)
	if len(f.Acks) > 0 {
		b.WriteString(" acks=" + rangesText(f.Acks))
	}
	b.WriteString("\n")
	for _, op := range f.Ops {
		fmt.Fprintf(&b, "    %d %s", op.Seq, dos()[op.Do])
		if op.Body != nil {
			fmt.Fprintf(&b, " %v", op.Body)
		}
		if op.Target != 0 {
			fmt.Fprintf(&b, " -> %d", op.Target)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func rangesText(rs []Range) string {
	var words []string
	for _, r := range rs {
		if r.First == r.Last {
			words = append(words, fmt.Sprint(r.First))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}
