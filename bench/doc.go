// Command bench measures coordd on this machine: real processes, durability on, and what
// is compared interleaved in one run (A B A B), because only ratios of one run mean
// anything on a shared machine.
//
//	go run ./bench -quick        # about two minutes
//	go run ./bench -json out.json
//	go run ./bench -scale        # about six minutes, 6 GB of memory and 1 GB of disk
//
// It prints the floor first: F is one small synced write, R a round trip over loopback, G
// a unary gRPC round trip to a node. Then, for each number of goroutines, pairs a second of Lock and
// Unlock, both committed, each goroutine on a lock of its own, through a cluster of three
// processes; and beside it the raw commit rate of the engine alone, three nodes in this
// process, one command of 64 bytes a commit, through the same group commit.
//
// With -scale it is one node instead, with a million locks held by the sessions of another
// process: what a lock takes of its memory; Lock beside them while the node takes
// snapshots of its own accord, apart from Lock between two of them; and a restart, after
// which every lock must still be held. Then 100,000 sessions on another node: memory, the
// processor time of their renewals, and how long after their death the last lock is free.
//
// A checker runs inside: tokens rise within a lock, and a lock that is held is not held
// twice. A run that breaks it exits 1.
package main
