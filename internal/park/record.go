package park

import (
	"errors"

	"coordd.dev/internal/wire"
)

// Append appends the key's encoding.
func (a ID) Append(b []byte) []byte {
	return wire.AppendUint(wire.AppendUint(b, a.Session), a.Seq)
}

// DecodeID takes an ID.
func DecodeID(d *wire.Decoder) ID {
	return ID{SessionID(d.Uint(maxUint)), Seq(d.Uint(maxUint))}
}

const maxUint = 1<<64 - 1

// Append appends the object's encoding.
func (a Object) Append(b []byte) []byte {
	return wire.AppendString(wire.AppendUint(b, a.Kind), a.Name)
}

// DecodeObject takes an Object, of any kind and name.
func DecodeObject(d *wire.Decoder) Object {
	return Object{Kind(d.Uint(255)), d.String()}
}

// AppendArms appends a list of arms.
func AppendArms(b []byte, arms []Arm) []byte {
	b = wire.AppendUint(b, uint64(len(arms)))
	for _, a := range arms {
		b = a.On.Append(b)
		b = wire.AppendUint(b, a.flags())
		b = wire.AppendInt(b, a.N)
		b = wire.AppendInt(b, a.Limit)
		if a.Value != "" {
			b = wire.AppendString(b, a.Value)
		}
		if a.Codec != "" {
			b = wire.AppendString(b, a.Codec)
		}
	}
	return b
}

// The flags of an arm's encoding.
const (
	flagShared = 1 << iota
	flagValue  // a value follows
	flagSend
	flagRecv
	flagAck
	flagCodec // a codec follows
	allFlags  = flagShared | flagValue | flagSend | flagRecv | flagAck | flagCodec
)

func (a Arm) flags() (f uint8) {
	if a.Shared {
		f |= flagShared
	}
	if a.Value != "" {
		f |= flagValue
	}
	switch a.Side {
	case Send:
		f |= flagSend
	case Recv:
		f |= flagRecv
	case Alone:
	}
	if a.Ack {
		f |= flagAck
	}
	if a.Codec != "" {
		f |= flagCodec
	}
	return f
}

func decodeArm(d *wire.Decoder) Arm {
	a := Arm{On: DecodeObject(d)}
	f := d.Uint(allFlags)
	a.Shared, a.Ack = f&flagShared != 0, f&flagAck != 0
	switch f & (flagSend | flagRecv) {
	case flagSend:
		a.Side = Send
	case flagRecv:
		a.Side = Recv
	case flagSend | flagRecv:
		d.Fail("an arm on two sides")
	}
	a.N, a.Limit = d.Int(), d.Int()
	if f&flagValue != 0 {
		a.Value = d.Text()
	}
	if f&flagCodec != 0 {
		a.Codec = d.Text()
	}
	return a
}

// DecodeArms takes a list of arms.
func DecodeArms(d *wire.Decoder) []Arm {
	n := d.Len()
	if n == 0 {
		return nil
	}
	arms := make([]Arm, 0, min(n, 64))
	for i := 0; i < n && !d.Failed(); i++ {
		arms = append(arms, decodeArm(d))
	}
	return arms
}

// Append appends the waiter's encoding.
func (w Waiter) Append(b []byte) []byte {
	b = AppendArms(b, w.Arms)
	b = wire.AppendUint(b, w.Commit)
	b = wire.AppendInt(b, w.Prio)
	b = wire.AppendUint(b, w.Ticket)
	b = wire.AppendInt(b, w.Since)
	b = wire.AppendInt(b, w.Until)
	t := w.Terms.Get()
	b = wire.AppendInt(b, t.Delay)
	b = wire.AppendString(b, t.Note)
	if t.Lineage.Empty() {
		return wire.AppendOptional(b, t.Trace)
	}
	return AppendLineage(wire.AppendString(b, t.Trace), t.Lineage)
}

func decodeWaiter(d *wire.Decoder) Waiter {
	return Waiter{
		Arms:   DecodeArms(d),
		Commit: Commit(d.Uint(uint64(Every))),
		Prio:   d.Int32(),
		Ticket: d.Uint(maxUint),
		Since:  Clock(d.Int()),
		Until:  Clock(d.Int()),
		Terms:  decodeTerms(d),
	}
}

// decodeTerms takes the end of a waiter, where there may be a trace or, in records of later
// versions, a trace that may be empty and a lineage.
func decodeTerms(d *wire.Decoder) *Terms {
	t := Terms{Delay: d.Int(), Note: d.String()}
	if !d.More() {
		return NewTerms(t)
	}
	switch t.Trace = d.String(); {
	case d.More():
		t.Lineage = DecodeLineage(d)
	case t.Trace == "":
		d.Fail("an empty trace")
	}
	return NewTerms(t)
}

// Save emits the lot's records.
func (l *Lot) Save(emit func([]byte) error) error {
	if err := emit(wire.AppendUint(nil, l.last)); err != nil {
		return err
	}
	return l.waiters.Save(emit)
}

// Restore takes what Save emitted into a lot that is empty, and queues everybody anew.
func (l *Lot) Restore(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	l.last = d.Uint(maxUint)
	if err := d.Close(); err != nil {
		return err
	}
	err = l.waiters.Restore(take, func(d *wire.Decoder) (ID, Waiter) { return DecodeID(d), decodeWaiter(d) })
	if err != nil {
		return err
	}
	for id, w := range l.waiters.All() {
		for i := range w.Arms {
			if _, taken := l.places.Get(w.place(i)); taken {
				return ErrPlace
			}
		}
		l.enqueue(id, w)
	}
	return nil
}

// ErrPlace says that two saved waiters stand in one place.
var ErrPlace = errors.New("two waiters in one place")
