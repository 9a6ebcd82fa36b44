package session

import (
	"errors"
	"fmt"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// A Secret proves that a session is one's own: the first 16 bytes of the SHA-256 of what
// the client keeps, so that no log and no snapshot has the original.
type Secret [16]byte

// A Lease is what a session is from its first to its last moment.
type Lease struct {
	Secret   Secret
	Instance uint64 // the client process
	TTL      int64  // nanoseconds
	Who      string // opaque here
}

// A State is where a session stands.
type State struct {
	Epoch   uint64     // of its stream
	Stamp   park.Clock // of the last renewal
	Last    park.Seq
	Forget  park.Clock // when an ended one is forgotten; live sessions have 0
	Open    int32      // calls parked, held or kept
	Revoked bool
	Over    bool // it ended

	// Derived, and in no encoding.
	alarm park.Clock // where the session's stands
	bytes int64      // of the data of its kept results
	lent  int64      // bytes of what its holds were given with them
	lease *Lease     // the session's, so that a renewal need not look for it
}

// Lent is how many bytes of data the session was given with what it holds.
func (s State) Lent() int64 { return s.lent }

// A Hold is what a call took. Its arms are never changed in place.
type Hold struct {
	Arms  []park.Arm
	Arm   uint16     // which of its wait's arms it is; 0 if it is all of them
	Token park.Token // 0 if others may hold too
	Since park.Clock
	Free  park.Clock // when the lock-delay is over, once the session is; else 0
	Terms *park.Terms
}

// Kept is the result of a call that changed something and left no hold.
type Kept struct {
	Code  park.Code
	Value int64
	Arm   uint16 // of a wait: the one that committed
	Data  string
}

// number is a SessionID as a key.
type number park.SessionID

const maxUint = 1<<64 - 1

func (a number) Compare(b number) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (a number) Append(b []byte) []byte { return wire.AppendUint(b, a) }

// Append appends the lease's encoding.
func (l Lease) Append(b []byte) []byte {
	b = append(b, l.Secret[:]...)
	b = wire.AppendUint(b, l.Instance)
	b = wire.AppendInt(b, l.TTL)
	return wire.AppendString(b, l.Who)
}

func decodeLease(d *wire.Decoder) *Lease {
	l := new(Lease)
	d.Fill(l.Secret[:])
	l.Instance = d.Uint(maxUint)
	l.TTL = d.Int()
	l.Who = d.String()
	return l
}

// Append appends the state's encoding.
func (s State) Append(b []byte) []byte {
	b = wire.AppendUint(b, s.Epoch)
	b = wire.AppendInt(b, s.Stamp)
	b = wire.AppendUint(b, s.Last)
	b = wire.AppendInt(b, s.Forget)
	b = wire.AppendInt(b, s.Open)
	b = wire.AppendBool(b, s.Revoked)
	return wire.AppendBool(b, s.Over)
}

func decodeState(d *wire.Decoder) State {
	return State{
		Epoch:   d.Uint(maxUint),
		Stamp:   park.Clock(d.Int()),
		Last:    park.Seq(d.Uint(maxUint)),
		Forget:  park.Clock(d.Int()),
		Open:    d.Int32(),
		Revoked: d.Bool(),
		Over:    d.Bool(),
	}
}

// Append appends the hold's encoding.
func (h Hold) Append(b []byte) []byte {
	b = park.AppendArms(b, h.Arms)
	b = wire.AppendUint(b, h.Arm)
	b = wire.AppendUint(b, h.Token)
	b = wire.AppendInt(b, h.Since)
	t := h.Terms.Get()
	b = wire.AppendInt(b, t.Delay)
	b = wire.AppendInt(b, h.Free)
	return wire.AppendOptional(wire.AppendString(b, t.Note), t.Trace)
}

func decodeHold(d *wire.Decoder) Hold {
	h := Hold{
		Arms:  park.DecodeArms(d),
		Arm:   uint16(d.Uint(1<<16 - 1)), //nolint:gosec // bounded by the argument
		Token: park.Token(d.Uint(maxUint)),
		Since: park.Clock(d.Int()),
	}
	t := park.Terms{Delay: d.Int()}
	h.Free = park.Clock(d.Int())
	t.Note, t.Trace = d.String(), d.Optional()
	h.Terms = park.NewTerms(t)
	return h
}

// Append appends the result's encoding.
func (k Kept) Append(b []byte) []byte {
	if k.Arm == 0 && k.Data == "" {
		return wire.AppendInt(wire.AppendUint(b, k.Code), k.Value)
	}
	b = wire.AppendInt(wire.AppendUint(b, k.Code|flagMore), k.Value)
	return wire.AppendString(wire.AppendUint(b, k.Arm), k.Data)
}

// flagMore says that an arm and data follow. Most results have neither, and those that were
// written when none had are as they were.
const flagMore park.Code = 1 << 7

func decodeKept(d *wire.Decoder) Kept {
	code := park.Code(d.Uint(255)) //nolint:gosec // bounded by the argument
	k := Kept{Code: code &^ flagMore, Value: d.Int()}
	if code&flagMore == 0 {
		return k
	}
	k.Arm, k.Data = uint16(d.Uint(1<<16-1)), d.String() //nolint:gosec // bounded by the argument
	if k.Arm == 0 && k.Data == "" {
		d.Fail("a result that says it has more")
	}
	return k
}

// Save emits the book's records.
func (b *Book) Save(emit func([]byte) error) error {
	b.file()
	if err := emit(wire.AppendUint(nil, b.last)); err != nil {
		return err
	}
	return errors.Join(b.leases.Save(emit), b.states.Save(emit), b.holds.Save(emit), b.kept.Save(emit))
}

// Restore takes what Save emitted into a book that is empty, and sets every alarm anew
// but those of waits, which the caller knows.
func (b *Book) Restore(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	b.last = park.SessionID(d.Uint(maxUint))
	if err := d.Close(); err != nil {
		return err
	}
	num := func(d *wire.Decoder) number {
		n := d.Uint(maxUint)
		if n == 0 {
			d.Fail("session 0")
		}
		return number(n)
	}
	if err := b.leases.Restore(take, func(d *wire.Decoder) (number, *Lease) { return num(d), decodeLease(d) }); err != nil {
		return err
	}
	if err := b.states.Restore(take, func(d *wire.Decoder) (number, State) { return num(d), decodeState(d) }); err != nil {
		return err
	}
	if err := b.holds.Restore(take, func(d *wire.Decoder) (park.ID, Hold) { return park.DecodeID(d), decodeHold(d) }); err != nil {
		return err
	}
	if err := b.kept.Restore(take, func(d *wire.Decoder) (park.ID, Kept) { return park.DecodeID(d), decodeKept(d) }); err != nil {
		return err
	}
	for _, n := range collect(b.states.All()) {
		s := park.SessionID(n)
		l, ok := b.leases.Get(n)
		if !ok {
			return fmt.Errorf("session %v has no lease", s)
		}
		st := b.change(s)
		st.lease = l
		if !st.Over {
			b.live++
		}
		b.place(s, b.ends(s))
	}
	for id, h := range b.holds.All() {
		if h.Free != 0 {
			b.SetAlarm(h.Free, id)
		}
	}
	for id, k := range b.kept.All() {
		if _, ok := b.State(id.Session); !ok {
			return fmt.Errorf("session %v has a result and no state", id.Session)
		}
		b.change(id.Session).bytes += int64(len(k.Data))
	}
	return nil
}
