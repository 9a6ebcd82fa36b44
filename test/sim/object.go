package main

import (
	"fmt"
	"math/rand/v2"

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
	return out
}

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
func (o *object) grant(x *op, a park.Arm, token park.Token) {
	w := x.u.c.w
	if !x.sure() {
		return // revoked at once, and its client has not heard of it
	}
	held := a.N
	for i := 0; i < len(o.sure); {
		other := o.sure[i]
		if !other.alone() {
			o.sure = append(o.sure[:i], o.sure[i+1:]...)
			continue
		}
		i++
		b := other.on(o.on)
		held += b.N
		if o.on.Kind == park.KindLock && !(a.Shared && b.Shared) {
			w.failf("exclusion: %s is held by client %d (call %d) and client %d (call %d)",
				o.on.Name, other.u.c.id, other.call, x.u.c.id, x.call)
		}
	}
	if o.on.Kind == park.KindSemaphore && held > o.most {
		w.failf("permits: %d of %s are held, the limit was never above %d", held, o.on.Name, o.most)
	}
	if exclusive := o.on.Kind == park.KindLock && !a.Shared; exclusive {
		if token <= o.token {
			w.failf("token: %d of %s follows %d", token, o.on.Name, o.token)
		}
		o.token = max(o.token, token)
	}
	o.sure = append(o.sure, x)
}

// on is what x believes to hold of an object.
func (x *op) on(on park.Object) park.Arm {
	for _, a := range x.arms {
		if a.On == on {
			if len(x.arms) == 1 {
				a.N = x.n
			}
			return a
		}
	}
	panic("sim: not held")
}

func (o *object) drop(x *op) {
	for i, other := range o.sure {
		if other == x {
			o.sure = append(o.sure[:i:i], o.sure[i+1:]...)
			return
		}
	}
}

// forget drops what a dead process held.
func (o *object) forget(c *client) {
	var left []*op
	for _, x := range o.sure {
		if x.u.c != c {
			left = append(left, x)
		}
	}
	o.sure = left
}
