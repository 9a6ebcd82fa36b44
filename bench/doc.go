// Command bench measures coordd on this machine: real processes, durability on, and what
// is compared interleaved in one run (A B A B), because only ratios of one run mean
// anything on a shared machine.
//
//	go run ./bench -quick        # about two minutes
//	go run ./bench -json out.json
//
// It prints the floor first: F is one small synced write, R a round trip over loopback, G
// a unary gRPC round trip to a node. Then, for each number of goroutines, pairs a second of Lock and
// Unlock, both committed, each goroutine on a lock of its own, through a cluster of three
// processes; and beside it the raw commit rate of the engine alone, three nodes in this
// process, one command of 64 bytes a commit, through the same group commit.
//
// A checker runs inside: tokens rise within a lock, and a lock that is held is not held
// twice. A run that breaks it exits 1.
package main
