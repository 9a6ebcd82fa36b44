package channel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"coordd.dev/channel"
	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// What the machine must never do stops it.
func TestBrokenInvariantsPanic(t *testing.T) {
	peer := func(a park.Arm) *park.Arm { return &a }
	for name, broken := range map[string]func(r *channel.Room){
		"no channel":                 func(r *channel.Room) { r.Commit(id(2), recv("none", 1), 0, nil) },
		"sent to a full one":         func(r *channel.Room) { r.Commit(id(2), send("full", "", 1), 0, nil) },
		"received of an empty one":   func(r *channel.Room) { r.Commit(id(2), recv("full", 1), 0, nil) },
		"a rendezvous of one":        func(r *channel.Room) { r.Commit(id(2), send("met", "", 0), 0, nil) },
		"a rendezvous with a buffer": func(r *channel.Room) { r.Commit(id(2), send("free", "", 1), 0, peer(recv("free", 1))) },
		"a rendezvous of one side":   func(r *channel.Room) { r.Commit(id(2), send("met", "", 0), 0, peer(send("met", "", 0))) },
		"a rendezvous of two":        func(r *channel.Room) { r.Commit(id(2), send("met", "", 0), 0, peer(recv("free", 1))) },
		"a rendezvous when closed":   func(r *channel.Room) { r.Commit(id(2), send("closed", "", 0), 0, peer(recv("closed", 0))) },
		"given back by another":      func(r *channel.Room) { r.Release(id(2), recvAck("full", 1), 1) },
		"given back elsewhere":       func(r *channel.Room) { r.Release(id(1), recvAck("free", 1), 1) },
		"given back by half":         func(r *channel.Room) { r.Release(id(1), recvAck("full", 1), 0) },
		"acknowledged by another":    func(r *channel.Room) { r.Ack(id(2), on("full")) },
		"acknowledged elsewhere":     func(r *channel.Room) { r.Ack(id(1), on("none")) },
		"acknowledged twice":         func(r *channel.Room) { r.Ack(id(1), on("full")); r.Ack(id(1), on("full")) },
		"held by another":            func(r *channel.Room) { r.Held(id(2), recvAck("full", 1)) },
		"held twice by a call": func(r *channel.Room) {
			r.Admit(send("two", "", 2))
			for range 2 {
				r.Commit(id(3), send("two", "", 2), 0, nil)
			}
			for range 2 {
				r.Commit(id(3), recvAck("two", 2), 0, nil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := channel.NewRoom()
			r.Admit(send("full", "", 1))
			r.Admit(send("free", "", 1))
			r.Admit(send("met", "", 0))
			r.Close(on("closed"), 0, "")
			r.Commit(id(1), send("full", "", 1), 0, nil)
			r.Commit(id(1), recvAck("full", 1), 0, nil)
			defer func() {
				if said, ok := recover().(string); !ok || !strings.HasPrefix(said, "channel: ") {
					t.Errorf("it goes on, or says %q", said)
				}
			}()
			broken(&r)
		})
	}
}

// A shelf is a room as its records: one channel that has two elements sent, of which call 1
// holds the first.
type shelf struct {
	last                     uint64
	number                   uint64
	capacity                 int64
	sent                     uint64
	buffered, unacked, bytes int64
	of, first, second        uint64
	attempts                 int64
	value                    string
	twin                     bool // another channel of that number
	stray                    bool // an element more, as that which is held
	other                    park.ID
}

func newShelf() shelf {
	return shelf{
		last: 7, number: 7, capacity: 2, sent: 9, buffered: 1, unacked: 1, bytes: 4,
		of: 7, first: 8, second: 9, attempts: 1, value: "so", other: id(1),
	}
}

func count(b []byte, n int) []byte { return wire.AppendUint(b, uint64(n)) }

func (s shelf) room(t *testing.T) channel.Room {
	t.Helper()
	appendChannel := func(name string) []byte {
		b := wire.AppendInt(wire.AppendUint(on(name).Append(nil), s.number), s.capacity)
		b = wire.AppendUint(wire.AppendBool(wire.AppendString(b, "json"), false), s.sent)
		return wire.AppendInt(wire.AppendInt(wire.AppendInt(b, s.buffered), s.unacked), s.bytes)
	}
	appendElement := func(number uint64, attempts int64) []byte {
		b := wire.AppendUint(wire.AppendInt(wire.AppendUint(nil, s.of), int32(0)), number)
		return wire.AppendString(wire.AppendInt(b, attempts), s.value)
	}
	held := s.other.Append(wire.AppendUint(nil, s.of))
	held = wire.AppendUint(wire.AppendInt(held, int32(0)), s.first)
	held = wire.AppendString(wire.AppendInt(held, s.attempts), s.value)

	channels, elements := [][]byte{appendChannel("c")}, [][]byte{appendElement(s.second, 0)}
	if s.twin {
		channels = append(channels, appendChannel("d"))
	}
	if s.stray {
		elements = append([][]byte{appendElement(s.first, 1)}, elements...)
	}
	r, err := restore(slices.Concat(
		[][]byte{wire.AppendUint(nil, s.last), count(nil, len(channels))}, channels,
		[][]byte{count(nil, len(elements))}, elements,
		[][]byte{count(nil, 1), held},
	))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Check tells of what does not fit together, which no sequence of calls should make.
func TestCheckTells(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *shelf)
		want   string // "" is nothing
	}{
		"a room that is right": {func(*shelf) {}, ""},
		"held by nobody":       {func(s *shelf) { s.other = id(2) }, "J1: the room has {"},
		"buffered":             {func(s *shelf) { s.buffered = 2; s.capacity = 3 }, "J6: {8 c} has {"},
		"unacknowledged":       {func(s *shelf) { s.unacked = 0 }, "J6: {8 c} has {"},
		"bytes":                {func(s *shelf) { s.bytes = 5 }, "J6: {8 c} has {"},
		"a small capacity":     {func(s *shelf) { s.capacity = 1 }, "J6: {8 c} of capacity 1"},
		"a negative one":       {func(s *shelf) { s.capacity = -1 }, "J6: {8 c} of capacity -1"},
		"a large one":          {func(s *shelf) { s.capacity = channel.MaxCapacity + 1 }, "J6: {8 c} of capacity 65537"},
		"no such channel":      {func(s *shelf) { s.of = 6 }, "J6: element 9 of {0 }, channel 6"},
		"never sent":           {func(s *shelf) { s.sent = 8 }, "J6: element 9 of {8 c}"},
		"number 0":             {func(s *shelf) { s.first = 0 }, "J6: element 0 of {8 c}"},
		"in two places":        {func(s *shelf) { s.second = s.first }, "J6: element 8 of {8 c} is in two places"},
		"also buffered":        {func(s *shelf) { s.stray, s.buffered, s.bytes, s.capacity = true, 2, 6, 3 }, "J6: element 8 of {8 c} is in two places"},
		"not attempted":        {func(s *shelf) { s.attempts = 0 }, "J6: element 8 of {8 c}: 2 bytes, 0 attempts"},
		"too long": {func(s *shelf) {
			s.value = strings.Repeat("x", channel.MaxElement+1)
			s.bytes = 2*channel.MaxElement + 2
		}, "J6: element 9 of {8 c}: 65537 bytes"},
		"a number never given":  {func(s *shelf) { s.last = 6 }, "J10: channel {8 c} has number 7"},
		"the number of another": {func(s *shelf) { s.twin = true }, "J10: channel {8 d} has number 7"},
		"the number of none":    {func(s *shelf) { s.number, s.of = 0, 0 }, "J10: channel {8 c} has number 0"},
	} {
		s := newShelf()
		c.change(&s)
		r := s.room(t)
		faults := errors.Join(r.Check(func(call park.ID, o park.Object) bool { return call == id(1) }, 1)...)
		if c.want == "" && faults != nil || c.want != "" && (faults == nil || !strings.Contains(faults.Error(), c.want)) {
			t.Errorf("%s: %v, should be %q", name, faults, c.want)
		}
	}
	r := newShelf().room(t)
	yes := func(park.ID, park.Object) bool { return true }
	if faults := errors.Join(r.Check(yes, 2)...); faults == nil || !strings.Contains(faults.Error(), "J1: the room has 1 elements held, there are 2") {
		t.Errorf("a hold that the room has not: %v", faults)
	}
}

