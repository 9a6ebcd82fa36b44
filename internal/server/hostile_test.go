package server_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	coordv1 "coordd.dev/api/coord/v1"
)

// What is wrong with a call upon a channel, a once, a cond or a map is said before the
// machine knows its id.
func TestHostileArgumentsOfTheRest(t *testing.T) {
	long := strings.Repeat("x", 64<<10+1)
	name := strings.Repeat("x", 257)
	wantAllInvalid(t, map[string]func(p *plain) error{
		"send: long element":      sendWith(func(r *coordv1.SendRequest) { r.Element = []byte(long) }),
		"send: long name":         sendWith(func(r *coordv1.SendRequest) { r.Name = name }),
		"send: negative capacity": sendWith(func(r *coordv1.SendRequest) { r.Capacity = proto.Int64(-1) }),
		"send: large capacity":    sendWith(func(r *coordv1.SendRequest) { r.Capacity = proto.Int64(1 << 40) }),
		"send: long codec":        sendWith(func(r *coordv1.SendRequest) { r.Codec = name }),
		"send: strange codec":     sendWith(func(r *coordv1.SendRequest) { r.Codec = "a\nb" }),
		"receive: nothing to acknowledge": func(p *plain) error {
			_, err := p.channels.Receive(p.t.Context(), &coordv1.ReceiveRequest{
				Lease: p.lease, RequestId: "1", Name: "c", Acknowledge: true, Capacity: proto.Int64(0),
			})
			return err
		},
		"acknowledge: no delivery": func(p *plain) error { return p.acknowledge("1", "") },
		"add: control character": func(p *plain) error {
			_, err := p.waitGroups.Add(p.t.Context(), &coordv1.AddRequest{Lease: p.lease, RequestId: "1", Name: "\n"})
			return err
		},
		"complete: long result": func(p *plain) error {
			return p.complete(&coordv1.CompleteRequest{Run: "1", RequestId: "2", Result: []byte(long)})
		},
		"complete: unknown end": func(p *plain) error { return p.complete(&coordv1.CompleteRequest{Run: "1", RequestId: "2", End: 9}) },
		"await: no lock": func(p *plain) error {
			_, err := p.conds.AwaitSignal(p.t.Context(), &coordv1.AwaitSignalRequest{Lease: p.lease, RequestId: "1", Name: "c", Hold: "2"})
			return err
		},
		"update: no verb":      updateWith(func(op *coordv1.MapOp) { op.Verb = 0 }),
		"update: unknown verb": updateWith(func(op *coordv1.MapOp) { op.Verb = 99 }),
		"update: load":         updateWith(func(op *coordv1.MapOp) { op.Verb = coordv1.MapVerb_MAP_VERB_LOAD }),
		"update: no key":       updateWith(func(op *coordv1.MapOp) { op.Key = nil }),
		"update: long key":     updateWith(func(op *coordv1.MapOp) { op.Key = make([]byte, 1025) }),
		"update: long value":   updateWith(func(op *coordv1.MapOp) { op.Value = []byte(long) }),
		"update: long old":     updateWith(func(op *coordv1.MapOp) { op.Old = []byte(long) }),
		"delete: no kind":      func(p *plain) error { return p.delete("1", 0, "x") },
		"delete: unknown kind": func(p *plain) error { return p.delete("1", 99, "x") },
		"delete: a lock":       func(p *plain) error { return p.delete("1", coordv1.Kind_KIND_LOCK, "x") },
	})
}

func TestHostileArms(t *testing.T) {
	arms := map[string][]*coordv1.Arm{
		"none":                    nil,
		"many":                    make([]*coordv1.Arm, 1025),
		"a nil arm":               {nil},
		"no kind":                 {{Name: "x"}},
		"a cond":                  {{Kind: coordv1.Kind_KIND_COND, Name: "x"}},
		"a map":                   {{Kind: coordv1.Kind_KIND_MAP, Name: "x"}},
		"an unknown kind":         {{Kind: 99, Name: "x"}},
		"a shared semaphore":      {{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "x", Limit: 1, Shared: true}},
		"a lock with a count":     {{Kind: coordv1.Kind_KIND_LOCK, Name: "x", Count: 2}},
		"a lock with a side":      {{Kind: coordv1.Kind_KIND_LOCK, Name: "x", Side: coordv1.Side_SIDE_SEND}},
		"a wait group with value": {{Kind: coordv1.Kind_KIND_WAIT_GROUP, Name: "x", Value: "v"}},
		"a once that sends":       {{Kind: coordv1.Kind_KIND_ONCE, Name: "x", Side: coordv1.Side_SIDE_SEND}},
		"a channel without side":  {{Kind: coordv1.Kind_KIND_CHAN, Name: "x"}},
		"a send to acknowledge":   {{Kind: coordv1.Kind_KIND_CHAN, Name: "x", Side: coordv1.Side_SIDE_SEND, Acknowledge: true}},
		"a receive of something":  {{Kind: coordv1.Kind_KIND_CHAN, Name: "x", Side: coordv1.Side_SIDE_RECEIVE, Element: []byte("x")}},
		"a capacity below none":   {{Kind: coordv1.Kind_KIND_CHAN, Name: "x", Side: coordv1.Side_SIDE_SEND, Limit: -2}},
		"an unknown side":         {{Kind: coordv1.Kind_KIND_CHAN, Name: "x", Side: 99}},
		"a long candidate":        {{Kind: coordv1.Kind_KIND_ELECTION, Name: "x", Value: strings.Repeat("x", 4097)}},
	}
	tests := map[string]func(p *plain) error{
		"all: a channel": lockAllOf(sendArm("c", "", 1)),
		"all: twice":     lockAllOf(lockArm("x"), lockArm("x")),
	}
	for what, arms := range arms {
		tests["select: "+what] = func(p *plain) error {
			_, err := p.choose(&coordv1.SelectRequest{RequestId: "1", Arms: arms})
			return err
		}
		tests["all: "+what] = lockAllOf(arms...)
	}
	wantAllInvalid(t, tests)
}

func lockAllOf(arms ...*coordv1.Arm) func(*plain) error {
	return func(p *plain) error {
		_, err := p.selects.LockAll(p.t.Context(), &coordv1.LockAllRequest{Lease: p.lease, RequestId: "1", Arms: arms})
		return err
	}
}

func sendWith(change func(*coordv1.SendRequest)) func(*plain) error {
	return func(p *plain) error {
		req := &coordv1.SendRequest{Lease: p.lease, RequestId: "1", Name: "c", Capacity: proto.Int64(1)}
		change(req)
		_, err := p.channels.Send(p.t.Context(), req)
		return err
	}
}

func updateWith(change func(*coordv1.MapOp)) func(*plain) error {
	return func(p *plain) error {
		op := &coordv1.MapOp{Name: "m", Verb: coordv1.MapVerb_MAP_VERB_STORE, Key: []byte("k")}
		change(op)
		_, err := p.maps.Update(p.t.Context(), &coordv1.UpdateRequest{Lease: p.lease, RequestId: "1", Op: op})
		return err
	}
}
