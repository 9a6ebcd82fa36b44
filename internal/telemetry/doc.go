// Package telemetry names everything that is measured and traced: the instruments, their
// units and attributes, the spans, and the form of a trace's context on the wire. It uses
// OpenTelemetry's API only; what becomes of it is the business of who gives the providers.
// docs/telemetry.md says it all to people.
//
// Invariants:
//
//  1. No attribute of a metric is what a user chose: no object's name, no session, no
//     note. Their values are the constants of this package, so a metric has a fixed number
//     of series.
//  2. A node counts what it sees: its own replica, its own log. What happens once for the
//     whole cluster (a wait, a hold, an end of a session) is counted by the node that
//     leads, else every node would count it.
//  3. What is not sampled costs no allocation.
//  4. A span is made when it is over, from two times, and never left open.
//
// It starts no goroutine and decides nothing.
package telemetry
