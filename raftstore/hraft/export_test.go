package hraft

import "github.com/hashicorp/raft"

// Sealed is a log as an Engine has it.
func Sealed(s raft.LogStore) raft.LogStore { return sealedLog{s} }

// Raft is the library below, without what an Engine does about its faults.
func (e *Engine) Raft() *raft.Raft { return e.raft }
