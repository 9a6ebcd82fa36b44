package server

import (
	"fmt"
	"strconv"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/channel"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/latch"
	"coordd.dev/lock"
	"coordd.dev/table"
)

// This file says of the refusals of outcome.go why, and what to do next, by the op that was
// refused. The texts are followed by anotherID, but for those of CLOSED.

func whyTimedOut(op *machine.Op) string {
	if op.Do == machine.DoAwait {
		return "no signal, or not the lock after it, within the wait limit, and the lock is not held; lock it, and look again"
	}
	return "not to be had within the wait limit; ask again"
}

func whyClosed(op *machine.Op, arm uint32) string {
	switch arms := op.Wait.Arms; {
	case op.Do == machine.DoClose:
		return "it is closed already; receive what is left, or choose another name"
	case int(arm) < len(arms) && arms[arm].Side == park.Send:
		return "the channel " + arms[arm].On.Name + " is closed, and nothing was sent; send to another"
	case int(arm) < len(arms):
		return "the channel " + arms[arm].On.Name + " is closed, and nothing more comes; go on without it"
	default:
		return "the channel is closed; go on without it"
	}
}

// mismatch names the object that was made otherwise, and how. What is stored may be another
// meanwhile, or be gone: then there is only the value that was met.
func mismatch(op *machine.Op, value int64, stored func(park.Object) park.Traits) unfit {
	u := unfit{reason: coordv1.Reason_REASON_MISMATCH, metadata: map[string]string{}}
	if value == park.CodecDiffers {
		which, codec := "it", ""
		for _, a := range usesOf(op) {
			if t := stored(a.On); a.Codec != "" && a.Codec != t.Codec {
				which, codec = kindName(a.On.Kind)+" "+a.On.Name, t.Codec
				break
			}
		}
		u.metadata[metaCodec] = codec
		u.why = fmt.Sprintf("%s was made with the codec %q; give that, or none for whatever it is", which, codec)
		return u
	}
	u.metadata[metaValue] = strconv.FormatInt(value, 10)
	for _, a := range usesOf(op) {
		if a.On.Kind == park.KindChan && a.Limit != park.AnyCapacity && a.Limit != value {
			u.why = fmt.Sprintf("channel %s was made with capacity %d; give that, or none for whatever it is", a.On.Name, value)
			return u
		}
	}
	u.why = fmt.Sprintf("it was made with limit %d; give that, or 0 for whatever it is", value)
	return u
}

// usesOf is what an op asks of objects that are made with something, as arms.
func usesOf(op *machine.Op) []park.Arm {
	switch {
	case op.Do == machine.DoClose:
		return []park.Arm{{On: op.On, Limit: op.N, Codec: op.Codec}}
	case op.Do == machine.DoTable && op.Table != nil:
		return []park.Arm{{On: op.On, Codec: op.Table.Codec}}
	default:
		return op.Wait.Arms
	}
}

// whyInvalid says what only the machine can find wrong with an op: the rest was checked
// before. value is the limit that it met.
func whyInvalid(op *machine.Op, value int64) string {
	switch op.Do {
	case machine.DoWait:
		for _, a := range op.Wait.Arms {
			if a.Ack && value == 1 {
				return "an element of a channel of capacity 0 cannot be acknowledged; receive it without"
			}
		}
		return fmt.Sprintf("it asks for more than its limit in force, %d; resize it, or ask for less", value)
	case machine.DoRelease:
		return fmt.Sprintf("count is above the %d that the call holds, or it holds no permits; correct hold or count", value)
	case machine.DoProclaim, machine.DoTransfer:
		return "the call of leadership leads nothing; give the request_id of a Campaign"
	case machine.DoAdd:
		if op.N > 0 {
			return fmt.Sprintf("the counter would be above %d; add less", value)
		}
		return fmt.Sprintf("the counter is %d, and it would be negative; settle no more than was added", value)
	case machine.DoComplete:
		return "the call of run runs nothing; give the request_id of a Begin"
	case machine.DoAck:
		return "the call of delivery has no element; give the request_id of a Receive with acknowledge"
	case machine.DoAwait:
		return "the call of hold does not hold that lock, alone and not shared; give the request_id of a Lock of it"
	case machine.DoDelete:
		return "nothing is stored of objects of this kind; have its holders let go"
	default:
		return fmt.Sprintf("an argument breaks the limit %d; correct it", value)
	}
}

