package machine

import (
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/table"
)

// table does an op upon a map. What may change it is kept, even if it changed nothing: a retry
// that comes after others must not find another map.
func (m *Machine) table(id park.ID, on park.Object, op *table.Op) {
	reads := op.Verb == table.Load || op.Verb == table.Range
	if !reads && m.crowded(id, session.MaxOpen) {
		return
	}
	if !reads && m.book.Full(id.Session) {
		m.answer(id, park.Full, session.MaxBytes)
		return
	}
	r := m.tables.Do(on, *op, m.nextRevision)
	m.noteEntries(id, on, r.Changes)
	k := session.Kept{Code: r.Code, Value: r.Value, Data: r.Data}
	switch {
	case r.Code != park.Done:
		m.answer(id, r.Code, r.Value)
	case reads:
		m.read(id, op.Verb, k, &Entries{Revision: m.revision, Pairs: r.Entries})
	default:
		m.keep(id, k)
	}
}

// Entries are those of a map, at a revision of the whole machine.
type Entries struct {
	Revision uint64
	Pairs    []table.Pair
}

// read answers a Load or a Range, whose result is not kept: it may be asked anew. Of a call
// without a stream what it read is kept if it is one value; a Range is then over, because
// a retry must not be told of a map without entries.
func (m *Machine) read(id park.ID, verb table.Verb, k session.Kept, entries *Entries) {
	m.tell(Event{
		Type: EventOutcome, Session: id.Session, Seq: id.Seq, Request: m.book.Request(id),
		Code: k.Code, Value: k.Value, Data: k.Data, Entries: entries,
	})
	if verb == table.Range {
		k = session.Kept{Code: park.Over}
	}
	m.conclude(id, k)
}

// ReadResult is the answer to a Read.
type ReadResult struct {
	table.Result
	Index    uint64
	Revision uint64 // of the whole machine
}

// Read reads a map.
func (m *Machine) Read(r *Read) ReadResult {
	out := ReadResult{Index: m.index, Revision: m.revision}
	if r.Op.Verb != table.Load && r.Op.Verb != table.Range {
		out.Code = park.Invalid
		return out
	}
	out.Result = m.tables.Do(r.On, r.Op, m.nextRevision)
	return out
}

// nextRevision numbers a change that the caller notes at once.
func (m *Machine) nextRevision() uint64 {
	m.revision++
	return m.revision
}

// noteEntries adds the changes of a map's entries, which have their revisions already.
func (m *Machine) noteEntries(id park.ID, on park.Object, changes []table.Change) {
	who := m.book.Who(id.Session)
	for i := range changes {
		c := Change{
			Revision: changes[i].Revision, Type: ChangeStored, On: on, ID: id, Who: who, N: 1,
			Key: changes[i].Key, Value: changes[i].Value, Clock: m.clock,
		}
		if changes[i].Deleted {
			c.Type = ChangeDeleted
		}
		m.changes = append(m.changes, c)
	}
}

// remove forgets an object that nobody uses (SEMANTICS E9). A map's entries are deleted one by
// one before it, so that who watches it is told.
func (m *Machine) remove(id park.ID, on park.Object) {
	if m.crowded(id, session.MaxOpen) {
		return
	}
	if n := m.lot.Waiting(on); n > 0 {
		m.answer(id, park.Busy, n)
		return
	}
	if on.Kind == park.KindMap {
		m.noteEntries(id, on, m.tables.Do(on, table.Op{Verb: table.Clear}, m.nextRevision).Changes)
	}
	code, value := m.room(on.Kind).Delete(on)
	if code != park.Done {
		m.answer(id, code, value)
		return
	}
	m.note(ChangeRemoved, id, park.Arm{On: on})
	m.keep(id, session.Kept{Code: park.Done})
}
