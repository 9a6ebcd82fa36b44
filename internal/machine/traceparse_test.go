package machine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// A trace is one machine and the names that a trace gives to sessions.
type trace struct {
	t       *testing.T
	machine *machine.Machine
	twin    *machine.Machine // restored from its own snapshot after every entry
	index   uint64
	peers   map[string]*peer
	byID    map[park.SessionID]*peer
	opening []*peer // by the entry under way, in the order of its commands
	calling []*peer // by its Opens of sessions without a stream
	changes []machine.Change
}

// A peer is what the client of a session knows.
type peer struct {
	name  string
	id    park.SessionID
	epoch uint64
}

func newTrace(t *testing.T) *trace {
	tr := &trace{t: t}
	tr.begin()
	return tr
}

func (tr *trace) begin() {
	tr.machine, tr.twin, tr.index = machine.New(), machine.New(), 0
	tr.peers, tr.byID = map[string]*peer{}, map[park.SessionID]*peer{}
	tr.apply(0, []machine.Command{&machine.Bootstrap{Cluster: "c"}})
}

// words takes a line apart.
type words struct {
	t    *testing.T
	rest []string
}

func (w *words) next() string {
	w.t.Helper()
	if len(w.rest) == 0 {
		w.t.Fatal("a line is too short")
	}
	s := w.rest[0]
	w.rest = w.rest[1:]
	return s
}

// option takes key=value out of the words left.
func (w *words) option(key, missing string) string {
	for i, s := range w.rest {
		if v, ok := strings.CutPrefix(s, key+"="); ok {
			w.rest = append(w.rest[:i:i], w.rest[i+1:]...)
			return v
		}
	}
	return missing
}

// flag takes a word out of those left.
func (w *words) flag(key string) bool {
	for i, s := range w.rest {
		if s == key {
			w.rest = append(w.rest[:i:i], w.rest[i+1:]...)
			return true
		}
	}
	return false
}

func (w *words) number(s string) int64 {
	w.t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *words) duration(s string) int64 {
	w.t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return int64(d)
}

func (w *words) seq() park.Seq { return park.Seq(w.number(w.next())) }

// ranges parses 1-3,5.
func (w *words) ranges(s string) (out []machine.Range) {
	if s == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		out = append(out, machine.Range{First: park.Seq(w.number(first)), Last: park.Seq(w.number(last))})
	}
	return out
}

// run executes one line and returns what was answered.
func (tr *trace) run(line string) string {
	switch line {
	case "new":
		tr.begin()
		return ""
	case "counts":
		c := tr.machine.Counts()
		return fmt.Sprintf("  %d sessions, %d holds, %d waiters\n", c.Sessions, c.Holds, c.Waiters)
	case "changes":
		return tr.printChanges()
	case "hash":
		return fmt.Sprintf("  %#016x\n", tr.machine.Hash())
	case "due":
		if at, ok := tr.machine.NextDue(); ok {
			return fmt.Sprintf("  at %v\n", time.Duration(at))
		}
		return "  nothing\n"
	}
	increment := int64(0)
	if rest, ok := strings.CutPrefix(line, "+"); ok {
		d, commands, _ := strings.Cut(rest, " ")
		increment, line = (&words{t: tr.t}).duration(d), commands
	}
	var commands []machine.Command
	tr.opening, tr.calling = nil, nil
	for text := range strings.SplitSeq(line, ";") {
		w := &words{tr.t, strings.Fields(text)}
		if len(w.rest) > 0 {
			commands = append(commands, tr.commands(w)...)
		}
	}
	return tr.apply(increment, commands)
}

func (tr *trace) apply(increment int64, commands []machine.Command) string {
	tr.t.Helper()
	for i, c := range commands {
		decoded, err := machine.DecodeCommand(machine.AppendCommand(nil, c))
		if err != nil {
			tr.t.Fatal(err)
		}
		commands[i] = decoded
	}
	tr.index++
	results, events := tr.machine.Apply(tr.index, increment, commands)
	tr.changes = tr.machine.Changes()
	if err := tr.machine.Check(); err != nil {
		tr.t.Fatal(err)
	}
	again, told := tr.twin.Apply(tr.index, increment, commands)
	if diff := cmp.Diff([]any{results, events}, []any{again, told}); diff != "" {
		tr.t.Fatalf("a machine restored before this entry answers otherwise:\n%s", diff)
	}
	if diff := cmp.Diff(tr.changes, tr.twin.Changes(), cmpopts.EquateEmpty()); diff != "" {
		tr.t.Fatalf("a machine restored before this entry has other changes:\n%s", diff)
	}
	if tr.twin = restored(tr.t, tr.twin); tr.twin.Hash() != tr.machine.Hash() {
		tr.t.Fatal("a machine restored before this entry has another hash")
	}
	return tr.print(commands, results, events)
}

