// Package lessee is the client's half of a session, pure: no clock, no goroutine, no
// lock, no I/O, no randomness. It is no API for users; package client is. The
// goroutines of package client carry what it says to and fro and decide nothing.
//
// It owns the client's calls and what is known of them, the session that carries them
// now, the seqs of that session, its lease, and what must be said to the server after
// a stream or a session was lost. It does not know what a call's body means.
//
// # A call's life
//
// A call is queued by Start, is given a seq when Frame sends it, and then is answered:
// held (Granted), or final (Done, Refused). A call of a lost session is queued anew, or,
// if it changes something, is in limbo until the Attach that replaces the session says
// what the session left. A hold whose session is lost is lost, and owes its End. Every
// call has exactly one final outcome: Done, Refused, Ended or Unknown, and for a change
// about a hold that was lost before it, Lost.
//
// # A give
//
// A give is a change that hands the hold it is about to somebody else, or fails and leaves
// it (StartGive). Done, the hold is Ended just before, unless an End of it is outstanding,
// which then settles it; after an End, or in any other way, a give is like every change. A
// hold that is lost first is Lost, and what its give did is found out apart from it.
//
// # Invariants
//
//  1. A seq is given when a frame emits its op, rising by one, and names that op until the
//     session is over. What follows Attached.Last is sent again in order without a gap,
//     as a no-op where nobody wants it any more (SEMANTICS B2).
//  2. The map ops has exactly the seqs of the present session that are outstanding or held:
//     it is what Attach lists as wanted. A hold whose End is outstanding stays listed with
//     that End, so that the releasing user still learns of a revocation (B1, B4).
//  3. A call is on at most one list: queue (never sent, or its End is to be sent), redo
//     (to be asked anew, in call order, before what is new), or parked (held back because
//     the session is revoked). A dead entry is never on a list.
//  4. The deadline is the start of the Attach that opened the session, or of the latest
//     answered Renew, plus TTL less margin and Config.EndEarly. It never falls, and
//     whatever is answered at or after it is ignored: over is over for good (A4, A5).
//  5. A session is live only after the Attached that opened it, which settled every
//     change of the session before; so there are changes in limbo only while no session
//     is live, and all are of the one session that the next Attach replaces. If the
//     answer to that Attach is lost, the next names the same session again; the one that
//     the first may have opened is an orphan and expires by itself (B1, B8).
//  6. Answers and frames belong to the present stream, the one of the latest Connect;
//     those of other epochs are ignored (B1).
//  7. Nothing that a call got and the machine keeps is unacknowledged for long: a frame
//     carries what is pending, and 1,024 of them make a frame of their own. A new Attach
//     acknowledges by not listing (B1, B3).
//  8. After a loss of holds no Attach is made for min(margin, 1 s) and Config.EndEarly, so
//     that cancelled work can stop before its locks are given to others: the next Attach
//     ends the old session at once (A5). It is not waited for if nothing was held, and so
//     not before the first session.
//  9. After a lost stream the server says that a hold which was given is over before it
//     repeats the give's Done. So such a word on a hold is only remembered while a give
//     of it is outstanding; if the last of them is answered and the hold is still here, it
//     is lost.
//  10. Outputs depend on inputs alone: no map order reaches them.
//
// # Loss
//
// A session is lost at its deadline, on Over, on RenewalOver, and, once it was revoked,
// when nothing is held in it any more. A loss at the deadline has ReasonPaused if the
// input that finds it comes more than a margin after both the input before it and what
// NextDue then said: the process or its clock stood still. While a session is revoked
// (RenewalRevoked) only Ends and changes about holds are sent in it; everything else
// waits for the next session.
//
// # Misuse
//
// Start, StartOn, StartGive and Leave after Leave panic. No other input does, whatever the server
// and the network do.
package lessee
