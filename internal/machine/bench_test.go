package machine_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// What Apply costs, without the log and without decoding. A pair is a Lock and its
// Unlock, each its own op.

// A caller is one session that benchmarks lock with.
type caller struct {
	frame machine.Frame
	last  park.Seq
}

func (r *rig) callers(n int) []caller {
	first := r.open(n, machine.MaxTTL)
	callers := make([]caller, n)
	for i := range callers {
		callers[i].frame = machine.Frame{Session: first + park.SessionID(i), Epoch: 1, Ops: make([]machine.Op, 1)}
	}
	return callers
}

// lock and unlock make the caller's frame the next one; it is valid until the one after.
func (c *caller) lock(op machine.Op) machine.Command { return c.op(op) }

func (c *caller) unlock() machine.Command { return c.op(endOp(c.last)) }

func (c *caller) op(op machine.Op) machine.Command {
	c.last++
	op.Seq = c.last
	c.frame.Ops[0] = op
	return &c.frame
}

// locks are names, in no order, and the ops that lock them.
func locks(n int) []machine.Op {
	ops := make([]machine.Op, n)
	for i := range ops {
		ops[i] = lockOp(fmt.Sprintf("tenant-%03d/job-%016x", i%1000, rand.Uint64()))
	}
	return ops
}

// hold makes many sessions hold n locks, a hundred each.
func (r *rig) hold(n int) {
	const each = 100
	if n == 0 {
		return
	}
	first := r.open(n/each, machine.MaxTTL)
	for i, op := range locks(n) {
		r.frame(first+park.SessionID(i/each), op)
	}
}

func BenchmarkLockUnlock(b *testing.B) {
	for _, held := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			r := newRig(b)
			r.hold(held)
			c := &r.callers(1)[0]
			ops := make([]machine.Op, 10_000)
			for i := range ops {
				ops[i] = lockOp(fmt.Sprintf("tenant-%03d/other-%07d", rand.IntN(1000), rand.IntN(1_000_000)))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.apply(1, c.lock(ops[i%len(ops)]))
				r.apply(1, c.unlock())
			}
		})
	}
}

// Entries of 256 ops, each of another session; figures are a pair.
func BenchmarkLockUnlockBatch(b *testing.B) {
	const batch = 256
	r := newRig(b)
	callers := r.callers(batch)
	ops := locks(batch)
	commands := make([]machine.Command, batch)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%batch != 0 {
			continue
		}
		for j := range callers {
			commands[j] = callers[j].lock(ops[j])
		}
		r.apply(1, commands...)
		for j := range callers {
			commands[j] = callers[j].unlock()
		}
		r.apply(1, commands...)
	}
}

// An Unlock that grants the next of so many waiters, and a Lock at the tail.
func BenchmarkHandOff(b *testing.B) {
	for _, waiters := range []int{10, 10_000, 100_000 - 1} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			r := newRig(b)
			callers := r.callers(min(waiters+1, 10_000))
			op := lockOp("x")
			type call struct {
				c   *caller
				seq park.Seq
			}
			var queue []call
			wait := func(c *caller) {
				r.apply(1, c.lock(op))
				queue = append(queue, call{c, c.last})
			}
			for i := range waiters + 1 {
				wait(&callers[i%len(callers)])
			}
			b.ReportAllocs()
			for b.Loop() {
				holder := queue[0]
				queue = queue[1:]
				r.apply(1, holder.c.op(endOp(holder.seq)))
				wait(holder.c)
			}
			if got := r.machine.Counts().Waiters; got != int64(waiters) {
				b.Fatalf("%d waiters", got)
			}
		})
	}
}

// A select of eight free locks, and its end.
func BenchmarkSelect8(b *testing.B) {
	r := newRig(b)
	c := &r.callers(1)[0]
	op := lockOp("a")
	for _, o := range locks(7) {
		op.Wait.Arms = append(op.Wait.Arms, o.Wait.Arms...)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.apply(1, c.lock(op))
		r.apply(1, c.unlock())
	}
}

