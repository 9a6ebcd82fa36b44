package server

import (
	"slices"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/channel"
	"coordd.dev/election"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/latch"
	"coordd.dev/lock"
)

// This file has the arms of calls that are RPCs, and what may be wrong with them: refused here
// in words, before the machine knows the call's id.

// selectArms are the arms of a Select, in their order.
func selectArms(what string, in []*coordv1.Arm) ([]park.Arm, error) {
	if n := len(in); n == 0 || n > machine.MaxArms {
		return nil, invalid("%s: %d arms; give 1 to %d", what, n, machine.MaxArms)
	}
	arms := appendArms(make([]park.Arm, 0, len(in)), in)
	for i := range arms {
		arms[i].On.Name = in[i].GetName() // as a whole, for messages
		if err := checkArm(what, i, in[i], &arms[i]); err != nil {
			return nil, err
		}
	}
	return arms, nil
}

// allArms are the arms of a LockAll, sorted, each once.
func allArms(what string, in []*coordv1.Arm) ([]park.Arm, error) {
	arms, err := selectArms(what, in)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(arms, func(a, b park.Arm) int { return a.On.Compare(b.On) })
	for i, a := range arms {
		switch {
		case !machine.InEvery(a.On.Kind):
			return nil, invalid("%s: %s is a %v; take locks, semaphores and elections only", what, a.On.Name, kindName(a.On.Kind))
		case i > 0 && arms[i-1].On == a.On:
			return nil, invalid("%s: the %v %s is named twice; name each once", what, kindName(a.On.Kind), a.On.Name)
		}
	}
	return arms, nil
}

// checkArm says what is wrong with an arm that was converted from in.
func checkArm(what string, i int, in *coordv1.Arm, a *park.Arm) error {
	if err := checkName(what, a.On.Name); err != nil {
		return err
	}
	only := park.Arm{On: a.On, N: 1} // and what an arm of its kind has
	var err error
	switch a.On.Kind {
	case park.KindLock:
		only.Shared = a.Shared
	case park.KindSemaphore:
		a.N = max(a.N, 1)
		only.N, only.Limit = a.N, a.Limit
		err = checkPermits(what, in.GetCount(), a.Limit)
	case park.KindElection:
		only.Value = a.Value
		err = checkSize(what, "value", len(in.GetValue()), election.MaxValue)
	case park.KindWaitGroup:
	case park.KindOnce:
		if only.Side = a.Side; a.Side != park.Alone && a.Side != park.Recv {
			err = invalid("%s: arm %d of a once has side %v; leave it out, or receive its result only", what, i, in.GetSide())
		}
	case park.KindChan:
		only.Side, only.Ack, only.Value, only.Limit, only.Codec = a.Side, a.Ack, a.Value, a.Limit, a.Codec
		err = checkChannelArm(what, in.GetElement(), a)
	default:
		err = invalid("%s: arm %d is of kind %v, for which nobody can wait so; choose another", what, i, in.GetKind())
	}
	if err == nil && *a != only {
		err = invalid("%s: arm %d has a field that no arm of a %s has; leave it out", what, i, kindName(a.On.Kind))
	}
	return err
}

func kindName(k park.Kind) string {
	switch k {
	case park.KindLock:
		return "lock"
	case park.KindSemaphore:
		return "semaphore"
	case park.KindElection:
		return "election"
	case park.KindWaitGroup:
		return "wait group"
	case park.KindOnce:
		return "once"
	case park.KindCond:
		return "cond"
	case park.KindMap:
		return "map"
	case park.KindChan:
		return "channel"
	default:
		return "kind that this version does not know"
	}
}

// checkPermits checks what is asked of a semaphore.
func checkPermits(what string, count, limit int64) error {
	if err := checkCount(what, "count", count); err != nil {
		return err
	}
	if limit < 0 || limit > lock.MaxPermits {
		return invalid("%s: limit is %d; choose 1 to %d, or 0 for whatever it is", what, limit, lock.MaxPermits)
	}
	return nil
}

// channelArm is the arm of a call upon one channel.
func channelArm(what, name string, side park.Side, capacity *int64, codec string) (park.Arm, error) {
	a := park.Arm{On: named(park.KindChan, name), Side: side, N: 1, Limit: park.AnyCapacity, Codec: codec}
	if capacity != nil {
		a.Limit = *capacity
	}
	if err := checkName(what, name); err != nil {
		return a, err
	}
	if capacity != nil && a.Limit < 0 {
		return a, invalid("%s: capacity is %d; choose 0 to %d, or leave it out for whatever it is", what, a.Limit, channel.MaxCapacity)
	}
	return a, checkChannelArm(what, nil, &a)
}

// checkChannelArm checks what is asked of a channel; element is what is sent.
func checkChannelArm(what string, element []byte, a *park.Arm) error {
	switch {
	case a.Side != park.Send && a.Side != park.Recv:
		return invalid("%s: no side of a channel; say whether to send or to receive", what)
	case a.Limit < park.AnyCapacity || a.Limit > channel.MaxCapacity:
		return invalid("%s: capacity is %d; choose 0 to %d, or %d for whatever it is", what, a.Limit, channel.MaxCapacity, park.AnyCapacity)
	case a.Side == park.Send && a.Ack:
		return invalid("%s: what is sent is not acknowledged; leave acknowledge out", what)
	case a.Side == park.Recv && len(element) > 0:
		return invalid("%s: an element is to be received and sent; leave it out", what)
	case a.Ack && a.Limit == 0:
		return invalid("%s: an element of a channel of capacity 0 cannot be acknowledged; choose 1 at least", what)
	}
	if err := checkSize(what, "element", len(element), channel.MaxElement); err != nil {
		return err
	}
	return checkCodec(what, a.Codec, channel.MaxCodec)
}

// checkCodec checks the name of a codec, which may be empty.
func checkCodec(what, codec string, limit int) error {
	if len(codec) > limit || codec != "" && !park.ValidName(codec) {
		return invalid("%s: codec is not the name of one: at most %d bytes of UTF-8 and no control characters; correct it", what, limit)
	}
	return nil
}

// onceArm is the arm of a call upon one once.
func onceArm(name string, resultOnly bool) park.Arm {
	a := park.Arm{On: named(park.KindOnce, name), N: 1}
	if resultOnly {
		a.Side = park.Recv
	}
	return a
}

// endOf is how a function ended, which has returned if nothing is said.
func endOf(what string, end coordv1.OnceEnd) (int64, error) {
	switch end {
	case coordv1.OnceEnd_ONCE_END_UNSPECIFIED, coordv1.OnceEnd_ONCE_END_RETURNED:
		return latch.Returned, nil
	case coordv1.OnceEnd_ONCE_END_PANICKED:
		return latch.Panicked, nil
	default:
		return 0, invalid("%s: end is %v; say returned or panicked", what, end)
	}
}
