package server

import (
	"context"
	"crypto/subtle"
	"slices"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

// hold makes a call that is to hold something, and returns the hold's token.
func (s *Server) hold(ctx context.Context, what string, c *machine.Call) (park.Token, error) {
	o, err := s.expect(ctx, what, c, park.Granted)
	return o.token, err
}

// change makes a call that is to take effect and hold nothing.
func (s *Server) change(ctx context.Context, what string, c *machine.Call) error {
	_, err := s.expect(ctx, what, c, park.Done)
	return err
}

// expect makes a call that is to come to one of some codes.
func (s *Server) expect(ctx context.Context, what string, c *machine.Call, to ...park.Code) (outcome, error) {
	o, err := s.call(ctx, what, c)
	if err == nil && !slices.Contains(to, o.code) {
		err = refusedOutcome(what, c, &o, s.cfg.Replica.traits)
	}
	if err != nil {
		return outcome{}, err
	}
	return o, nil
}

// call makes a call of a session without a stream and waits for what becomes of it, or
// until ctx ends; then the call goes on by itself.
func (s *Server) call(ctx context.Context, what string, c *machine.Call) (outcome, error) {
	c.Secret = bind(ctx, c.Secret)
	term := s.leading()
	if term == 0 {
		return outcome{}, errNoLeader(what, s.leaderHint())
	}
	if s.foreign(c) {
		return outcome{}, refusedCall(c.Session, machine.RefusedNotYours)
	}
	w := newCaller(c, term)
	if !answeredAtOnce(c.Op.Do) {
		hub := s.cfg.Replica.hub
		if !hub.await(w) {
			return outcome{}, errStopping()
		}
		defer hub.forget(w)
	}
	if err := s.boundCall(s.consumerOfAsker(askerOf(ctx)), what, c); err != nil {
		return outcome{}, err
	}
	s.submit(ctx, what, c, w)
	select {
	case a := <-w.told:
		if a.err != nil {
			return outcome{}, a.err()
		}
		a.cycle = s.veil(askerOf(ctx), a.cycle)
		return a.outcome, nil
	case <-ctx.Done():
		return outcome{}, hungUp(ctx, what)
	}
}

// foreign says that a call's secret is not its session's, as far as is known here: an id is
// never used twice, so that a wrong secret stays wrong. Whoever has one may not even wait under
// the request id of a call that waits: it would be told what that becomes.
func (s *Server) foreign(c *machine.Call) (foreign bool) {
	s.cfg.Replica.leases(func(of func(park.SessionID) (machine.Secret, int64, bool)) {
		secret, _, known := of(c.Session)
		foreign = known && subtle.ConstantTimeCompare(secret[:], c.Secret[:]) != 1
	})
	return foreign
}

// answeredAtOnce says that the answer to an op is its command's result, never an event:
// events of the request that it ends are for those who made that.
func answeredAtOnce(do machine.Do) bool { return do == machine.DoEnd || do == machine.DoLeave }

// submit hands a call to the log and tells w if it is refused there, or answered at once.
// The hub tells the rest, before that.
func (s *Server) submit(ctx context.Context, what string, c *machine.Call, w *caller) {
	s.renewals.ride()
	data := machine.AppendCommand(nil, c)
	s.cfg.Log.Submit(data, raftstore.Source(c.Session), urgencyOfOp(&c.Op), func(index uint64, result any, err error) {
		noteIndex(ctx, index)
		called, _ := result.(machine.Called)
		if err != nil || called.Refusal != 0 { // nothing will be told of it
			s.cfg.Replica.hub.tally.forget(c.Session, waitKey{request: c.Request})
		}
		switch {
		case err != nil:
			w.tell(answer{err: func() error { return callFailed(what, s.leaderHint(), err) }})
		case called.Refusal != 0:
			w.tell(answer{err: func() error { return refusedCall(c.Session, called.Refusal) }})
		case called.Code != 0:
			w.tell(answer{outcome: outcome{code: called.Code}})
		}
	})
}
