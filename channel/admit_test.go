package channel_test

import (
	"fmt"
	"strings"
	"testing"

	"coordd.dev/channel"
	"coordd.dev/internal/park"
)

func changed(a park.Arm, change func(a *park.Arm)) park.Arm {
	change(&a)
	return a
}

// rooms has a room with a channel "made" for 2 elements of codec json, a rendezvous "met" and
// a closed "closed" for 1.
func rooms() channel.Room {
	r := channel.NewRoom()
	r.Admit(changed(send("made", "x", 2), func(a *park.Arm) { a.Codec = "json" }))
	r.Admit(recv("met", 0))
	r.Close(on("closed"), 1, "")
	return r
}

// What may be asked for at all.
func TestAdmit(t *testing.T) {
	r := rooms()
	codec := func(a park.Arm, codec string) park.Arm {
		return changed(a, func(a *park.Arm) { a.Codec = codec })
	}
	for name, c := range map[string]struct {
		arm   park.Arm
		code  park.Code
		value int64
	}{
		"as it was made":             {codec(send("made", "", 2), "json"), 0, 0},
		"without a codec":            {recvAck("made", 2), 0, 0},
		"of any capacity":            {recv("made", park.AnyCapacity), 0, 0},
		"another capacity":           {recv("made", 3), park.Mismatch, 2},
		"a rendezvous":               {recv("made", 0), park.Mismatch, 2},
		"another codec":              {codec(recv("made", 2), "gob"), park.Mismatch, park.CodecDiffers},
		"another of both":            {codec(recv("made", 3), "gob"), park.Mismatch, 2},
		"a codec where none is":      {codec(recv("met", 0), "json"), park.Mismatch, park.CodecDiffers},
		"acknowledged, met":          {recvAck("met", 0), park.Invalid, 1},
		"acknowledged, any, met":     {recvAck("met", park.AnyCapacity), park.Invalid, 1},
		"acknowledged, none":         {recvAck("none", 0), park.Invalid, 1},
		"acknowledged, 5 met":        {recvAck("met", 5), park.Mismatch, 0},
		"of any capacity, none":      {codec(recvAck("none", park.AnyCapacity), "json"), 0, 0},
		"to a closed one":            {send("closed", "x", 1), 0, 0},
		"of another kind":            {changed(recv("x", 1), func(a *park.Arm) { a.On.Kind = park.KindLock }), park.Invalid, 1},
		"shared":                     {changed(recv("x", 1), func(a *park.Arm) { a.Shared = true }), park.Invalid, 1},
		"two":                        {changed(recv("x", 1), func(a *park.Arm) { a.N = 2 }), park.Invalid, 1},
		"on no side":                 {changed(recv("x", 1), func(a *park.Arm) { a.Side = park.Alone }), park.Invalid, 1},
		"sent with acknowledgement":  {changed(send("x", "", 1), func(a *park.Arm) { a.Ack = true }), park.Invalid, 1},
		"received with a value":      {changed(recv("x", 1), func(a *park.Arm) { a.Value = "x" }), park.Invalid, 1},
		"no name":                    {recv("", 1), park.Invalid, park.MaxName},
		"a long name":                {recv(strings.Repeat("x", park.MaxName+1), 1), park.Invalid, park.MaxName},
		"a capacity below any":       {recv("x", park.AnyCapacity-1), park.Invalid, channel.MaxCapacity},
		"the highest capacity":       {recv("high", channel.MaxCapacity), 0, 0},
		"a higher one":               {recv("x", channel.MaxCapacity+1), park.Invalid, channel.MaxCapacity},
		"the longest element":        {send("long", strings.Repeat("x", channel.MaxElement), 1), 0, 0},
		"a longer one":               {send("x", strings.Repeat("x", channel.MaxElement+1), 1), park.Invalid, channel.MaxElement},
		"the longest codec":          {codec(recv("named", 1), strings.Repeat("x", channel.MaxCodec)), 0, 0},
		"a longer codec":             {codec(recv("x", 1), strings.Repeat("x", channel.MaxCodec+1)), park.Invalid, channel.MaxCodec},
		"a codec that none can show": {codec(recv("x", 1), "a\nb"), park.Invalid, channel.MaxCodec},
	} {
		if code, value := r.Admit(c.arm); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
	}
	for name, made := range map[string]bool{"high": true, "long": true, "named": true, "none": false, "x": false} {
		if _, ok := r.Traits(on(name)); ok != made {
			t.Errorf("there is %s: %v", name, ok)
		}
	}
}