// A channel that counts more elements than it has does not take those of another.
func TestCountedButNotThere(t *testing.T) {
	s := newShelf()
	s.of, s.last = 8, 8
	r := s.room(t)
	defer func() {
		if recover() == nil {
			t.Error("it goes on")
		}
	}()
	r.Commit(id(2), recv("c", 2), 0, nil)
}

// Whatever goes wrong with a snapshot is told, at whichever record.
func TestSaveAndRestoreTell(t *testing.T) {
	r := newShelf().room(t)
	records := saved(t, &r)
	broken := errors.New("broken")
	for i := range records {
		n := 0
		err := r.Save(func([]byte) error {
			if n++; n == i+1 {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) {
			t.Errorf("save, record %d: %v", i, err)
		}
		for name, c := range map[string]struct {
			at  func(record []byte) ([]byte, error)
			why error
		}{
			"cannot be read": {func(record []byte) ([]byte, error) { return record, broken }, broken},
			"is longer":      {func(record []byte) ([]byte, error) { return append(slices.Clone(record), 0), nil }, wire.ErrCorrupt},
			"is shorter":     {func(record []byte) ([]byte, error) { return record[:len(record)-1], nil }, wire.ErrCorrupt},
		} {
			again, n := channel.NewRoom(), 0
			err := again.Restore(func() (*wire.Decoder, error) {
				record, err := records[n], error(nil)
				if n++; n == i+1 {
					record, err = c.at(record)
				}
				return wire.NewDecoder(record), err
			})
			if !errors.Is(err, c.why) {
				t.Errorf("restore, record %d %s: %v", i, name, err)
			}
		}
	}
	twice := slices.Concat(records[:1], [][]byte{{2}, records[2], records[2]}, records[3:])
	if _, err := restore(twice); !errors.Is(err, cow.ErrDisorder) {
		t.Errorf("a channel that is there twice: %v", err)
	}
}
