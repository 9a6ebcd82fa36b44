// Package server is the shell around the machine: it carries what clients send into the
// log, and what the machine says of it back to them. It decides nothing that the log
// does not decide.
//
// Invariants:
//
//  1. Every node applies; only the leader serves. A node that does not lead passes a
//     call on to the one that does, at most once; of coord.v1 only Status is always local,
//     and a read that is asked to be stale.
//  2. A stream is registered under (instance, epoch) before its Attach is submitted, so
//     that no answer can come too early. EventAttached gives it the session; from there
//     to its end it gets every event of that session, in log order.
//     A caller is registered under (session, request id) before its call is submitted, and
//     after its secret was compared; it gets the first outcome of that request, or the end
//     of that session.
//  3. Apply never waits for a client. It appends to outboxes; a client that reads too
//     slowly is cut, and gets its answers when it attaches again.
//  4. A session has at most one bound stream on a node, the latest in log order.
//  5. One goroutine submits all commands of a stream, in the order in which they came.
//     If one fails the stream is cut, and the client sends again what was not answered:
//     seqs make that exactly once. Nothing is ever retried here. To ask again is harmless
//     for callers too: the .proto marks their methods idempotent.
//  6. A stream belongs to a term of this node's leadership, and is cut with it. A
//     restored snapshot cuts all streams of the node (SEMANTICS B5).
//     A caller, who waits for a call of a session without a stream, is likewise told to
//     ask again.
//  7. A definite answer about a session comes out of an applied entry, never out of the
//     present state of a node that may have been deposed.
//  8. An argument of one op that breaks a limit is the machine's to refuse, because its
//     seq must be spent. What makes a whole frame unintelligible ends that call. Arguments
//     of a call that is an RPC are refused here, before the machine knows its id.
//  9. Nothing is proposed before the cluster is founded (Bootstrap), so that no token
//     lies below the floor (SEMANTICS C1).
//  10. Every queue has a bound: bytes in flight and outbox of a stream, leases and ranges
//     of a call, ops of a frame, streams and waiting calls of a connection, changes that are
//     kept and their texts, watches of a node and what waits for each. Of streams, calls, watches
//     and openings of sessions each client has a share, which never costs it a renewal or a release.
//  11. A backup is what the state is after a command of its own. A restore is decided by one
//     command (SEMANTICS C1): whatever fails before it has changed nothing. A replaced state
//     is not told as changes: journals begin anew, as after a snapshot.
//  12. Every method has a row in methods.go, and every op its needs in needs.go; what has none
//     is refused. Who calls is found out where the client is connected, and what it may
//     do where the call is served. Nothing of an op that is refused is in the log.
//  13. Whose call it is only another node may say, on a connection that is Passed.
//  14. A session's secret is bound to the principal that opened it before the log has it.
//  15. Every goroutine ends with its stream or with Stop, which waits for it.
//
// Where time is: Replica notes when the next thing falls due by the local clock, and the
// server ticks the log then (SEMANTICS A2). Renewals wait up to 100 ms for company. No
// session has a timer. All other times are of one RPC, and decide nothing that is in the
// log: how long a leader is waited for, or an Attach frame, and how often a watch of what
// does not change says how far it is.
//
// What it does not do: dedupe, expire, grant, order (machine); replicate (raftstore);
// know its peers (Config.Locate, Config.Dial).
package server
