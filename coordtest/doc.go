// Package coordtest runs coordd inside a test: the real machine, log and server over
// an in-memory network and disk, so that it also works, in virtual time, inside a
// testing/synctest bubble. Everything stops at the test's cleanup.
//
//	cluster := coordtest.NewCluster(t, 3)
//	c := cluster.Dial()
//	mu := c.Mutex("disk")
//
// What is always so:
//
//  1. Nodes are the real thing: raftstore/hraft, internal/server, gRPC. Only the network
//     and the disks are not.
//  2. There are two networks, between nodes and to clients, so that a Partition of the
//     nodes leaves each of them to its clients. What a fault cuts off is held, as TCP
//     does, and flows when it ends.
//  3. Faults are in force when the method returns. None of them waits for time to pass.
//  4. Every goroutine ends at cleanup: clients first, then nodes.
//
// A method that cannot do what it is asked for fails the test.
package coordtest