func whyNotFound(op *machine.Op) string {
	switch op.Do {
	case machine.DoWait:
		return "there is none of that name, and no limit to make it with; give its limit"
	case machine.DoClose:
		return "there is none of that name, and no capacity to make it with; give its capacity"
	case machine.DoDelete:
		return "nothing is stored under that name; list the objects"
	case machine.DoTransfer:
		return "the call of leadership does not lead, or that session has no candidate that waits; look who waits, then ask again"
	case machine.DoAck:
		return "the call of delivery has no element, or not any more; leave it to whoever receives it next"
	case machine.DoComplete:
		return "the call of run does not run it, or not any more; begin again, and take the result of who does"
	default:
		return "the call it is about holds nothing: it waits, has ended, or never was; ask under its own id what became of it, then again"
	}
}

// limited says what there is as many of as may be, and where: in one object, of one session, or
// in the cluster.
func limited(op *machine.Op, value int64) unfit {
	where, why := "cluster", ""
	switch op.Do {
	case machine.DoTable:
		where, why = mapLimit(value)
	case machine.DoAdd:
		where = limitBalances
		if why = "wait groups have %d balances of sessions, as many as may be; retry later"; value == latch.MaxShares {
			where, why = "session", "the session has added to %d groups and not settled it, as many as may be; settle some, then ask again"
		}
	case machine.DoComplete:
		why = "the results of onces have %d bytes, as many as may be; delete some, then ask again"
	case machine.DoResize:
		why = noSemaphores
	case machine.DoClose:
		why = noChannels
	default:
		where, why = waitLimit(op.Wait.Arms, value)
	}
	return unfit{coordv1.Reason_REASON_LIMIT, fmt.Sprintf(why, value), map[string]string{
		metaValue: strconv.FormatInt(value, 10), metaLimit: where,
	}, nil}
}

// What keeps what is stored of it does not go by itself: whoever waited for another to go would
// wait in vain.
const (
	noSemaphores = "there are %d semaphores, as many as may be, and they keep their limits; delete some, then ask again"
	noChannels   = "there are %d channels, as many as may be; delete some, then ask again"
)

func mapLimit(value int64) (where, why string) {
	switch value {
	case table.MaxEntries:
		return "object", "the map has %d entries, as many as one may have; delete some, then ask again"
	case table.MaxBytes:
		return "object", "the map may have %d bytes; delete some, then ask again"
	case table.MaxMaps:
		return "cluster", "there are %d maps, as many as may be; delete some, then ask again"
	default:
		return "cluster", "maps may have %d bytes together; delete some, then ask again"
	}
}

// waitLimit is the limit that a wait met. Several have the same value: then it is that of the
// first arm which could have met it.
func waitLimit(arms []park.Arm, value int64) (where, why string) {
	switch value {
	case machine.MaxWaiters:
		return limitWaiters, "%d calls wait for it, as many as may; retry later"
	case machine.MaxParkedBytes:
		return limitWaits, "what waits to be sent has %d bytes, as many as may be; retry later"
	}
	for _, a := range arms {
		switch {
		case a.On.Kind == park.KindChan && a.Side == park.Send && value == channel.MaxStored:
			return limitElements, "elements of channels may have %d bytes together; receive some, then ask again"
		case a.On.Kind == park.KindOnce && value == latch.MaxStored:
			return "cluster", "results of onces may have %d bytes together; delete some, then ask again"
		case a.On.Kind == park.KindOnce && value == latch.MaxOnces:
			return "cluster", "there are %d onces, as many as may be; delete some, then ask again"
		case a.On.Kind == park.KindChan && a.Limit != park.AnyCapacity && value == channel.MaxChannels:
			return "cluster", noChannels
		case a.On.Kind == park.KindSemaphore && a.Limit != 0 && value == lock.MaxSemaphores:
			return "cluster", noSemaphores
		}
	}
	return limitWaits, "the cluster has %d of these, as many as it can have; retry later"
}

// refusedRead is the status of a read of a map that the map refused.
func (s *tables) refusedRead(what string, r *machine.Read, result machine.ReadResult) error {
	op := &machine.Op{Do: machine.DoTable, On: r.On, Table: &r.Op}
	u := unfitOf(op, &outcome{code: result.Code, value: result.Value}, s.cfg.Replica.traits)
	if u.reason == coordv1.Reason_REASON_UNSPECIFIED {
		return unexpected(what, result)
	}
	return Error(u.reason, what+": "+u.why, u.metadata)
}