// commands is one command, or one for each of many sessions.
func (tr *trace) commands(w *words) (out []machine.Command) {
	verb := w.next()
	switch verb {
	case "bootstrap":
		return append(out, &machine.Bootstrap{Cluster: w.next(), Floor: park.Token(w.number(w.next()))})
	case "sessions":
		return append(out, &machine.Sessions{})
	case "renew":
		r := &machine.Renew{}
		for _, name := range w.rest {
			for _, p := range tr.named(name) {
				r.Sessions = append(r.Sessions, p.id)
			}
		}
		return append(out, r)
	case "revoke":
		return append(out, &machine.Revoke{Session: tr.named(w.next())[0].id, Now: w.flag("now")})
	case "open":
		return tr.open(w)
	case "attach":
		return append(out, tr.attach(w))
	case "caller":
		return tr.caller(w)
	case "call":
		return tr.calls(w)
	case "describe":
		return append(out, &machine.Describe{On: w.object()})
	case "list":
		return append(out, w.list())
	case "read":
		return append(out, w.read())
	}
	name, epoch, _ := strings.Cut(verb, "@")
	for _, p := range tr.named(name) {
		f := &machine.Frame{Session: p.id, Epoch: p.epoch}
		if epoch != "" {
			f.Epoch = uint64(w.number(epoch))
		}
		ops := &words{tr.t, slices.Clone(w.rest)}
		f.Acked = ops.ranges(ops.option("acks", ""))
		for text := range strings.SplitSeq(strings.Join(ops.rest, " "), ", ") {
			if op := (&words{tr.t, strings.Fields(text)}); len(op.rest) > 0 {
				seq := op.seq()
				parsed := tr.op(op, op.seq)
				parsed.Seq = seq
				f.Ops = append(f.Ops, parsed)
			}
		}
		out = append(out, f)
	}
	return out
}

// named returns the sessions that NAME or NAME*N stands for.
func (tr *trace) named(name string) (out []*peer) {
	for _, name := range spread(name) {
		p := tr.peers[name]
		if p == nil {
			tr.t.Fatalf("nobody is called %q", name)
		}
		out = append(out, p)
	}
	return out
}

func spread(name string) []string {
	base, many, ok := strings.Cut(name, "*")
	if !ok {
		return []string{name}
	}
	n, _ := strconv.Atoi(many)
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", base, i+1)
	}
	return out
}

// secretOf is the secret of whoever has that name.
func secretOf(name string) (s machine.Secret) {
	copy(s[:], name)
	return s
}

func (tr *trace) open(w *words) (out []machine.Command) {
	for _, name := range spread(w.next()) {
		o := &words{tr.t, slices.Clone(w.rest)}
		a := &machine.Attach{
			Secret:   secretOf(name),
			Instance: uint64(w.number(o.option("instance", "1"))),
			Epoch:    uint64(w.number(o.option("epoch", "1"))),
			TTL:      w.duration(o.option("ttl", "10s")),
			Who:      o.option("who", name),
			Wanted:   w.ranges(o.option("wanted", "")),
		}
		if old := o.option("replaces", ""); old != "" {
			a.Replaces = tr.named(old)[0].id
			a.ReplacesSecret = secretOf(o.option("secret", old))
		}
		tr.opening = append(tr.opening, &peer{name: name, epoch: a.Epoch})
		out = append(out, a)
	}
	return out
}

func (tr *trace) attach(w *words) machine.Command {
	name := w.next()
	p := tr.named(name)[0]
	return &machine.Attach{
		Session:  p.id,
		Secret:   secretOf(w.option("secret", name)),
		Instance: uint64(w.number(w.option("instance", "1"))),
		Epoch:    uint64(w.number(w.option("epoch", fmt.Sprint(p.epoch+1)))),
		Wanted:   w.ranges(w.option("wanted", "")),
	}
}

