// Package machine composes the pure rooms into the replicated state machine: entries in,
// results and events out. It is no client API.
//
// Apply is total and deterministic: any command in any state has a defined result, and
// the same entries give the same bytes on every node. There is no clock, no randomness,
// no goroutine, no lock and no I/O here; time comes in with the entry (SEMANTICS A1). A
// refusal is a code; a broken invariant panics, because a node that goes on from one
// would spread it.
//
// An entry is applied in this order (A2): its increment; its renewals; all that has
// fallen due, every session ended before any grant is made; then its commands in order,
// each with the grants it causes (D5). Three functions are the heart of it: try, which
// is D1 to D4 for newcomers and for those woken alike; touch, which marks the head
// of an object's queue to be tried; and settle, which tries who is marked, the least
// (priority, ticket) first, until nobody can proceed.
//
// Sessions without a stream make calls under request ids (call.go, SEMANTICS B6): the first
// call of an id gets the session's next seq and is an op like any other; every other, and
// its end, finds it by the id. Each has exactly one end, which conclude keeps. What happens
// to objects is noted as numbered changes (change.go, B5): the same on every node, none
// without a hold's beginning, end, delay or value, or a limit. What is asked of a kind of
// object is in room.go; what is particular to elections in leader.go (E3).
//
// A wait may name holds that are kept while it waits. One that could never proceed is refused
// (deadlock.go: when, and why that is enough; graph.go, look.go: the search; cycle.go: what
// is told; G).
//
// Where the records live: package session has leases, holds, kept results and alarms;
// package park the waiters and their queues; packages lock and election what is held of
// each object. All are copy-on-write tables, so that a snapshot is taken in O(1) (H3).
//
// Check asserts the invariants of SEMANTICS J; package sim and the fuzz targets call it
// after entries.
package machine
