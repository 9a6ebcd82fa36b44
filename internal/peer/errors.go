package peer

import (
	"errors"
	"fmt"
)

var (
	// ErrWrongCluster says that the two nodes are of different clusters.
	ErrWrongCluster = errors.New("wrong cluster")

	// ErrWrongNode says that another node answers at the address: the one that was
	// meant has moved, or its data directory was replaced.
	ErrWrongNode = errors.New("wrong node")

	// ErrNotMember says that there is no such node in the configuration.
	ErrNotMember = errors.New("no member of the cluster")

	// ErrOldCopy says that this node's data are those of an earlier time, without what it
	// has had since.
	ErrOldCopy = errors.New("an old copy")

	// ErrNotPeer says that what answered does not speak this protocol.
	ErrNotPeer = errors.New("not a coordd peer port")

	errAdopted = errors.New("this node has adopted a cluster")
)

// A refusal is the code with which a connection is answered. The values are the
// wire's; never reorder them.
type refusal uint8

const (
	accepted refusal = iota + 1
	refusedVersion
	refusedPurpose
	refusedNode
	refusedSelf
	refusedCluster
	refusedNoCluster
	refusedStranger
	refusedInternal
	refusedCertificate
	refusedNotMember
	refusedStarting
	refusedOldCopy
)

// A RefusedError is the answer of a peer that does not want the connection.
type RefusedError struct {
	Address string // that was dialled
	NodeID  string // who answered
	Text    string // why, for people

	code refusal
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("peer %s refused: %s", e.Address, e.Text)
}

// Unwrap gives the sentinel of the code.
func (e *RefusedError) Unwrap() error {
	switch e.code {
	case refusedCluster:
		return ErrWrongCluster
	case refusedNode:
		return ErrWrongNode
	case refusedNotMember:
		return ErrNotMember
	default:
		return nil
	}
}
