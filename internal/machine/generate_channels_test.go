package machine_test

import (
	"fmt"
	"slices"
	"strings"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// atChannel says whether it is a channel's turn.
func (h *history) atChannel() bool { return h.chans > 0 && h.intn(h.chans) == 0 }

// chanArm is a send or a receive, mostly of the channel as it is, seldom one that must be
// refused.
func (h *history) chanArm() park.Arm {
	a := park.Arm{On: h.object(park.KindChan), Side: park.Send, N: 1, Value: fmt.Sprint("v ", h.intn(1000))}
	a.Limit, a.Codec = h.channelAs(a.On)
	if h.intn(20) > 9 {
		a.Side, a.Value = park.Recv, ""
		a.Ack = a.Limit != 0 && h.intn(2) == 0
	}
	switch h.intn(250) {
	case 0:
		a.N = int64(h.intn(2) * 2)
	case 1:
		a.Side = park.Alone
	case 2:
		a.Shared = true
	case 3:
		a.Ack = true
	case 4:
		a.Value = "v"
	case 5:
		a.Limit = []int64{-2, 65537}[h.intn(2)]
	case 6:
		a.On.Name = ""
	case 7:
		a.Value = strings.Repeat("v", 65537)
	}
	return a
}

// channelAs is the capacity and the codec of a channel, mostly as they are.
func (h *history) channelAs(on park.Object) (capacity int64, codec string) {
	capacity = int64(h.intn(3))
	if h.intn(6) == 0 {
		codec = "json"
	}
	if ch := h.model.chanOf(on); ch != nil && h.intn(12) > 0 {
		if capacity = ch.capacity; h.intn(8) > 0 {
			codec = ch.codec
		}
	}
	if h.intn(5) == 0 {
		capacity = park.AnyCapacity
	}
	return capacity, codec
}

// ofChannel is an acknowledgement, an end of a delivery, a close or a deletion by a session's
// call; where the model knows a delivery to the session, mostly of that.
func (h *history) ofChannel(s park.SessionID, seq, target park.Seq) machine.Op {
	op := machine.Op{Seq: seq, On: h.object(park.KindChan)}
	switch n := h.intn(20); {
	case n < 12:
		op = machine.Op{Seq: seq, Do: machine.DoAck, To: target}
		delivered := func(c *modelCall) bool {
			return c.s.id == s && c.state == held && isChan(c.arms[0].On.Kind)
		}
		if i := slices.IndexFunc(h.model.calls, delivered); i >= 0 && h.intn(8) > 0 {
			if op.To = h.model.calls[i].seq; h.intn(3) == 0 {
				op.Do = machine.DoEnd
			}
		}
	case n < 14:
		op.Do = machine.DoClose
		if op.N, op.Codec = h.channelAs(op.On); h.intn(30) == 0 {
			op.N = []int64{-2, 65537}[h.intn(2)]
		}
		if h.intn(30) == 0 {
			op.On.Kind = park.KindLock
		}
	default:
		op.Do = machine.DoDelete
		for _, ch := range h.model.chans {
			if ch.closed && h.intn(2) == 0 {
				op.On = ch.on
			}
		}
	}
	if h.intn(60) == 0 {
		op.On.Name = ""
	}
	return op
}

// crowd is several clients at once at a channel that is made last, if at all, so that many wait
// on both of its sides when it is.
func (h *history) crowd() (out []machine.Command) {
	on := park.Object{Kind: park.KindChan, Name: "crowd"}
	capacity := int64(h.intn(2) * h.intn(3))
	for range 2 + h.intn(5) {
		c := h.clients[h.intn(len(h.clients))]
		f := &machine.Frame{Session: c.id, Epoch: c.epoch}
		for range 1 + h.intn(3) {
			c.last++
			f.Ops = append(f.Ops, machine.Op{Seq: c.last, Do: machine.DoWait, Wait: h.inCrowd(on)})
		}
		out = append(out, f)
	}
	for _, x := range out {
		ops := x.(*machine.Frame).Ops
		if a := &ops[len(ops)-1].Wait.Arms[0]; isChan(a.On.Kind) && h.intn(6) == 0 {
			a.Limit = capacity
		}
	}
	return out
}

// inCrowd is a wait for one channel, often a select of both of its sides.
func (h *history) inCrowd(on park.Object) machine.Wait {
	w := machine.Wait{Commit: park.Any, Prio: int32(h.intn(2) * (h.intn(3) - 1)), Try: h.intn(12) == 0}
	for range 1 + h.intn(2)*h.intn(3) {
		a := park.Arm{On: on, N: 1, Side: park.Recv, Limit: park.AnyCapacity}
		if h.intn(2) == 0 {
			a.Side, a.Value = park.Send, fmt.Sprint("v ", h.intn(1000))
		}
		if h.intn(8) == 0 {
			a = park.Arm{On: h.object(park.KindLock), N: 1}
		}
		w.Arms = append(w.Arms, a)
	}
	if h.intn(4) == 0 {
		w.Limit = int64(h.intn(3000)) * ms
	}
	return w
}

// What a run of random histories must have seen of channels.
var mustSeeChannels = []string{
	"sent", "sent, waited", "sent, in a select", "received", "received, waited", "received, in a select",
	"delivered", "delivered, waited", "delivered, in a select", "delivered again", "received what was given back",
	"received before what was sent earlier", "received after the close",
	"met", "met, waited", "met, in a select", "two selects met", "met a session's own", "met another arm than 0",
	"unary met a stream", "met who could not pass", "met a select of other kinds", "met by who stood on both",
	"passed whom it meets",
	"closed, side 1", "closed, side 1, waited", "closed, side 1, in a select",
	"closed, side 2", "closed, side 2, waited", "closed, side 2, in a select",
	"made while others wait", "refused by what was made", "refused by what it made itself", "made by a close", "closed", "closed twice",
	"close of another", "close of none", "another codec", "a delivery of a rendezvous refused", "an element too long",
	"a channel in a LockAll refused", "a channel's arm refused", "a channel vanished",
	"acknowledged", "acknowledged what is not held", "acknowledged what is no element",
	"given back, ending 1", "given back, ending 2", "given back, ending 3", "given back, ending 4",
	"given back, ending 5", "given back, ending 7",
	"deletion of a channel that is waited for", "deletion of a channel with deliveries",
	"deleted a closed channel", "deleted a channel with elements",
	"unary received", "unary gave back", "unary acknowledged", "unary closed",
	"an element left to the successor", "an element again", "a delivery again", "data again",
	"change 8", "ending 8", "code 14", "described kind 8",
}
