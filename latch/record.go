package latch

import (
	"errors"
	"math"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// Append appends the turn's encoding.
func (a turn) Append(b []byte) []byte { return wire.AppendUint(a.on.Append(b), a.order) }

// Append appends the balance's encoding.
func (a balance) Append(b []byte) []byte {
	return wire.AppendInt(wire.AppendUint(b, a.session), a.n)
}

func decodeBalance(d *wire.Decoder) (turn, balance) {
	at := turn{park.DecodeObject(d), d.Uint(math.MaxUint64)}
	b := balance{park.SessionID(d.Uint(math.MaxUint64)), d.Int()}
	if b.n < 1 || b.n > MaxCount {
		d.Fail("a balance out of range")
	}
	return at, b
}

// Append appends nothing: that the record is there says all.
func (mark) Append(b []byte) []byte { return b }

// Append appends the outcome's encoding.
func (a outcome) Append(b []byte) []byte {
	return wire.AppendString(wire.AppendInt(b, a.how), a.result)
}

func decodeOutcome(d *wire.Decoder) (park.Object, outcome) {
	on, end := park.DecodeObject(d), outcome{d.Int(), d.String()}
	if end.how != Returned && end.how != Panicked {
		d.Fail("an end that no function has")
	}
	return on, end
}

// Sum is the hash of the room.
func (g *Groups) Sum() uint64 { return g.balances.Sum() + 3*g.cut.Sum() }

// Save emits the room's records.
func (g *Groups) Save(emit func([]byte) error) error {
	return errors.Join(g.balances.Save(emit), g.cut.Save(emit))
}

// ErrTwice says that a session has two saved balances of a group.
var ErrTwice = errors.New("two balances of one session")

// Restore takes what Save emitted into a room that is empty.
func (g *Groups) Restore(take func() (*wire.Decoder, error)) error {
	if err := g.balances.Restore(take, decodeBalance); err != nil {
		return err
	}
	err := g.cut.Restore(take, func(d *wire.Decoder) (park.Object, mark) { return park.DecodeObject(d), mark{} })
	if err != nil {
		return err
	}
	for at, b := range g.balances.All() {
		g.count(at.on, b.n)
		shares, _ := g.shares.Get(owner(b.session))
		g.shares.Put(owner(b.session), shares+1)
	}
	distinct := g.orders.Fill(g.balances.Len(), func(yield func(share, uint64) bool) {
		for at, b := range g.balances.All() {
			if !yield(share{b.session, at.on}, at.order) {
				return
			}
		}
	})
	if !distinct {
		return ErrTwice
	}
	return nil
}

// Sum is the hash of the room.
func (o *Onces) Sum() uint64 { return o.done.Sum() }

// Save emits the room's records; who runs what is not among them.
func (o *Onces) Save(emit func([]byte) error) error { return o.done.Save(emit) }

// Restore takes what Save emitted into a room that is empty; Rehold follows for the runners.
func (o *Onces) Restore(take func() (*wire.Decoder, error)) error {
	if err := o.done.Restore(take, decodeOutcome); err != nil {
		return err
	}
	for _, end := range o.done.All() {
		o.stored += int64(len(end.result))
	}
	return nil
}
