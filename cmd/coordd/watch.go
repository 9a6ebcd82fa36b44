package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"coordd.dev/internal/peer"
	"coordd.dev/raftstore"
)

const (
	lookReady   = 10 * time.Second       // how often watch looks without being told to
	lookUnready = 250 * time.Millisecond // the same, while there is something to wait for

	remind  = 30 * time.Second // how often the log is told that nothing has changed
	settled = time.Second      // what lasts less is an election, and not worth a line
)

// stateReady is what there is to say of a node that is ready.
const stateReady = "ready"

// watch tells the log, and whoever waits on n.ready, how ready the node is, and the
// identity that the node became a member. It looks when leadership moves, and now and
// then, for readiness has causes that nobody tells of.
func (n *node) watch(ctx context.Context, log *raftstore.Log, identity *peer.Identity) error {
	first := sync.OnceFunc(func() { close(n.ready) })
	told := narrator{when: time.Now()}
	for {
		_, moved := log.Leadership()
		if err := note(log.Engine(), identity); err != nil {
			return err
		}
		state, pause := stateReady, lookReady
		if err := n.health.ready(); err != nil {
			state, pause = err.Error(), lookUnready
		} else {
			first()
		}
		if told.due(state, time.Now()) {
			n.say(state, identity, log.Engine())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-time.After(pause):
		}
	}
}

// A narrator knows what was last said, and when.
type narrator struct {
	said string
	when time.Time
}

// due says whether the state is worth a line now, and takes it as said.
func (t *narrator) due(state string, now time.Time) bool {
	since := now.Sub(t.when)
	switch {
	case state == t.said && (state == stateReady || since < remind):
		return false
	case state != t.said && state != stateReady && since < settled:
		return false
	}
	t.said, t.when = state, now
	return true
}

// say logs how ready the node is, and what a person can do about it.
func (n *node) say(state string, identity *peer.Identity, engine raftstore.Engine) {
	switch {
	case state == stateReady:
		n.logger.Info("ready", "node", identity.NodeID(), "cluster", identity.ClusterID())
	case !isMember(engine, identity):
		n.logger.Warn("not ready: "+waiting(identity, n.peerAddress), "cluster", identity.ClusterID())
	default:
		n.logger.Warn("not ready", "why", state)
	}
}

// waiting says what a node that is no member waits for.
func waiting(identity *peer.Identity, address string) string {
	switch {
	case identity.Phase() == peer.PhaseMember:
		return "this node was removed from its cluster: stop it; to have it back, empty its data directory and add it as a new node"
	case identity.Replaces() != "":
		return "this node gave up its data and takes the place of " + identity.Replaces() + ": it waits for the leader to ask for it; if that takes long: coordctl member add " + address
	}
	return "this node is no member of its cluster and waits to be added: coordctl member add " + address
}

// note keeps the configuration as raft has it, and that this node is in it.
func note(engine raftstore.Engine, identity *peer.Identity) error {
	if !isMember(engine, identity) {
		return nil
	}
	if err := identity.Confirm(); err != nil {
		return err
	}
	return identity.Know(engine.Members())
}

func isMember(engine raftstore.Engine, identity *peer.Identity) bool {
	return slices.ContainsFunc(engine.Members(), func(m raftstore.Member) bool { return m.ID == identity.NodeID() })
}
