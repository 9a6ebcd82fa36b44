package lessee

import "testing"

// BenchmarkLockUnlock is a pair a call: Start, its grant, End, its answer, in frames of as
// many calls as there are goroutines.
func BenchmarkLockUnlock(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(map[int]string{1: "1", 64: "64", 1024: "1024"}[n], func(b *testing.B) {
			l := New(Config{TTL: 1 << 60})
			a, _ := l.Connect(0, Secret{})
			l.Attached(0, a.Epoch, Attached{Session: 1})
			calls := make([]Call, n)
			answers := make([]Answer, 0, n)
			exchange := func(v Verdict) {
				f, _ := l.Frame(n)
				answers = answers[:0]
				for _, op := range f.Ops {
					answers = append(answers, Answer{Seq: op.Seq, Verdict: v})
				}
				l.Receive(0, a.Epoch, answers)
				l.Outcomes()
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				for k := range calls {
					calls[k] = l.Start(ClassWait, nil)
				}
				exchange(Granted)
				for _, c := range calls {
					l.End(c)
				}
				exchange(Done)
			}
		})
	}
}
