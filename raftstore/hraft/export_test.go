package hraft

import "github.com/hashicorp/raft"

// Sealed is a log as an Engine has it.
func Sealed(s raft.LogStore) raft.LogStore { return sealedLog{s} }
