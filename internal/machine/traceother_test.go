package machine_test

import (
	"fmt"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/table"
)

// What traces know of conds, maps and deletions.

// otherOp parses such an op.
func (tr *trace) otherOp(w *words, verb string, target func() park.Seq) (op machine.Op) {
	cond := func() park.Object { return park.Object{Kind: park.KindCond, Name: w.next()} }
	switch verb {
	case "await":
		op.Do, op.To = machine.DoAwait, target()
		op.Wait = w.wait(park.Any)
	case "signal":
		op.Do, op.On, op.N = machine.DoSignal, cond(), 1
	case "broadcast":
		op.Do, op.On, op.N = machine.DoSignal, cond(), 1<<40
	case "delete":
		op.Do, op.On = machine.DoDelete, w.object()
	case "map":
		op.Do, op.On = machine.DoTable, park.Object{Kind: park.KindMap, Name: w.next()}
		op.Table = w.table()
	default:
		w.t.Fatalf("unknown op %q", verb)
	}
	return op
}

// table is an op upon a map; - is an empty value.
func (w *words) table() *table.Op {
	verbs := []string{"", "load", "store", "loadorstore", "loadanddelete", "delete", "swap", "cas", "cad", "clear", "range"}
	op := &table.Op{Codec: w.option("codec", ""), Verb: table.Verb(slices.Index(verbs, w.next()))}
	value := func() string {
		if v := w.next(); v != "-" {
			return v
		}
		return ""
	}
	if op.Verb != table.Clear && op.Verb != table.Range {
		op.Key = w.next()
	}
	switch op.Verb {
	case table.Store, table.LoadOrStore, table.Swap:
		op.Value = value()
	case table.CompareAndSwap:
		op.Old, op.Value = value(), value()
	case table.CompareAndDelete:
		op.Old = value()
	}
	return op
}

func (w *words) read() machine.Command {
	return &machine.Read{On: park.Object{Kind: park.KindMap, Name: w.next()}, Op: *w.table()}
}

func readText(r machine.ReadResult) string {
	return fmt.Sprintf("read %s (%d) at %d:%s%s", codeName(r.Code), r.Value, r.Revision, dataText(r.Data), printedPairs(r.Entries))
}

func mapTraits(t park.Traits) string {
	s := fmt.Sprintf("%d entries of %d bytes", t.Held, t.Bytes)
	if t.Codec != "" {
		s += ", codec " + t.Codec
	}
	return s
}
