package protocodec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"coordd.dev/client"
	"coordd.dev/client/protocodec"
	"coordd.dev/coordtest"
)

// A channel of messages: only the declaration says that they are protobuf's.
func Example() {
	remind := func(ctx context.Context, c *client.Client) error {
		reminders := client.NewChan[*timestamppb.Timestamp](c, "reminders", 10,
			client.WithCodec(protocodec.New[*timestamppb.Timestamp]()))
		if err := reminders.SendContext(ctx, timestamppb.New(time.Unix(1e9, 0))); err != nil {
			return err
		}
		at, _, err := reminders.RecvContext(ctx)
		if err != nil {
			return err
		}
		fmt.Println(at.AsTime())
		return nil
	}
	_ = remind // with a client of client.Dial(ctx, "")
	fmt.Println(protocodec.New[*timestamppb.Timestamp]().Name())
	// Output: protobuf/google.protobuf.Timestamp
}

func TestRoundTrip(t *testing.T) {
	c := protocodec.New[*structpb.Struct]()
	fields := make(map[string]any)
	for i := range 20 {
		fields[fmt.Sprint(i)] = i
	}
	sent, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got *structpb.Struct
	var some any
	if err := errors.Join(c.Unmarshal(data, &got), c.Unmarshal(data, &some)); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(sent, got) || !proto.Equal(sent, some.(proto.Message)) {
		t.Errorf("%v became %v and %v", sent, got, some)
	}
	for range 20 { // a map of twenty has many orders
		if again, err := c.Marshal(got); err != nil || string(again) != string(data) {
			t.Fatalf("equal messages, other bytes; %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	c := protocodec.New[*durationpb.Duration]()
	var m *durationpb.Duration
	var other *timestamppb.Timestamp
	for name, f := range map[string]func() error{
		"another message": func() error { _, err := c.Marshal(timestamppb.Now()); return err },
		"none":            func() error { _, err := c.Marshal(m); return err },
		"into another":    func() error { return c.Unmarshal(nil, &other) },
		"into a message":  func() error { return c.Unmarshal(nil, &durationpb.Duration{}) },
	} {
		if err := f(); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Unmarshal([]byte{0xff}, &m); err == nil || m != nil {
		t.Errorf("of rubbish: %v, %v", m, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a codec of every message")
		}
	}()
	protocodec.New[proto.Message]()
}

// Whatever a message is called, its codec has a name that a cluster takes.
func TestLongName(t *testing.T) {
	const full = "google.protobuf.FieldOptions.EditionDefault"
	if name := protocodec.New[*descriptorpb.FieldOptions_EditionDefault]().Name(); name != "protobuf/"+full {
		t.Error(name)
	}
	name := protocodec.New[*long]().Name()
	if len(name) != 64 || !strings.HasSuffix(name, "google.protobuf.Long") || !strings.HasPrefix(name, "protobuf/") {
		t.Error(name)
	}
}

// Two programs that mean different things are told so at the first use, of a channel and of
// a map; those that mean the same understand each other.
func TestMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		ctx := t.Context()
		a, b := cluster.Dial(), cluster.Dial()
		durations := client.WithCodec(protocodec.New[*durationpb.Duration]())
		ch := client.NewChan[*durationpb.Duration](a, "waits", 1, durations)
		m := client.NewMap[string, *durationpb.Duration](a, "waits", durations)
		second, minute := durationpb.New(time.Second), durationpb.New(time.Minute)
		if err := errors.Join(ch.SendContext(ctx, second), m.StoreContext(ctx, "n1", second)); err != nil {
			t.Fatal(err)
		}

		times := client.WithCodec(protocodec.New[*timestamppb.Timestamp]())
		_, _, err := client.NewChan[*timestamppb.Timestamp](b, "waits", 1, times).RecvContext(ctx)
		told(t, err)
		_, _, err = client.NewMap[string, *timestamppb.Timestamp](b, "waits", times).LoadContext(ctx, "n1")
		told(t, err)
		_, _, err = client.NewMap[string, *durationpb.Duration](b, "waits").LoadContext(ctx, "n1") // JSON
		told(t, err)

		got, ok, err := client.NewChan[*durationpb.Duration](b, "waits", 1, durations).RecvContext(ctx)
		if err != nil || !ok || !proto.Equal(got, second) {
			t.Errorf("received %v, %v, %v", got, ok, err)
		}
		same := client.NewMap[string, *durationpb.Duration](b, "waits", durations)
		swapped, err := same.CompareAndSwapContext(ctx, "n1", durationpb.New(time.Second), minute)
		if err != nil || !swapped {
			t.Errorf("equal messages do not compare equal: %v, %v", swapped, err)
		}
		if got, _, err := m.LoadContext(ctx, "n1"); err != nil || !proto.Equal(got, minute) {
			t.Errorf("loaded %v, %v", got, err)
		}
	})
}

func told(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, client.ErrMismatch) || !strings.Contains(fmt.Sprint(err), "another codec") {
		t.Error(err)
	}
}
