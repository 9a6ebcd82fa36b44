// Package channel is the room of channels, pure. It is no client API; see package client
// for that.
//
// A channel is Go's, between processes: senders wait while it is full, receivers while it is
// empty, and with capacity 0 each waits for the other. A receive takes its element when it
// commits, or, with acknowledgement, holds it until then; the hold given back, the element
// is to be received again, as if it had never been away. The room says whether an arm can
// proceed now (Ready, asked only when nobody stands ahead of it on its side), moves elements
// (Commit, Release, Ack), and sees no queue, no session and no time (SEMANTICS E7).
//
//  1. The elements of a channel, buffered or unacknowledged, are within its capacity and
//     MaxBytes. Each is in one place: buffered, or held by one call.
//  2. An element keeps its slot, its send number and its priority until it is received for
//     good. Those buffered are received by priority, higher first, then send number: who
//     was given back comes before whatever was sent later.
//  3. A channel of capacity 0 has no elements. Its senders and receivers commit in pairs,
//     both in one apply, and the element goes from arm to arm.
//  4. A closed channel stays closed. Nothing is sent on it, and that nothing more comes is said
//     only when nothing is buffered or unacknowledged.
//  5. Capacity and codec are those of who made the channel, as long as it is in the room: an
//     open one without elements until nobody waits for it, every other until it is deleted.
//
// Whatever happens to a channel, that it is made included, may let the first of either of
// its queues proceed; package machine tries them. It also refuses those that waited for a
// channel of any capacity and cannot have the one that was made (Misfit).
package channel
