// Coordd is a node of a cluster that gives locks and semaphores to many processes. It
// holds the wiring and nothing else: what a node does is in internal/server, raftstore
// and internal/peer.
//
// Invariants:
//
//  1. A node is wired in one function, node.run, top to bottom; it is taken down in
//     the reverse order, which the function's deferred calls are.
//  2. A setting comes from its flag, else from COORDD_* in the environment, else from
//     the --config file, else from its default. All of them go through the same flag
//     and the same checks.
//  3. Nothing listens beyond loopback unless it was said in so many words.
//  4. Only main exits. Everything under it runs in a test too.
//  5. The process ends: a stop that hangs is left after stopLimit, a second signal
//     ends it at once.
package main
