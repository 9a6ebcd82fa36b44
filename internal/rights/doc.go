// Package rights says who may do what: it reads the credentials file, tells principals by
// their tokens and certificates, and decides.
//
// Invariants:
//
//  1. What no rule allows is refused. So is whatever any rule denies that matches it, however
//     general that rule is.
//  2. Of the rules that allow, only the most exact one that matches counts: an exact name
//     before a prefix, a longer prefix before a shorter one, and of one name a kind before
//     all kinds. So a narrow rule takes away what a wide one gives, as well as the reverse.
//  3. Verbs are independent of each other, but for admin, which has the other two in it.
//  4. Who asks for many names at once must have the right to each name that there could be
//     among them: one rule has to allow all of them, and none may take any of them away.
//  5. A file is taken as a whole or not at all. One that is faulty changes nothing: the rules
//     that were read before stay in force.
//  6. No token is in memory for longer than the call that brings it, and none is in the file:
//     that has hashes.
//
// The file is looked at when something is decided, once a second at most, so that nothing
// runs that somebody would have to stop.
//
// What it does not do: know calls and their resources (internal/server has the table), check
// certificates (TLS has), write anything down (internal/audit).
package rights
