package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/raftstore"
)

// tokensPerMilli is how many tokens a bootstrap's floor allows for a millisecond of real
// time, as a shift (SEMANTICS C1).
const tokensPerMilli = 20

// run follows leadership: it ends the streams of terms that are over, founds the cluster,
// ticks the log while leading, and says whether the node may be used. It is the only
// goroutine that decides any of this. An error is fatal for the node.
func (s *Server) run(ctx context.Context) error {
	var c course
	defer c.end()
	ticked := false // and not woken since: the timer has nothing to wait for
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		leadership, changed := s.cfg.Log.Leadership()
		state, engine := s.cfg.Log.Engine().State()
		if state.CaughtUp {
			s.cfg.Replica.telemetry.Store(s.telemetry)
		}
		if err := errors.Join(s.checkCluster(), s.checkState()); err != nil {
			return err
		}
		if leadership != c.leadership {
			s.follow(ctx, &c, leadership)
		}
		if leadership.Leading {
			s.found()
		}
		s.health.publish(s.Ready() == nil)
		if !ticked {
			s.arm(leadership, timer)
		}
		ticked = false
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-engine:
		case <-s.cfg.Replica.wake:
		case <-timer.C:
			ticked = leadership.Leading && s.tick()
		}
	}
}

// A course is what the run loop has begun for the present leadership.
type course struct {
	leadership raftstore.Leadership
	cancel     context.CancelFunc // of the lookup of the leader's address
	retire     context.CancelFunc // of the steward, while this node leads
}

func (c *course) end() {
	for _, cancel := range []context.CancelFunc{c.cancel, c.retire} {
		if cancel != nil {
			cancel()
		}
	}
	c.cancel, c.retire = nil, nil
}

// follow does what a new leadership asks for.
func (s *Server) follow(ctx context.Context, c *course, to raftstore.Leadership) {
	s.cfg.Logger.Info("leadership", "term", to.Term, "leader", to.LeaderID, "leading", to.Leading)
	moved := to.LeaderID != c.leadership.LeaderID
	c.leadership = to
	s.telemetry.Lead(to.Leading)
	term := uint64(0)
	if to.Leading {
		term = to.Term
	}
	s.cfg.Replica.hub.cutOthers(term, func() error { return errDeposed(s.leaderHint(), s.nodes()) })
	s.cfg.Replica.hub.release(term, s.movedOn)
	if c.retire != nil {
		c.retire() // of a leadership that is over
		c.retire = nil
	}
	if to.Leading && s.cfg.Ask != nil {
		var tending context.Context
		tending, c.retire = context.WithCancel(ctx)
		s.running.Go(func() { s.tend(tending) })
	}
	if !moved {
		return
	}
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if to.LeaderID != "" {
		s.telemetry.LeaderKnown()
		s.forward.cutOthers(to.LeaderID)
		var lookup context.Context
		lookup, c.cancel = context.WithCancel(ctx)
		s.running.Go(func() { s.leader.lookup(lookup, to.LeaderID) })
	}
}

// movedOn answers a caller whose call this node can tell no more of: it is parked in the
// cluster, and the next leader tells.
func (s *Server) movedOn() error {
	select {
	case <-s.stopping:
		return errStopping()
	default:
		return errAskAgain("call", "the leader changed")
	}
}

// found begins the cluster, unless that is done or under way. If it fails this leadership
// is over, and the next one tries again.
func (s *Server) found() {
	if s.cfg.Replica.clusterID() != "" || !s.founding.CompareAndSwap(false, true) {
		return
	}
	floor := park.Token(time.Now().UnixMilli()) << tokensPerMilli //nolint:gosec // after 1970
	data := machine.AppendCommand(nil, &machine.Bootstrap{Cluster: s.cfg.ClusterID, Floor: floor})
	s.cfg.Log.Submit(data, 0, raftstore.Urgent, func(_ uint64, result any, err error) {
		s.founding.Store(false)
		if err != nil {
			s.cfg.Logger.Warn("found cluster", "err", err)
		} else if result != park.Done {
			s.cfg.Logger.Error("found cluster", "result", result)
		}
	})
}

// checkCluster compares the cluster of the log with the configured one.
func (s *Server) checkCluster() error {
	if id := s.cfg.Replica.clusterID(); id != "" && id != s.cfg.ClusterID {
		return fmt.Errorf("start server: this node is of cluster %s, its log of cluster %s; "+
			"give it the data directory of its own cluster", s.cfg.ClusterID, id)
	}
	return nil
}

// ErrDiverged says that this node's state is not that of the others: what it has cannot be
// trusted.
var ErrDiverged = errors.New("the state of this node is not that of the majority")

// checkState holds this node's state against that of the others (SEMANTICS H3).
func (s *Server) checkState() error {
	v := s.cfg.Replica.judged()
	if v == nil {
		return nil
	}
	majority, ok := v.Majority()
	if !ok {
		s.cfg.Logger.Error("the members' states differ, and no majority has the same: stop the cluster and restore a backup",
			"index", v.Index, "hashes", v.Hashes)
		return nil
	}
	for _, n := range v.Hashes {
		if n.Node == s.cfg.NodeID && n.Hash != majority {
			return fmt.Errorf("compare state at entry %d: %w: hash %016x, theirs is %016x", v.Index, ErrDiverged, n.Hash, majority)
		}
	}
	return nil
}

// arm sets the timer to when the log is to be ticked. It goes off early at worst.
func (s *Server) arm(l raftstore.Leadership, timer *time.Timer) {
	timer.Stop()
	if !l.Leading {
		return
	}
	if at, ok := s.cfg.Replica.nextDue(); ok {
		timer.Reset(time.Until(at))
	}
}

// tick proposes an entry, if its time has come, so that what is due falls due. When that
// entry is applied the run loop is woken.
func (s *Server) tick() bool {
	at, ok := s.cfg.Replica.nextDue()
	if !ok || time.Now().Before(at) {
		return false
	}
	s.cfg.Replica.awaitApply() // before the tick, or its entry might be missed
	s.cfg.Log.Tick()
	return true
}
