package machine

import (
	"strings"

	"coordd.dev/internal/park"
)

// maxListed is the most that one List returns.
const maxListed = 1_000

// An ObjectList is the answer to List.
type ObjectList struct {
	Index    uint64
	Revision uint64 // of the last change of anything at that index
	Objects  []Summary
	More     bool // there are others after the last
}

// A Summary is an object in a list: who has it, and how many want it.
type Summary struct {
	On      park.Object
	Holder  *Party // the first; nil if nobody holds it
	Holders int64  // up to 100 are counted
	Waiting int64
	Stored  bool // as of a Description
	Traits  park.Traits
}

// list lists objects that are held, waited for, or have something stored.
func (m *Machine) list(l *List) ObjectList {
	out := ObjectList{Index: m.index, Revision: m.revision}
	limit, told := min(max(l.Max, 1), maxListed), 0
	for kind := park.KindLock; kind <= lastKind; kind++ {
		if l.Kind != 0 && kind != l.Kind {
			continue
		}
		from := park.Object{Kind: kind, Name: l.Prefix}
		if after := l.After.Next(); after.Compare(from) > 0 {
			from = after
		}
		for {
			on, ok := m.first(from)
			if !ok || on.Kind != kind || !strings.HasPrefix(on.Name, l.Prefix) {
				break
			}
			if int64(len(out.Objects)) == limit || told > maxTold {
				out.More = true
				return out
			}
			s := m.summary(on)
			if s.Holder != nil {
				told += len(s.Holder.Who) + len(s.Holder.Note) + len(s.Holder.Value)
			}
			out.Objects = append(out.Objects, s)
			from = on.Next()
		}
	}
	return out
}

// first returns the first object, from the given one on, that any room has.
func (m *Machine) first(from park.Object) (on park.Object, ok bool) {
	least := func(o park.Object, found bool) {
		if found && (!ok || o.Compare(on) < 0) {
			on, ok = o, true
		}
	}
	for _, r := range m.rooms() {
		least(r.First(from))
	}
	least(m.lot.First(from))
	return on, ok
}

func (m *Machine) summary(on park.Object) Summary {
	d := m.describe(on, 1, 0)
	s := Summary{On: on, Waiting: d.Waiting, Stored: d.Stored, Traits: d.Traits}
	if len(d.Holders) > 0 {
		s.Holder = &d.Holders[0]
	}
	for range m.room(on.Kind).Holders(on) {
		if s.Holders++; s.Holders == maxParties {
			break
		}
	}
	return s
}
