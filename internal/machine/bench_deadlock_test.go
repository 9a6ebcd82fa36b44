package machine_test

import "testing"

// What a wait with a lineage costs that parks and leaves again: if nobody waits for what it
// keeps; if somebody does, so that it is searched; and if it is refused. It stands behind so
// many others.
func BenchmarkLineage(b *testing.B) {
	for name, c := range map[string]struct {
		ahead   int
		blocked bool
		self    bool
		named   bool
	}{
		"none":            {ahead: 100},
		"nobody waits":    {ahead: 100, named: true},
		"searched":        {ahead: 100, named: true, blocked: true},
		"refused":         {ahead: 100, named: true, self: true},
		"searched, 10000": {ahead: 10_000, named: true, blocked: true},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			s := r.open(2, minute)
			r.frame(s, lockOp("outer"), lockOp("inner"))
			if c.blocked {
				r.frame(s+1, lockOp("outer"))
			}
			for range c.ahead {
				r.frame(s+1, lockOp("inner"))
			}
			op := lockOp("inner")
			switch {
			case c.self:
				op = keeping(op, s, 2)
			case c.named:
				op = keeping(op, s, 1)
			}
			for b.Loop() {
				r.frame(s, op)
				r.frame(s, endOp(r.last[s]))
			}
			if r.machine.Unsearched() != 0 {
				b.Errorf("%d were not searched", r.machine.Unsearched())
			}
		})
	}
}