func BenchmarkSemaphore(b *testing.B) {
	r := newRig(b)
	c := &r.callers(1)[0]
	op := permitsOp("s", 3, 10)
	b.ReportAllocs()
	for b.Loop() {
		r.apply(1, c.lock(op))
		r.apply(1, c.unlock())
	}
}

// The renewals of 1,000 sessions in one entry; figures are a session.
func BenchmarkRenew(b *testing.B) {
	const batch = 1000
	r := newRig(b)
	first := r.open(100_000, machine.MaxTTL)
	renew := &machine.Renew{Sessions: make([]park.SessionID, batch)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%batch != 0 {
			continue
		}
		for j := range renew.Sessions {
			renew.Sessions[j] = first + park.SessionID((i+j)%100_000)
		}
		r.apply(1, renew)
	}
}

// To take a snapshot of 1,000,000 locks; and the first pair after it, which copies the
// nodes that it changes.
func BenchmarkSnapshotTake(b *testing.B) {
	r := newRig(b)
	r.hold(1_000_000)
	c := &r.callers(1)[0]
	op := lockOp("tenant-500/other")
	var kept *machine.Snapshot
	b.ReportAllocs()
	for b.Loop() {
		kept = r.machine.Snapshot()
		b.StopTimer()
		r.apply(1, c.lock(op))
		r.apply(1, c.unlock())
		b.StartTimer()
	}
	runtime.KeepAlive(kept)
}

func BenchmarkSnapshotWrite(b *testing.B) {
	r := newRig(b)
	r.hold(1_000_000)
	s := r.machine.Snapshot()
	for b.Loop() {
		n, err := s.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

func BenchmarkRestore(b *testing.B) {
	r := newRig(b)
	r.hold(1_000_000)
	snapshot := written(b, r.machine)
	*r = rig{}
	runtime.GC()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := machine.Restore(bytes.NewReader(snapshot)); err != nil {
			b.Fatal(err)
		}
	}
}

// 4,096 sessions with a hold each that end in one entry, of 100,000.
func BenchmarkExpiry(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r := newRig(b)
		first := r.open(100_000, machine.MinTTL)
		for i, op := range locks(100_000) {
			r.frame(first+park.SessionID(i), op)
		}
		b.StartTimer()
		_, events := r.apply(machine.MinTTL)
		if len(events) != machine.MaxEnds {
			b.Fatalf("%d events", len(events))
		}
	}
}

// What a held lock, a session and a waiter take of memory, all indexes counted.
func BenchmarkMemory(b *testing.B) {
	measure := func(fill func(r *rig) int) float64 {
		r := newRig(b)
		before := heap()
		n := fill(r)
		r.last = nil
		after := heap()
		runtime.KeepAlive(r.machine)
		return float64(after-before) / float64(n)
	}
	for b.Loop() {
	}
	b.ReportMetric(measure(func(r *rig) int {
		r.open(100_000, machine.MaxTTL)
		return 100_000
	}), "B/session")
	b.ReportMetric(measure(func(r *rig) int {
		first := r.open(1000, machine.MaxTTL)
		for i := range 1_000_000 {
			// As from the log: nothing is shared with the op before.
			c, err := machine.DecodeCommand(machine.AppendCommand(nil, &machine.Frame{
				Session: first + park.SessionID(i%1000), Epoch: 1, Ops: []machine.Op{{
					Seq: park.Seq(1 + i/1000), Do: machine.DoWait,
					Wait: lockOp(fmt.Sprintf("tenant-%03d/job-%07d", i%1000, i)).Wait,
				}},
			}))
			if err != nil {
				b.Fatal(err)
			}
			r.apply(0, c)
		}
		return 1_000_000
	}), "B/lock")
	b.ReportMetric(measure(func(r *rig) int {
		first := r.open(1000, machine.MaxTTL)
		for i := range 100_000 {
			r.frame(first+park.SessionID(i%1000), lockOp("x"))
		}
		return 100_000
	}), "B/waiter")
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