// op parses one op of a frame or of a call. target takes the word for another call.
func (tr *trace) op(w *words, target func() park.Seq) (op machine.Op) {
	if l := tr.lineage(w); !l.Empty() {
		defer func() { op.Wait.Lineage = l }()
	}
	verb := w.next()
	if op, ok := w.latchOp(verb, target); ok {
		return op
	}
	if op, ok := w.chanOp(verb, target); ok {
		return op
	}
	switch verb {
	case "lock", "rlock", "acquire", "lead", "wait", "do", "result", "send", "recv", "recvack":
		w.rest = append([]string{verb}, w.rest...)
		op.Do, op.Wait = machine.DoWait, w.wait(park.Any)
	case "any", "first", "all":
		commit := map[string]park.Commit{"any": park.Any, "first": park.First, "all": park.Every}[verb]
		op.Do, op.Wait = machine.DoWait, w.wait(commit)
	case "end":
		op.Do, op.To = machine.DoEnd, target()
	case "release":
		op.Do, op.To, op.N = machine.DoRelease, target(), w.number(w.next())
	case "resize":
		op.Do, op.On, op.N = machine.DoResize, park.Object{Kind: park.KindSemaphore, Name: w.next()}, w.number(w.next())
	case "describe":
		op.Do, op.On = machine.DoDescribe, w.object()
	case "proclaim":
		op.Do, op.To, op.Value = machine.DoProclaim, target(), w.next()
	case "transfer":
		op.Do, op.To, op.Heir = machine.DoTransfer, target(), tr.named(w.next())[0].id
	case "noop":
		op.Do = machine.DoNoop
	case "leave":
		op.Do = machine.DoLeave
	default:
		return tr.otherOp(w, verb, target)
	}
	return op
}

// lineage parses site=S and holds=NAME/SEQ@S,...
func (tr *trace) lineage(w *words) *park.Lineage {
	l := &park.Lineage{Site: w.option("site", "")}
	named := w.option("holds", "")
	if named == "" {
		return l
	}
	for text := range strings.SplitSeq(named, ",") {
		call, site, _ := strings.Cut(text, "@")
		name, seq, _ := strings.Cut(call, "/")
		id := park.ID{Seq: park.Seq(w.number(seq))}
		if name != "-" {
			id.Session = tr.named(name)[0].id
		}
		l.Holds = append(l.Holds, park.Named{ID: id, Site: site})
	}
	return l
}

func (w *words) wait(commit park.Commit) machine.Wait {
	wait := machine.Wait{
		Commit: commit,
		Try:    w.flag("try"),
		Prio:   int32(w.number(w.option("prio", "0"))),
		Delay:  w.duration(w.option("delay", "0s")),
		Limit:  w.duration(w.option("limit", "0s")),
		Note:   w.option("note", ""),
		Trace:  w.option("trace", ""),
	}
	for text := range strings.SplitSeq(strings.Join(w.rest, " "), "|") {
		arm := &words{w.t, strings.Fields(text)}
		a := park.Arm{On: park.Object{Kind: park.KindLock}, N: 1}
		a.Value = arm.option("value", "")
		verb := arm.next()
		if latch, ok := arm.latchArm(verb); ok {
			wait.Arms = append(wait.Arms, latch)
			continue
		}
		if ch, ok := arm.chanArm(verb); ok {
			wait.Arms = append(wait.Arms, ch)
			continue
		}
		switch verb {
		case "lead":
			a.On = park.Object{Kind: park.KindElection, Name: arm.next()}
		case "cond":
			a.On, a.Value = park.Object{Kind: park.KindCond, Name: arm.next()}, arm.next()
		case "lock", "rlock":
			a.Shared, a.On.Name = verb == "rlock", arm.next()
		case "acquire":
			a.On = park.Object{Kind: park.KindSemaphore, Name: arm.next()}
			n, limit, _ := strings.Cut(arm.next(), "/")
			a.N = w.number(n)
			if limit != "" {
				a.Limit = w.number(limit)
			}
		default:
			w.t.Fatalf("unknown arm %q", text)
		}
		wait.Arms = append(wait.Arms, a)
	}
	return wait
}
