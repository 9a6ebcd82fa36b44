package park_test

import (
	"bytes"
	"errors"
	"testing"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// What a hold keeps of the terms of its wait is all but the lineage.
func TestHeldTerms(t *testing.T) {
	l := &park.Lineage{Site: "a.go:1"}
	wait := park.Terms{Delay: 5, Note: "note", Trace: "span", Lineage: l}
	if got := *park.NewTerms(wait).Held(); got != (park.Terms{Delay: 5, Note: "note", Trace: "span"}) {
		t.Errorf("it keeps %+v", got)
	}
	if wait.Lineage != l {
		t.Error("the terms of the wait have changed")
	}
	if got := park.NewTerms(park.Terms{Lineage: l}).Held(); got != nil {
		t.Errorf("of a lineage only it keeps %+v", got)
	}
	plain := park.NewTerms(park.Terms{Note: "note"})
	if plain.Held() != plain || (*park.Terms)(nil).Held() != nil {
		t.Error("terms without a lineage are copied")
	}
}

// A waiter has one encoding with and without a lineage, and what has none reads as ever.
func TestWaiterEncoding(t *testing.T) {
	lineage := &park.Lineage{Holds: []park.Named{{ID: park.ID{Session: 1, Seq: 2}}}}
	arms := []park.Arm{{On: park.Object{Kind: 1, Name: "x"}, N: 1}}
	head := park.Waiter{Arms: arms, Ticket: 1}.Append(nil) // up to the note, which is empty
	for name, c := range map[string]struct {
		terms park.Terms
		tail  []byte
		want  error
	}{
		"nothing":             {park.Terms{}, nil, nil},
		"a trace":             {park.Terms{Trace: "t"}, []byte{1, 't'}, nil},
		"a lineage":           {park.Terms{Lineage: lineage}, []byte{0, 0, 1, 1, 2, 0}, nil},
		"both":                {park.Terms{Trace: "t", Lineage: lineage}, []byte{1, 't', 0, 1, 1, 2, 0}, nil},
		"a site":              {park.Terms{Lineage: &park.Lineage{Site: "s"}}, []byte{0, 1, 's', 0}, nil},
		"an empty trace":      {tail: []byte{0}, want: wire.ErrCorrupt},
		"an empty lineage":    {tail: []byte{0, 0, 0}, want: wire.ErrCorrupt},
		"a short lineage":     {tail: []byte{0, 0, 1, 1, 2}, want: wire.ErrCorrupt},
		"more than a lineage": {tail: []byte{0, 1, 's', 0, 0}, want: wire.ErrCorrupt},
	} {
		w := park.Waiter{Arms: arms, Ticket: 1, Terms: park.NewTerms(c.terms)}
		record := append(bytes.Clone(head), c.tail...)
		lot := park.NewLot()
		records := [][]byte{{1}, {1}, append(park.ID{Session: 9, Seq: 9}.Append(nil), record...)}
		err := lot.Restore(func() (*wire.Decoder, error) {
			d := wire.NewDecoder(records[0])
			records = records[1:]
			return d, nil
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
		if c.want != nil {
			continue
		}
		if got := w.Append(nil); !bytes.Equal(got, record) {
			t.Errorf("%s is encoded as %x, should be %x", name, got, record)
		}
		got, _ := lot.Get(park.ID{Session: 9, Seq: 9})
		if again := got.Append(nil); !bytes.Equal(again, record) {
			t.Errorf("%s comes back as %+v", name, got.Terms.Get())
		}
	}
}
