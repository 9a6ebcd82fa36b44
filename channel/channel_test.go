package channel_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"coordd.dev/channel"
	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

func on(name string) park.Object { return park.Object{Kind: park.KindChan, Name: name} }

func send(name, value string, capacity int64) park.Arm {
	return park.Arm{On: on(name), Side: park.Send, N: 1, Value: value, Limit: capacity}
}

func recv(name string, capacity int64) park.Arm {
	return park.Arm{On: on(name), Side: park.Recv, N: 1, Limit: capacity}
}

func recvAck(name string, capacity int64) park.Arm {
	a := recv(name, capacity)
	a.Ack = true
	return a
}

func id(n int) park.ID { return park.ID{Session: park.SessionID(1 + n%3), Seq: park.Seq(n)} }

// A world is a room and the pile that it must be.
type world struct {
	room channel.Room
	pile pile
}

func (w *world) copy() world { return world{w.room.Copy(), w.pile.clone()} }

// states are what random histories must reach, and how often they did.
type states map[string]int

func mustReach() []string {
	return []string{
		"makes a channel", "waits for a channel", "waits for an element", "waits for a slot",
		"meets", "is closed to a sender", "is closed to a receiver", "waits for what is unacknowledged",
		"differs in capacity", "differs in codec", "has no acknowledgement", "did not fit",
		"is delivered again", "comes back before a later one", "overtakes", "is acknowledged",
		"busy", "deleted with elements", "tidied", "kept", "closed when made", "restored with deliveries",
	}
}

// A room is a pile, whatever is done; and a copy of it goes its own way.
func TestRoomIsAPile(t *testing.T) {
	seen := states{}
	for range 5 {
		rapid.Check(t, func(t *rapid.T) { anyRoom(t, seen) })
	}
	for _, state := range mustReach() {
		if seen[state] == 0 {
			t.Errorf("never reached: %s", state)
		}
	}
}

// FuzzRoom is TestRoomIsAPile, guided by coverage.
func FuzzRoom(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyRoom(t, states{}) }))
}

func anyRoom(t *rapid.T, seen states) {
	w := world{room: channel.NewRoom()}
	other := w.copy()
	next := 0
	t.Repeat(map[string]func(*rapid.T){
		"ask":   func(t *rapid.T) { next += 2; w.ask(t, seen, drawArm(t, next), next) },
		"ask 2": func(t *rapid.T) { next += 2; w.ask(t, seen, drawArm(t, next), next) },
		"ask 3": func(t *rapid.T) { next += 2; w.ask(t, seen, drawArm(t, next), next) },
		"give":  func(t *rapid.T) { w.give(t, seen) },
		"close": func(t *rapid.T) { w.close(t, seen, drawArm(t, 0)) },
		"leave": func(t *rapid.T) { w.leave(t, seen, drawArm(t, 0).On) },
		"misfit": func(t *rapid.T) {
			a := drawArm(t, 0)
			a.Limit = park.AnyCapacity
			code, value := w.room.Misfit(a)
			if want, stored := w.pile.misfit(a); code != want || value != stored {
				t.Fatalf("Misfit(%+v) is %d (%d), should be %d (%d)", a, code, value, want, stored)
			}
			if code != 0 {
				seen["did not fit"]++
			}
		},
		"copy":        func(*rapid.T) { other = w.copy() },
		"go on there": func(*rapid.T) { w, other = other, w },
		"restore": func(t *rapid.T) {
			w.room = restored(t, &w.room)
			if len(w.pile.claims()) > 0 {
				seen["restored with deliveries"]++
			}
		},
		"": func(t *rapid.T) {
			compare(t, &w)
			compare(t, &other)
		},
	})
}

// capacities are those that the channels are mostly made with.
func capacities() map[string]int64 { return map[string]int64{"a": 3, "aa": 1, "b": 0, "c": 4} }

func drawArm(t *rapid.T, n int) park.Arm {
	name := rapid.SampledFrom([]string{"a", "a", "aa", "b", "c"}).Draw(t, "name")
	usual := capacities()[name]
	capacity := rapid.SampledFrom([]int64{usual, usual, usual, park.AnyCapacity, park.AnyCapacity, 2}).Draw(t, "capacity")
	var a park.Arm
	switch rapid.IntRange(0, 4).Draw(t, "arm") {
	case 0, 1:
		a = send(name, rapid.SampledFrom([]string{"", fmt.Sprint("element ", n)}).Draw(t, "value"), capacity)
	case 2:
		a = recv(name, capacity)
	default:
		a = recvAck(name, capacity)
	}
	a.Codec = rapid.SampledFrom([]string{"", "", "", "", "", "", "json", "gob"}).Draw(t, "codec")
	return a
}

