// Package arch is a test and nothing else: it holds the shape of the module.
//
//  1. A package imports only those packages of this module that its row in the table
//     of arrows names. A package without a row fails: where it stands is decided when
//     it is made.
//  2. The pure rooms have no clock, no randomness, no goroutine, no channel, no lock,
//     no I/O, no logging and no context. What they may import is listed, what is not
//     is refused.
//  3. No map order reaches an output of a pure room: a range over a map stands under
//     a comment "order-free: WHY", or not at all.
//  4. The client and the api stay light: the modules they bring along are listed.
//  5. Where telemetry goes is for the commands to say: only they import an SDK.
//
// Each rule is shown to bite by packages under testdata that break it.
package arch
