package machine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/table"
)

// The model's maps, each a list of pairs in the order in which they came; and what it does
// when something stored is to be forgotten.

type modelMap struct {
	name, codec string
	pairs       []modelPair
}

type modelPair struct {
	key, value string
	revision   uint64
}

// mapOf finds a map; nil if there is none.
func (m *model) mapOf(on park.Object) *modelMap {
	for _, h := range m.maps {
		if on.Kind == park.KindMap && h.name == on.Name {
			return h
		}
	}
	return nil
}

func (h *modelMap) find(key string) int {
	if h == nil {
		return -1
	}
	return slices.IndexFunc(h.pairs, func(p modelPair) bool { return p.key == key })
}

// bytes is how many all keys and values have.
func (h *modelMap) bytes() (n int64) {
	for _, p := range h.pairs {
		n += int64(len(p.key) + len(p.value))
	}
	return n
}

// text is all pairs by key.
func (h *modelMap) text() string {
	if h == nil {
		return ""
	}
	var b strings.Builder
	for _, p := range slices.SortedFunc(slices.Values(h.pairs), func(a, b modelPair) int { return cmp.Compare(a.key, b.key) }) {
		fmt.Fprintf(&b, " %q=%q@%d", p.key, p.value, p.revision)
	}
	return b.String()
}

// printedEntries is what a Load or a Range of the machine got as text.
func printedEntries(e *machine.Entries) string {
	if e == nil {
		return ""
	}
	return fmt.Sprintf(" at %d:%s", e.Revision, printedPairs(e.Pairs))
}

func printedPairs(pairs []table.Pair) string {
	var b strings.Builder
	for _, p := range pairs {
		fmt.Fprintf(&b, " %q=%q@%d", p.Key, p.Value, p.Revision)
	}
	return b.String()
}

func printedRead(r machine.ReadResult) string {
	return fmt.Sprintf("read index %d revision %d code %d value %d%s:%s",
		r.Index, r.Revision, r.Code, r.Value, dataText(r.Data), printedPairs(r.Entries))
}

// wrongTable says what is wrong with an op upon a map, whatever is in it.
func (m *model) wrongTable(on park.Object, op *table.Op) (park.Code, int64) {
	keyless := op.Verb == table.Clear || op.Verb == table.Range
	switch h := m.mapOf(on); {
	case on.Name == "":
		return park.Invalid, 256
	case on.Kind != park.KindMap || op.Verb < 1 || op.Verb > 10:
		return park.Invalid, 0
	case len(op.Codec) > 64:
		return park.Invalid, 64
	case !keyless && (op.Key == "" || len(op.Key) > 1024):
		return park.Invalid, 1024
	case len(op.Value) > 65536 || len(op.Old) > 65536:
		return park.Invalid, 65536
	case h != nil && op.Codec != "" && op.Codec != h.codec:
		return park.Mismatch, park.CodecDiffers
	}
	return 0, 0
}

// tableOp is DoTable. Whatever may change a map is kept, also if it did not.
func (m *model) tableOp(s *modelSession, op *machine.Op) {
	t := op.Table
	if code, value := m.wrongTable(op.On, t); code != 0 {
		m.seen["map refused"]++
		m.outcome(s, op.Seq, code, value)
		return
	}
	h := m.mapOf(op.On)
	i := h.find(t.Key)
	there, was := i >= 0, ""
	if there {
		was = h.pairs[i].value
	}
	m.seen[fmt.Sprintf("map verb %d, there %v", t.Verb, there)]++
	switch t.Verb {
	case table.Load:
		m.readTable(s, op, truth(there), was, fmt.Sprintf(" at %d:", m.revision))
	case table.Range:
		n := 0
		if h != nil {
			n = len(h.pairs)
		}
		if n > 1 {
			m.seen["ranged over several"]++
		}
		m.readTable(s, op, int64(n), "", fmt.Sprintf(" at %d:%s", m.revision, h.text()))
	case table.Clear:
		m.keepData(s, op.Seq, m.clearMap(s, op), "")
	default:
		m.changeTable(s, op, there, was)
	}
}

// changeTable is those verbs that may change one entry.
func (m *model) changeTable(s *modelSession, op *machine.Op, there bool, was string) {
	t := op.Table
	equal := there && was == t.Old
	switch t.Verb {
	case table.Store, table.Swap:
		m.storeEntry(s, op)
	case table.LoadOrStore:
		if !there {
			m.storeEntry(s, op)
		}
	case table.LoadAndDelete, table.Delete:
		if there {
			m.deleteEntry(s, op, t.Key)
		}
	case table.CompareAndSwap:
		if there = equal; equal {
			m.storeEntry(s, op)
		}
	case table.CompareAndDelete:
		if there = equal; equal {
			m.deleteEntry(s, op, t.Key)
		}
	}
	if t.Verb != table.LoadOrStore && t.Verb != table.LoadAndDelete && t.Verb != table.Swap {
		was = ""
	}
	m.keepData(s, op.Seq, truth(there), was)
}

