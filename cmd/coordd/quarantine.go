package main

import (
	"errors"
	"fmt"

	"coordd.dev/internal/peer"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore/hraft"
)

// giveUp returns why the node ends. If it is that its data cannot be trusted, the directory
// becomes that of a new node, which takes the old one's place once it is started: what is
// left of the data must not vote, and the other members have what was acknowledged.
func (n *node) giveUp(identity *peer.Identity, cause error) error {
	if !errors.Is(cause, server.ErrDiverged) && !errors.Is(cause, hraft.ErrDamaged) {
		return cause
	}
	as, aside, err := identity.GiveUp()
	if errors.Is(err, peer.ErrAlone) {
		return fmt.Errorf("%w; nobody else has these data: put back a copy of %s, or begin anew and restore a backup",
			cause, n.cfg.DataDir)
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	n.logger.Error("this node's data are given up: start it again, and it gets them anew from the other members",
		"err", cause, "next_node", as, "set_aside", aside)
	return fmt.Errorf("%w; start it again: it then joins as node %s, and these data are set aside as %s", cause, as, aside)
}