// ask does what the machine does for a newcomer: it admits it, and commits it if it is
// ready, with a peer if need be.
func (w *world) ask(t *rapid.T, seen states, a park.Arm, n int) {
	channels := w.room.Len()
	code, value := w.room.Admit(a)
	if want, stored := w.pile.admit(a); code != want || value != stored {
		t.Fatalf("Admit(%+v) is %d (%d), should be %d (%d)", a, code, value, want, stored)
	}
	if w.room.Len() > channels {
		seen["makes a channel"]++
	}
	verdict := w.room.Ready(a)
	if want := w.pile.ready(a); code == 0 && verdict != want {
		t.Fatalf("Ready(%+v) is %d, should be %d", a, verdict, want)
	}
	switch {
	case code == park.Mismatch && value == park.CodecDiffers:
		seen["differs in codec"]++
	case code == park.Mismatch:
		seen["differs in capacity"]++
	case code == park.Invalid:
		seen["has no acknowledgement"]++
	case verdict == park.Yes:
		w.commit(t, seen, id(n), a, rapid.SampledFrom([]int32{0, 0, 0, 5, -1 << 31, 1<<31 - 1}).Draw(t, "prio"), nil)
	case verdict == park.Meet:
		w.meet(t, seen, a, n)
	default:
		seen[waits(w.pile.find(a.On), a)]++
	}
}

// waits says what for.
func waits(h *heap, a park.Arm) string {
	switch {
	case h == nil:
		return "waits for a channel"
	case a.Side == park.Send:
		return "waits for a slot"
	case h.closed:
		return "waits for what is unacknowledged"
	}
	return "waits for an element"
}

func (w *world) meet(t *rapid.T, seen states, a park.Arm, n int) {
	b := recv(a.On.Name, park.AnyCapacity)
	if a.Side == park.Recv {
		b = send(a.On.Name, fmt.Sprint("peer of ", n), park.AnyCapacity)
	}
	if verdict := w.room.Ready(b); verdict != park.Meet {
		t.Fatalf("Ready(%+v) is %d, but %+v meets", b, verdict, a)
	}
	ids := []park.ID{id(n), id(n + 1)}
	if rapid.Bool().Draw(t, "the other first") {
		a, b = b, a
		slices.Reverse(ids)
	}
	w.commit(t, seen, ids[0], a, 0, &b)
	w.commit(t, seen, ids[1], b, 0, &a)
	seen["meets"]++
}

func (w *world) commit(t *rapid.T, seen states, id park.ID, a park.Arm, prio int32, peer *park.Arm) {
	if h := w.pile.find(a.On); a.Side == park.Recv && peer == nil {
		i := h.next()
		switch {
		case i > 0 && h.elements[i].prio > h.elements[0].prio:
			seen["overtakes"]++
		case i >= 0 && i < len(h.elements)-1 && h.elements[i].attempts > 0:
			seen["comes back before a later one"]++
		}
	}
	got, want := w.room.Commit(id, a, prio, peer), w.pile.commit(id, a, prio, peer)
	if got != want {
		t.Fatalf("Commit(%+v) at %d is %+v, should be %+v", a, prio, got, want)
	}
	switch {
	case got.Code == park.Closed && a.Side == park.Send:
		seen["is closed to a sender"]++
	case got.Code == park.Closed:
		seen["is closed to a receiver"]++
	case got.Value > 1:
		seen["is delivered again"]++
	}
}

// give ends a hold, in one of its two ways.
func (w *world) give(t *rapid.T, seen states) {
	claims := w.pile.claims()
	if len(claims) == 0 {
		return
	}
	c := rapid.SampledFrom(claims).Draw(t, "claim")
	if rapid.IntRange(0, 2).Draw(t, "how") == 0 {
		w.room.Ack(c.id, c.on)
		w.pile.ack(c.id, c.on)
		seen["is acknowledged"]++
	} else {
		w.room.Release(c.id, recvAck(c.on.Name, park.AnyCapacity), 1)
		w.pile.release(c.id, c.on)
	}
}

func (w *world) close(t *rapid.T, seen states, a park.Arm) {
	channels := w.room.Len()
	code, value := w.room.Close(a.On, a.Limit, a.Codec)
	if want, stored := w.pile.close(a.On, a.Limit, a.Codec); code != want || value != stored {
		t.Fatalf("Close(%v, %d, %q) is %d (%d), should be %d (%d)", a.On, a.Limit, a.Codec, code, value, want, stored)
	}
	if w.room.Len() > channels {
		seen["closed when made"]++
	}
}

