package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"coordd.dev/internal/wire"
)

// Whatever decodes has one encoding, and that is the input; whatever does not is
// reported as corrupt.
func FuzzDecoder(f *testing.F) {
	f.Add(wire.AppendBool(wire.AppendString(wire.AppendInt(wire.AppendUint(nil, uint64(300)), -5), "name"), true))
	f.Add([]byte{0x80, 0x00})
	f.Add([]byte{1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		u, i, s, v := d.Uint(1<<63), d.Int(), d.String(), d.Bool()
		if err := d.Close(); err != nil {
			if !errors.Is(err, wire.ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		again := wire.AppendBool(wire.AppendString(wire.AppendInt(wire.AppendUint(nil, u), i), s), v)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x decodes and encodes as %x", b, again)
		}
	})
}

// What is optional is not there if it is empty, so that records of before it read the same.
func TestOptional(t *testing.T) {
	record := wire.AppendUint(nil, uint8(7))
	for _, s := range []string{"", "x", string(make([]byte, 300))} {
		b := wire.AppendOptional(bytes.Clone(record), s)
		if s == "" && !bytes.Equal(b, record) {
			t.Errorf("an empty one takes %d bytes", len(b)-len(record))
		}
		d := wire.NewDecoder(b)
		if n, got := d.Uint(255), d.Optional(); n != 7 || got != s || d.Close() != nil {
			t.Errorf("%q comes back as %q: %v", s, got, d.Close())
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		take func(*wire.Decoder)
	}{
		"above the limit":   {[]byte{9}, func(d *wire.Decoder) { d.Uint(8) }},
		"not the shortest":  {[]byte{0x81, 0x00}, func(d *wire.Decoder) { d.Uint(300) }},
		"list longer":       {[]byte{5, 1}, func(d *wire.Decoder) { d.Len() }},
		"string longer":     {[]byte{1}, func(d *wire.Decoder) { _ = d.String() }},
		"short":             {[]byte{1}, func(d *wire.Decoder) { d.Fill(make([]byte, 2)) }},
		"left over":         {[]byte{1, 1}, func(d *wire.Decoder) { d.Bool() }},
		"neither true nor":  {[]byte{2}, func(d *wire.Decoder) { d.Bool() }},
		"an empty text":     {[]byte{0}, func(d *wire.Decoder) { _ = d.Text() }},
		"an empty optional": {[]byte{0}, func(d *wire.Decoder) { _ = d.Optional() }},
		"a short optional":  {[]byte{2, 'x'}, func(d *wire.Decoder) { _ = d.Optional() }},
		"fails for another": {[]byte{1}, func(d *wire.Decoder) { d.Fail("because") }},
	} {
		d := wire.NewDecoder(c.in)
		c.take(d)
		if err := d.Close(); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