func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		on       park.Object
		capacity int64
		codec    string
		code     park.Code
		value    int64
	}{
		"as it was made":       {on("made"), 2, "json", park.Done, 0},
		"of any capacity":      {on("made"), park.AnyCapacity, "", park.Done, 0},
		"a rendezvous":         {on("met"), 0, "", park.Done, 0},
		"another capacity":     {on("made"), 3, "", park.Mismatch, 2},
		"another codec":        {on("made"), 2, "gob", park.Mismatch, park.CodecDiffers},
		"again":                {on("closed"), 1, "", park.Closed, 0},
		"again, another":       {on("closed"), 2, "", park.Mismatch, 1},
		"none":                 {on("none"), park.AnyCapacity, "", park.NotFound, 0},
		"none yet":             {on("none"), 0, "json", park.Done, 0},
		"a lock":               {park.Object{Kind: park.KindLock, Name: "x"}, 1, "", park.Invalid, 1},
		"no name":              {on(""), 1, "", park.Invalid, park.MaxName},
		"a capacity below any": {on("none"), park.AnyCapacity - 1, "", park.Invalid, channel.MaxCapacity},
		"a capacity too high":  {on("none"), channel.MaxCapacity + 1, "", park.Invalid, channel.MaxCapacity},
		"a codec too long":     {on("none"), 1, strings.Repeat("x", channel.MaxCodec+1), park.Invalid, channel.MaxCodec},
	} {
		r := rooms()
		if code, value := r.Close(c.on, c.capacity, c.codec); code != c.code || value != c.value {
			t.Errorf("%s: code %d (%d), should be %d (%d)", name, code, value, c.code, c.value)
		}
		if got, _ := r.Traits(c.on); (got.State == park.ChannelClosed) != (c.code == park.Done || c.on == on("closed")) {
			t.Errorf("%s: then it is %+v", name, got)
		}
	}
}

// Only what is acknowledged is held by one call alone.
func TestExclusive(t *testing.T) {
	r := channel.NewRoom()
	for arm, want := range map[park.Arm]bool{send("x", "", 1): false, recv("x", 1): false, recvAck("x", 1): true} {
		if got := r.Exclusive(arm); got != want {
			t.Errorf("Exclusive(%+v) is %v", arm, got)
		}
	}
}

// A channel is full of bytes before it is of elements, also while they are unacknowledged.
func TestFullOfBytes(t *testing.T) {
	r := channel.NewRoom()
	long := strings.Repeat("x", channel.MaxElement)
	whole := send("c", long, channel.MaxCapacity)
	r.Admit(whole)
	n := 0
	for ; r.Ready(whole) == park.Yes; n++ {
		r.Commit(id(n), whole, 0, nil)
	}
	if n != channel.MaxBytes/channel.MaxElement {
		t.Errorf("full after %d elements", n)
	}
	one, none := send("c", "x", channel.MaxCapacity), send("c", "", channel.MaxCapacity)
	if one, none := r.Ready(one), r.Ready(none); one != park.No || none != park.Yes {
		t.Errorf("an element of a byte: %d; an empty one: %d", one, none)
	}
	if code, _ := r.Admit(one); code != 0 {
		t.Errorf("to wait for a slot: code %d", code)
	}
	r.Commit(id(n), recvAck("c", channel.MaxCapacity), 0, nil)
	if r.Ready(one) != park.No {
		t.Error("what is unacknowledged leaves room")
	}
	r.Ack(id(n), on("c"))
	if r.Ready(whole) != park.Yes {
		t.Error("what was acknowledged leaves no room")
	}
}

