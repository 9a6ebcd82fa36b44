package cow

import (
	"errors"

	"coordd.dev/internal/wire"
)

// ErrDisorder says that saved records are not in key order, so that no Save wrote them.
var ErrDisorder = errors.New("records out of order")

// Save emits the number of records, then each of them, in key order. What emit is given
// is valid only during the call.
func (t *Table[K, V]) Save(emit func(record []byte) error) error {
	if err := emit(wire.AppendUint(nil, uint64(t.Len()))); err != nil { //nolint:gosec // a length
		return err
	}
	var b []byte
	for k, v := range t.All() {
		b = v.Append(k.Append(b[:0]))
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// Restore takes what Save emitted into a table that is empty.
func (t *Table[K, V]) Restore(take func() (*wire.Decoder, error), decode func(*wire.Decoder) (K, V)) error {
	d, err := take()
	if err != nil {
		return err
	}
	n := d.Uint(1 << 62)
	if err := d.Close(); err != nil {
		return err
	}
	for range n {
		d, err := take()
		if err != nil {
			return err
		}
		k, v := decode(d)
		if err := d.Close(); err != nil {
			return err
		}
		if !t.Load(k, v) {
			return ErrDisorder
		}
	}
	return nil
}
