// Package wire is the encoding of everything that the machine writes: commands in the
// log, records in snapshots, and the bytes that the state hash is taken over.
//
// Fields stand one after the other without tags: unsigned numbers as uvarints, signed
// ones zigzagged, strings and lists with their length before them. One value has one
// encoding, which the state hash needs and protocol buffers do not promise. What is
// written begins with a version where it is kept (the log's entry, the snapshot's
// header), so that a later format can be told from this one.
//
// It does not know any record, and it does no I/O.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt says that bytes are not what an encoder of this version writes.
var ErrCorrupt = errors.New("corrupt encoding")

// AppendUint appends an unsigned number.
func AppendUint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](b []byte, v T) []byte {
	return binary.AppendUvarint(b, uint64(v))
}

// AppendInt appends a signed number.
func AppendInt[T ~int | ~int32 | ~int64](b []byte, v T) []byte {
	return binary.AppendVarint(b, int64(v))
}

// AppendString appends a string or bytes.
func AppendString[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendOptional appends the last field of a record, which is not there if it is empty: so
// a field may be added to records that are kept already.
func AppendOptional(b []byte, s string) []byte {
	if s == "" {
		return b
	}
	return AppendString(b, s)
}

// AppendBool appends a truth value.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// A Decoder takes values off the front of bytes. The first fault sticks: what follows
// it is zero, and Close reports it.
type Decoder struct {
	rest []byte
	err  error
}

// NewDecoder returns a decoder of b, which it only reads.
func NewDecoder(b []byte) *Decoder { return &Decoder{rest: b} }

// Reset makes the decoder one of b, without a fault.
func (d *Decoder) Reset(b []byte) { *d = Decoder{rest: b} }

// Failed reports whether there was a fault.
func (d *Decoder) Failed() bool { return d.err != nil }

// Fail records a fault of the caller's own finding.
func (d *Decoder) Fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	d.rest = nil
}

// Uint takes an unsigned number of at most max.
func (d *Decoder) Uint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit || n > 1 && d.rest[n-1] == 0 {
		d.Fail("number")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Int takes a signed number.
func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.Fail("number")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// Int32 takes a signed number of 32 bits.
func (d *Decoder) Int32() int32 {
	v := d.Int()
	if v != int64(int32(v)) { //nolint:gosec // what is cut off is what is looked for
		d.Fail("number")
		return 0
	}
	return int32(v) //nolint:gosec // see above
}

// Len takes the length of a list. Each element takes a byte at least, so that a
// damaged length cannot ask for more memory than the input has. An element of a few
// bytes may be a large struct: whoever takes a list stops at the first fault (Failed)
// and reserves for a few at a time.
func (d *Decoder) Len() int {
	return int(d.Uint(uint64(len(d.rest)))) //nolint:gosec // bounded by the line's argument
}

// String takes a string; it is a copy, so that it does not keep the input alive.
func (d *Decoder) String() string { return string(d.view()) }

// Text takes a string that is not empty.
func (d *Decoder) Text() string {
	s := d.String()
	if s == "" {
		d.Fail("an empty string")
	}
	return s
}

// Fill takes exactly len(to) bytes.
func (d *Decoder) Fill(to []byte) {
	if len(d.rest) < len(to) {
		d.Fail("short")
		return
	}
	copy(to, d.rest)
	d.rest = d.rest[len(to):]
}

// Bool takes a truth value.
func (d *Decoder) Bool() bool { return d.Uint(1) == 1 }

// Optional takes what AppendOptional appended, at the end of a record.
func (d *Decoder) Optional() string {
	if len(d.rest) == 0 {
		return ""
	}
	return d.Text()
}

// More reports whether anything is left.
func (d *Decoder) More() bool { return len(d.rest) > 0 }

// Close reports the first fault, bytes left over among them.
func (d *Decoder) Close() error {
	if d.err == nil && len(d.rest) > 0 {
		d.Fail("bytes left over")
	}
	return d.err
}

func (d *Decoder) view() []byte {
	n := d.Len()
	if n > len(d.rest) {
		d.Fail("short")
		return nil
	}
	v := d.rest[:n]
	d.rest = d.rest[n:]
	return v
}
