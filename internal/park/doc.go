// Package park has the queues: who waits, for what, in which order. It is the gopark and
// the sudog of the cluster, pure and without any knowledge of what is waited for.
//
// A call that cannot proceed is parked as a Waiter with one or several Arms and stands
// on the queue of each arm's object, under one ticket (SEMANTICS D1). All queues are
// one ordered tree keyed (object, side, -priority, ticket, arm), so that enqueuing, leaving
// and finding a head cost O(log n), a waiter being where it must be on a thousand
// queues or on one.
//
//  1. A waiter stands on exactly the queues of its arms, and leaves all of them at once.
//  2. Tickets rise: of equal priorities the earlier comes first.
//  3. Who leaves from the head of a queue may let somebody behind it proceed: Leave
//     names each such queue.
//  4. Who names a hold is found by the hold (Naming). Only what waits names any: a hold keeps
//     no lineage of its wait.
//
// The package also has the words that every room shares: ID, Object, Arm, Result, Token,
// Clock, Code. It is no client API, and it decides nothing: whether an arm can proceed is the
// business of its room, and who is tried when that of package machine.
package park