func truth(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func (m *model) storeEntry(s *modelSession, op *machine.Op) {
	h := m.mapOf(op.On)
	if h == nil {
		h = &modelMap{name: op.On.Name, codec: op.Table.Codec}
		m.maps = append(m.maps, h)
	}
	m.entryChange(s, op, op.Table.Key, op.Table.Value, machine.ChangeStored)
	h.pairs = slices.DeleteFunc(h.pairs, func(p modelPair) bool { return p.key == op.Table.Key })
	h.pairs = append(h.pairs, modelPair{op.Table.Key, op.Table.Value, m.revision})
}

func (m *model) deleteEntry(s *modelSession, op *machine.Op, key string) {
	h := m.mapOf(op.On)
	i := h.find(key)
	m.entryChange(s, op, key, h.pairs[i].value, machine.ChangeDeleted)
	h.pairs = slices.Delete(h.pairs, i, i+1)
}

func (m *model) entryChange(s *modelSession, op *machine.Op, key, value string, t machine.ChangeType) {
	m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On, Value: value}, machine.Change{Type: t, N: 1, Key: key})
}

// clearMap deletes the least key until there is none, and says how many there were.
func (m *model) clearMap(s *modelSession, op *machine.Op) (n int64) {
	h := m.mapOf(op.On)
	for ; h != nil && len(h.pairs) > 0; n++ {
		least := h.pairs[0].key
		for _, p := range h.pairs {
			least = min(least, p.key)
		}
		m.deleteEntry(s, op, least)
	}
	if n > 1 {
		m.seen["cleared several"]++
	}
	return n
}

// readTable answers a read, which is not kept. Without a stream one value is.
func (m *model) readTable(s *modelSession, op *machine.Op, value int64, data, entries string) {
	r := modelResult{code: park.Done, value: value, data: data}
	m.tell("%s%s", r.text(s, op.Seq), entries)
	if op.Table.Verb == table.Range {
		m.unaryState(s, "unary range")
		r = modelResult{code: park.Over}
	}
	m.conclude(s, op.Seq, r)
}

// keepData is keep of a call that is done and got data.
func (m *model) keepData(s *modelSession, seq park.Seq, value int64, data string) {
	m.keepResult(s, seq, modelResult{code: park.Done, value: value, data: data})
}

// mapNames is every map there is.
func (m *model) mapNames() (all []park.Object) {
	for _, h := range m.maps {
		all = append(all, park.Object{Kind: park.KindMap, Name: h.name})
	}
	return all
}

func (m *model) describeMap(d *machine.Description) {
	if h := m.mapOf(d.On); h != nil {
		d.Held, d.Bytes, d.Codec, d.Stored = int64(len(h.pairs)), h.bytes(), h.codec, true
	}
}

func dataText(data string) string {
	if data == "" {
		return ""
	}
	return fmt.Sprintf(", data %q", data)
}

// read is the command.
func (m *model) read(r *machine.Read) {
	h := m.mapOf(r.On)
	out := func(code park.Code, value int64, data, pairs string) {
		m.tell("read index %d revision %d code %d value %d%s:%s", m.index, m.revision, code, value, dataText(data), pairs)
		m.seen[fmt.Sprintf("read code %d", code)]++
	}
	if r.Op.Verb != table.Load && r.Op.Verb != table.Range {
		out(park.Invalid, 0, "", "")
		return
	}
	if code, value := m.wrongTable(r.On, &r.Op); code != 0 {
		out(code, value, "", "")
		return
	}
	switch i := h.find(r.Op.Key); {
	case r.Op.Verb == table.Range && h != nil:
		out(park.Done, int64(len(h.pairs)), "", h.text())
	case r.Op.Verb == table.Load && i >= 0:
		out(park.Done, 1, h.pairs[i].value, "")
	default:
		out(park.Done, 0, "", "")
	}
}

// remove is DoDelete of what a name stands for.
func (m *model) remove(s *modelSession, op *machine.Op) {
	switch {
	case isLatch(op.On.Kind):
		m.deleteLatch(s, op)
		return
	case isChan(op.On.Kind):
		m.deleteChan(s, op)
		return
	}
	waiting, permits := int64(0), int64(0)
	for _, c := range m.calls {
		for _, a := range c.arms {
			switch {
			case a.On != op.On:
			case c.state == parked:
				waiting++
			case c.state == held:
				permits += a.N
			}
		}
	}
	if waiting > 0 {
		m.seen[fmt.Sprintf("delete of kind %d waited for", op.On.Kind)]++
		m.outcome(s, op.Seq, park.Busy, waiting)
		return
	}
	code, value := park.Done, int64(0)
	switch op.On.Kind {
	case park.KindMap:
		if m.clearMap(s, op); m.mapOf(op.On) == nil {
			code = park.NotFound
		}
		m.maps = slices.DeleteFunc(m.maps, func(h *modelMap) bool { return h.name == op.On.Name })
	case park.KindSemaphore:
		switch {
		case m.limits[op.On] == nil:
			code = park.NotFound
		case permits > 0:
			code, value = park.Busy, permits
		default:
			delete(m.limits, op.On)
		}
	default:
		code = park.Invalid
	}
	m.seen[fmt.Sprintf("delete of kind %d code %d", op.On.Kind, code)]++
	if code != park.Done {
		m.outcome(s, op.Seq, code, value)
		return
	}
	m.change(&modelCall{s: s, seq: op.Seq}, park.Arm{On: op.On}, machine.Change{Type: machine.ChangeRemoved})
	m.keep(s, op.Seq, park.Done, 0)
}
