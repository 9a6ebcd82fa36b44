package lessee

import (
	"pgregory.net/rapid"
)

// An up is a message on its way to the server.
type up struct {
	epoch  uint64 // 0 of a renewal: those overtake each other
	attach *Attach
	frame  *Frame
	lease  *Lease
}

type downOf struct {
	epoch uint64
	down
}

func (w *world) connect() {
	w.secrets++
	a, ok := w.l.Connect(w.now(), Secret{w.secrets})
	if !ok {
		return
	}
	if a.Epoch <= w.epoch {
		w.t.Fatalf("epoch %d follows %d", a.Epoch, w.epoch)
	}
	w.epoch, w.connected = a.Epoch, true
	w.epochs[a.Epoch] = a.Session
	w.ups = append(w.ups, up{epoch: a.Epoch, attach: &a})
}

// cut loses the stream, with what is on it or, as it may be, without: that comes late.
func (w *world) cut() {
	if !w.connected {
		return
	}
	w.connected = false
	w.l.Disconnect(w.epoch)
	if n := len(w.ups); n > 0 && rapid.Bool().Draw(w.t, "lost") {
		// A stream loses its tail, never its middle.
		keep := rapid.IntRange(0, n).Draw(w.t, "arrives")
		left := w.ups[:keep:keep]
		for _, u := range w.ups[keep:] {
			if u.epoch != w.epoch {
				left = append(left, u)
			}
		}
		w.ups = left
	}
	if rapid.Bool().Draw(w.t, "answers lost") {
		w.downs = nil
	}
}

// double has a message of the network arrive twice.
func (w *world) double() {
	if len(w.ups) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.ups)-1).Draw(w.t, "which")
	w.ups = append(w.ups[:i+1], w.ups[i:]...)
}

// up delivers the first message of some stream, or any renewal.
func (w *world) up() {
	if len(w.ups) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.ups)-1).Draw(w.t, "which")
	for j := 0; j < i; j++ {
		if w.ups[j].epoch == w.ups[i].epoch {
			i = j // before it on its stream
			break
		}
	}
	w.deliver(i)
}

func (w *world) deliver(i int) {
	u := w.ups[i]
	w.ups = append(w.ups[:i:i], w.ups[i+1:]...)
	switch {
	case u.attach != nil:
		w.f.attach(*u.attach)
	case u.frame != nil:
		// The server knows a stream by its Attach; one that was never answered has none.
		if s := w.epochs[u.epoch]; s != 0 {
			w.f.frame(s, *u.frame)
		}
	case u.lease != nil:
		w.f.renew(*u.lease)
	}
}

// down hears the first message of the present stream, or of an old one, or any renewal.
func (w *world) down() {
	if len(w.downs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.downs)-1).Draw(w.t, "which")
	for j := 0; j < i; j++ {
		if w.downs[j].epoch == w.downs[i].epoch && w.downs[i].epoch != 0 {
			i = j
			break
		}
	}
	w.hear(i)
}

func (w *world) hear(i int) {
	d := w.downs[i]
	w.downs = append(w.downs[:i:i], w.downs[i+1:]...)
	switch {
	case d.attached != nil:
		// An opening Attach that came twice opened two: its stream is the first's.
		if w.epochs[d.epoch] == 0 {
			w.epochs[d.epoch] = d.attached.Session
		}
		opening := w.l.stream.state == streamOpening && w.l.stream.epoch == d.epoch
		w.l.Attached(w.now(), d.epoch, *d.attached)
		if id, _ := w.l.Session(); opening && id == 0 {
			w.seen["late open"]++
		}
	case d.answers != nil:
		w.l.Receive(w.now(), d.epoch, d.answers)
	case d.over != nil:
		w.l.Over(w.now(), d.over.session, d.over.reason)
		if d.epoch == w.epoch {
			w.connected = false
			w.l.Disconnect(w.epoch)
		}
	case d.renewed != nil:
		if d.renewed.r == Renewed && d.renewed.lease.Start < w.l.session.credited {
			w.seen["renewed out of order"]++
		}
		w.l.Renewed(w.now(), d.renewed.lease, d.renewed.r)
	}
}
