// Command sim runs both pure halves of coordd, package machine on every node and package
// lessee in every client, over an abstract faulty log and network, on one thread and in
// virtual time, from one seed. It runs thousands of seeds a second, so that interleavings
// that a cluster shows once a year are seen in a minute.
//
//	go run ./test/sim -duration 60s                     any seeds, for so long
//	go run ./test/sim -case 'seed=7 span=3s ...'        one run, as a failure prints it
//	go run ./test/sim -case '...' -trace                the same, event by event
//	go run ./test/sim/planted                           what it finds of bugs that were planted
//
// # What is real and what is not
//
// Real: machine.Machine on one to three nodes, every command encoded and decoded for
// each, snapshots written and restored; lessee.Lessee. Abstract, and as bad as the real
// ones may be: the log (file log.go), the server's shell around the machine (node.go),
// the network (stream.go), the client's shell around the lessee (client.go), the users
// (user.go), and scripts that make unary calls under request ids until they are answered
// (caller.go, ask.go). The shells follow the duties that the docs of packages server and
// client state; they share no code with them.
//
// # What is checked
//
//  1. After entries, Machine.Check (a sample, and always at the end), and after each that
//     all nodes have the same hash; that a restored snapshot has it.
//  2. As the users see it: holds that a client surely has (its deadline has not passed on
//     its clock) exclude each other, and permits are within the limit; tokens rise; every
//     call has one final outcome, which fits what was asked and what it did: a change
//     that is done was done once, one that is not was never.
//  3. As the log sees it, read a second time by a dumb model (order.go): grants on an object
//     follow the order in which the waits were committed and find it free, lock-delays and
//     revocations are kept, and after each entry every hold that a client surely has is
//     there, with as many permits as it believes.
//  4. Of unary calls: an id is one call, however often and in whatever order it and its End
//     come; one that so many others followed that it may be forgotten is a new one.
//  5. Of the changes: every node makes the same under the same numbers, without a gap; folded
//     they give what the events give (ledger.go); a watcher that goes from node to node and
//     resumes by number sees each term of each election once, with a vacancy before it, and
//     where it must skip, reads the state and goes on (watch.go).
//  6. After the faults: every call ends, and after Leave no hold, wait or session is left.
//  7. That the runs reach what they are for: each state in tally.go, once in so many runs.
//
// A failure is shrunk, to fewer faults, clients, objects and less time, and printed as a
// case. Cases worth keeping are in testdata and are run by every go test.
package main