// leave tidies a channel up, as if nobody waited for it any more, or deletes it.
func (w *world) leave(t *rapid.T, seen states, on park.Object) {
	h := w.pile.find(on)
	if rapid.Bool().Draw(t, "delete") {
		code, value := w.room.Delete(on)
		if want, n := w.pile.remove(on); code != want || value != n {
			t.Fatalf("Delete(%v) is %d (%d), should be %d (%d)", on, code, value, want, n)
		}
		switch {
		case code == park.Busy:
			seen["busy"]++
		case code == park.Done && len(h.elements) > 0:
			seen["deleted with elements"]++
		}
		return
	}
	w.room.Tidy(on)
	w.pile.tidy(on)
	switch now := w.pile.find(on); {
	case now != nil:
		seen["kept"]++
	case h != nil:
		seen["tidied"]++
	}
}

func compare(t *rapid.T, w *world) {
	r, p := &w.room, w.pile
	claims := p.claims()
	faults := r.Check(func(id park.ID, on park.Object) bool { return slices.Contains(claims, claim{id, on}) }, len(claims))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := r.CheckSum(); err != nil {
		t.Fatal(err)
	}
	if r.Len() != len(p) {
		t.Fatalf("there are %d channels, should be %d", r.Len(), len(p))
	}
	for _, name := range []string{"a", "aa", "b", "c"} {
		got, ok := r.Traits(on(name))
		if want, there := p.traits(on(name)); got != want || ok != there {
			t.Fatalf("%s is %+v (%v), should be %+v (%v)", name, got, ok, want, there)
		}
	}
	for _, from := range []park.Object{{}, on("a"), on("a\x00"), on("b"), on("d"), {Kind: park.KindChan + 1}} {
		got, ok := r.First(from)
		if want, there := p.first(from); got != want || ok != there {
			t.Fatalf("First(%v) is %v (%v), should be %v (%v)", from, got, ok, want, there)
		}
	}
	for _, name := range []string{"a", "aa", "b", "c"} {
		compareHolders(t, r, p, on(name))
	}
	drain(t, w.copy())
}

func compareHolders(t *rapid.T, r *channel.Room, p pile, on park.Object) {
	var want []park.ID
	if h := p.find(on); h != nil {
		for _, e := range h.elements {
			if e.holder == (park.ID{}) {
				continue
			}
			want = append(want, e.holder)
			has := park.Result{Code: park.Granted, Value: e.attempts, Data: e.value}
			if got := r.Held(e.holder, recvAck(on.Name, park.AnyCapacity)); got != has {
				t.Fatalf("%v holds %+v, should hold %+v", e.holder, got, has)
			}
		}
	}
	slices.SortFunc(want, park.ID.Compare)
	if got := slices.Collect(r.Holders(on)); !slices.Equal(got, want) {
		t.Fatalf("%v hold elements of %v, should be %v", got, on, want)
	}
	for first := range r.Holders(on) {
		if first != want[0] {
			t.Fatalf("%v is the first to hold an element of %v, should be %v", first, on, want)
		}
		break
	}
}

// drain gives back all that is held and then receives all that there is, in order.
func drain(t *rapid.T, w world) {
	for _, c := range w.pile.claims() {
		w.room.Release(c.id, recvAck(c.on.Name, park.AnyCapacity), 1)
		w.pile.release(c.id, c.on)
	}
	for _, h := range w.pile {
		for a := recvAck(h.on.Name, park.AnyCapacity); h.next() >= 0; {
			if got, want := w.room.Commit(id(1), a, 0, nil), w.pile.commit(id(1), a, 0, nil); got != want {
				t.Fatalf("out of %v comes %+v, should be %+v", h.on, got, want)
			}
			w.room.Ack(id(1), h.on)
			w.pile.ack(id(1), h.on)
		}
	}
}

// saved are the records of a room.
func saved(t interface{ Fatal(...any) }, r *channel.Room) (records [][]byte) {
	err := r.Save(func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func restore(records [][]byte) (channel.Room, error) {
	r := channel.NewRoom()
	err := r.Restore(func() (*wire.Decoder, error) {
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	})
	return r, err
}

func restored(t interface{ Fatal(...any) }, r *channel.Room) channel.Room {
	again, err := restore(saved(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if again.Sum() != r.Sum() {
		t.Fatal("the restored room has another hash")
	}
	return again
}
