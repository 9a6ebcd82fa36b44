package machine_test

import (
	"testing"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// Encodings and snapshots of channels.

func chanOf(name string) park.Object { return park.Object{Kind: park.KindChan, Name: name} }

func ackOp(to park.Seq) machine.Op { return machine.Op{Do: machine.DoAck, To: to} }

func closeOp(name string, capacity int64, codec string) machine.Op {
	return machine.Op{Do: machine.DoClose, On: chanOf(name), N: capacity, Codec: codec}
}

// chanSpecimens is every op of theirs, with every field set.
func chanSpecimens() []machine.Command {
	send, recv := sendArm("jobs/ä", "an element", 65_536), ackArm("jobs/ä", park.AnyCapacity)
	send.Codec, recv.Codec = "json", "json"
	both := chanOp(send, recv, recvArm("other", 0), lockOp("x").Wait.Arms[0])
	both.Wait.Prio, both.Wait.Limit, both.Wait.Delay = 3, 1000*ms, 500*ms
	ops := []machine.Op{chanOp(send), chanOp(recv), both, ackOp(300), closeOp("jobs/ä", park.AnyCapacity, "json"), deleteOp(chanOf("jobs/ä"))}
	for i := range ops {
		ops[i].Seq = park.Seq(6 + i)
	}
	return []machine.Command{
		&machine.Frame{Session: 5, Epoch: 3, Ops: ops},
		&machine.Call{Session: 6, Secret: machine.Secret{1, 2, 3, 15: 255}, Request: "c", Target: "r-0", Op: ackOp(0)},
	}
}

// channelled is a machine with channels that have elements, deliveries and waiters on either
// side, one of them of nobody's capacity; with closed ones; and with what is kept of all that.
func channelled() *machine.Machine {
	m := machine.New()
	entry := func(increment int64, commands ...machine.Command) { m.Apply(m.Index()+1, increment, commands) }
	attach := &machine.Attach{Secret: machine.Secret{1}, Instance: 7, Epoch: 3, TTL: 10_000 * ms, Who: "somebody"}
	dying := &machine.Attach{Secret: machine.Secret{1}, Instance: 7, Epoch: 3, TTL: 500 * ms, Who: "nobody"}
	entry(0, &machine.Bootstrap{Cluster: "4f2c", Floor: 1000}, attach, attach, dying,
		&machine.Open{Secret: machine.Secret{2}, TTL: 10_000 * ms, Who: "caller"})
	frame := func(s park.SessionID, ops ...machine.Op) machine.Command {
		for i := range ops {
			ops[i].Seq = park.Seq(i + 1)
		}
		return &machine.Frame{Session: s, Epoch: 3, Ops: ops}
	}
	call := func(id, target string, op machine.Op) machine.Command {
		return &machine.Call{Session: 4, Secret: machine.Secret{2}, Request: id, Target: target, Op: op}
	}
	coded := sendArm("full", "first", 3)
	coded.Codec = "json"
	high := chanOp(sendArm("full", "high", 3))
	high.Wait.Prio = 1
	delayed := chanOp(ackArm("full", 3))
	delayed.Wait.Delay, delayed.Wait.Trace = 30_000*ms, "trace"
	unmade := recvArm("unmade", park.AnyCapacity)
	unmade.Codec = "gob"
	entry(ms,
		frame(3, chanOp(coded), delayed),
		frame(1, chanOp(sendArm("full", "second", 3)), high, chanOp(sendArm("full", "waits", 3)), chanOp(ackArm("full", 3)),
			chanOp(sendArm("full", "waits too", park.AnyCapacity), recvArm("empty", 1), unmade), chanOp(recvArm("meet", 0)),
			chanOp(sendArm("closed", "left", 2)), closeOp("closed", 2, ""), chanOp(recvArm("empty", 1))),
		frame(2, chanOp(sendArm("meet", "met", 0)), chanOp(sendArm("meet", "alone", 0), recvArm("meet", 0)),
			closeOp("closed empty", 7, "gob"), chanOp(sendArm("closed empty", "", 7))),
		call("delivered", "", chanOp(ackArm("full", 3))), call("given back", "", chanOp(ackArm("full", 3))),
		call("given back", "", endOp(0)), call("received", "", chanOp(recvArm("unary", 1))),
	)
	entry(600*ms, call("sent", "", chanOp(sendArm("unary", "unary", 1))), call("twice", "", chanOp(sendArm("unary", "unary", 1))),
		call("acked", "delivered", ackOp(0)))
	return m
}

// A snapshot of the third format with channels stays readable, and its hash the same.
func TestGoldenChannels(t *testing.T) {
	old, _ := golden(t, "snapshot-3-channels", channelled())
	for name, want := range map[string]park.Traits{
		"full":         {Limit: 3, Held: 3, Unacked: 2, Bytes: 14, Codec: "json"},
		"closed":       {Limit: 2, Held: 1, Bytes: 4, State: park.ChannelClosed},
		"closed empty": {Limit: 7, Codec: "gob", State: park.ChannelClosed},
		"unary":        {Limit: 1, Held: 1, Bytes: 5},
		"meet":         {},
		"empty":        {Limit: 1},
	} {
		if d := old.Describe(chanOf(name)); d.Traits != want || !d.Stored {
			t.Errorf("%s is %+v, should be %+v", name, d.Traits, want)
		}
	}
}

// Damage to a snapshot with channels is found.
func TestDamagedChannels(t *testing.T) { testDamage(t, written(t, channelled())) }