// full returns a room that has as many elements as it can, on channels "0", "1" and so on,
// each of them as full as it can be, and those "met" of capacity 0, "closed" and "free".
func full(t *testing.T) channel.Room {
	t.Helper()
	r := channel.NewRoom()
	r.Admit(recv("met", 0))
	r.Close(on("closed"), 1, "")
	r.Admit(recv("free", 1))
	long := strings.Repeat("x", channel.MaxElement)
	for n, stored := 0, int64(0); ; n++ {
		a := send(fmt.Sprint(n/(channel.MaxBytes/channel.MaxElement)), long, channel.MaxCapacity)
		stored += channel.MaxElement + channel.Overhead
		code, value := r.Admit(a)
		if stored > channel.MaxStored {
			if code != park.Limit || value != channel.MaxStored {
				t.Fatalf("with %d stored: code %d (%d)", stored, code, value)
			}
			return r
		}
		if code != 0 {
			t.Fatalf("with %d stored: code %d (%d)", stored, code, value)
		}
		r.Commit(id(n), a, 0, nil)
	}
}

// The elements of the whole room have a limit, which refuses what would be stored and
// nothing else, and nobody that waits already.
func TestMaxStored(t *testing.T) {
	r := full(t)
	long := strings.Repeat("x", channel.MaxElement)
	for name, c := range map[string]struct {
		arm  park.Arm
		code park.Code
	}{
		"to a channel with room":   {send("free", long, 1), park.Limit},
		"to a full one":            {send("0", long, channel.MaxCapacity), park.Limit},
		"to one that is made":      {send("new", long, 1), park.Limit},
		"to whatever will be made": {send("new", long, park.AnyCapacity), park.Limit},
		"to a receiver":            {send("met", long, 0), 0},
		"to a new receiver":        {send("new met", long, 0), 0},
		"to a closed one":          {send("closed", long, 1), 0},
		"a receive":                {recv("0", channel.MaxCapacity), 0},
	} {
		if code, _ := r.Admit(c.arm); code != c.code {
			t.Errorf("%s: code %d, should be %d", name, code, c.code)
		}
	}
	if r.Ready(send("free", long, 1)) != park.Yes {
		t.Error("who was admitted before would wait for ever")
	}
	for name, frees := range map[string]func(r *channel.Room){
		"a receive": func(r *channel.Room) { r.Commit(id(1), recv("0", channel.MaxCapacity), 0, nil) },
		"an acknowledgement": func(r *channel.Room) {
			r.Commit(id(1), recvAck("0", channel.MaxCapacity), 0, nil)
			r.Ack(id(1), on("0"))
		},
		"a deletion": func(r *channel.Room) { r.Delete(on("0")) },
	} {
		r := r.Copy()
		frees(&r)
		if code, _ := r.Admit(send("free", long, 1)); code != 0 {
			t.Errorf("after %s: code %d", name, code)
		}
	}
}

// Empty elements count too.
func TestMaxStoredOfEmpty(t *testing.T) {
	r := full(t)
	a := send("empty", "", channel.MaxCapacity)
	for n := range channel.MaxElement / channel.Overhead {
		if code, _ := r.Admit(a); code == park.Limit {
			return
		}
		r.Commit(id(n), a, 0, nil)
	}
	t.Error("there is always room for an empty one")
}

func TestMaxChannels(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the room")
	}
	r := channel.NewRoom()
	for n := range channel.MaxChannels {
		r.Admit(recv(fmt.Sprint(n), 1))
	}
	if code, n := r.Admit(recv("new", 1)); code != park.Limit || n != channel.MaxChannels {
		t.Errorf("another: code %d (%d)", code, n)
	}
	if code, n := r.Close(on("new"), 1, ""); code != park.Limit || n != channel.MaxChannels {
		t.Errorf("another that is closed: code %d (%d)", code, n)
	}
	if code, _ := r.Admit(recv("new", park.AnyCapacity)); code != 0 {
		t.Errorf("to wait for another: code %d", code)
	}
	if code, _ := r.Admit(recv("7", 1)); code != 0 {
		t.Errorf("one that there is: code %d", code)
	}
	if code, _ := r.Close(on("7"), 1, ""); code != park.Done {
		t.Errorf("to close one that there is: code %d", code)
	}
	r.Tidy(on("8"))
	if code, _ := r.Admit(recv("new", 1)); code != 0 {
		t.Errorf("another for one that went: code %d", code)
	}
}
