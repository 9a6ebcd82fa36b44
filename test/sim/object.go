package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"coordd.dev/internal/park"
)

func newObjects(n int, r *rand.Rand) (out []*object) {
	for i := range n {
		o := &object{on: park.Object{Kind: park.KindLock, Name: fmt.Sprintf("lock%d", i)}}
		out = append(out, o)
	}
	for i := range (n + 1) / 2 {
		o := &object{
			on:    park.Object{Kind: park.KindSemaphore, Name: fmt.Sprintf("sem%d", i)},
			limit: 1 + r.Int64N(4),
		}
		o.most = o.limit
		out = append(out, o)
	}
	for i := range (n + 1) / 2 {
		out = append(out, &object{on: park.Object{Kind: park.KindElection, Name: fmt.Sprintf("election%d", i)}})
	}
	return out
}

// An object is a named thing that users want, and who has it by what clients believe.
type object struct {
	on    park.Object
	limit int64 // that everybody states, of a semaphore
	most  int64 // the highest that anybody set
	sure  []holder
	token park.Token // the highest that anybody was told
}

// A holder is a call that somebody believes to hold with.
type holder interface {
	// sure reports whether its client may believe in the hold: until the deadline on its
	// clock, whatever it has noticed (SEMANTICS A4).
	sure() bool

	// alone reports whether nobody else may hold what it holds: as long as its client may
	// believe in it, and the work that its loss has stopped needs to end (SEMANTICS A5).
	alone() bool

	// share is what it believes to hold of an object.
	share(park.Object) park.Arm

	// key is what the order knows it as, and permits what it surely has of its one arm.
	key() park.ID
	permits() (n int64, sure bool)

	String() string
}

// clash reports whether two holds of an object exclude each other.
func clash(a, b park.Arm) bool {
	return a.On.Kind == park.KindElection || a.On.Kind == park.KindLock && !(a.Shared && b.Shared)
}

// fenced reports whether a hold has a token.
func fenced(a park.Arm) bool { return clash(a, park.Arm{Shared: true}) }

// believe demands that the log has what clients surely hold.
func (w *world) believe() {
	for _, o := range w.objects {
		for _, x := range o.sure {
			if x.sure() {
				w.order.believed(w, x)
			}
		}
	}
}

func (w *world) object(on park.Object) *object {
	for _, o := range w.objects {
		if o.on == on {
			return o
		}
	}
	panic("sim: no such object")
}

// grant notes that a user was told that it holds, and demands that it may.
func (o *object) grant(w *world, x holder, a park.Arm, token park.Token) {
	if !x.sure() {
		return // revoked at once, and its client has not heard of it
	}
	o.prune()
	held := a.N
	for _, other := range o.sure {
		b := other.share(o.on)
		held += b.N
		if clash(a, b) {
			w.failf("exclusion: %s is held by %v and %v", o.on.Name, other, x)
		}
	}
	if o.on.Kind == park.KindSemaphore && held > o.most {
		w.failf("permits: %d of %s are held, the limit was never above %d", held, o.on.Name, o.most)
	}
	if fenced(a) {
		if token <= o.token {
			w.failf("token: %d of %s follows %d", token, o.on.Name, o.token)
		}
		o.token = max(o.token, token)
	}
	o.sure = append(o.sure, x)
}

// prune drops those whose clients cannot believe in what they hold any more.
func (o *object) prune() {
	o.sure = slices.DeleteFunc(o.sure, func(x holder) bool { return !x.alone() })
}

func (o *object) drop(x holder) {
	o.sure = slices.DeleteFunc(o.sure, func(other holder) bool { return other == x })
}

// share is what a hold of arms has of an object; of a single arm it is n.
func share(arms []park.Arm, n int64, on park.Object) park.Arm {
	for _, a := range arms {
		if a.On == on {
			if len(arms) == 1 {
				a.N = n
			}
			return a
		}
	}
	panic("sim: not held")
}
