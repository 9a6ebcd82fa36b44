// Coordctl runs commands under locks, semaphores and elections of coordd, uses its channels,
// wait groups and maps, and looks at a cluster.
//
//	coordctl lock deploy -- ./deploy.sh
//	coordctl sem --limit 4 build -- make
//	coordctl elect primary -- ./serve.sh
//	coordctl recv --ack jobs -- ./work.sh
//	coordctl explain deploy
//	coordctl status
//
// # What lock, sem, elect, recv --ack and waitgroup run promise
//
//  1. There is no shell. Stdin, stdout and stderr are the child's; what coordctl has
//     to say goes to stderr, one line at a time, and never while the child is well.
//  2. The exit code is the child's, or 128+n if signal n ended it. 75 says that the
//     lock was not had, 79 that it was lost, 124 that --max-run passed, 125 that
//     coordctl failed, 126 and 127 that the command cannot be run or was not found.
//  3. The child is gone before the lease can end on the cluster: it is sent TERM
//     --kill-after before the client's own deadline, which is earlier than the
//     cluster's, and KILL at that deadline. A child of a coordctl that was killed
//     is killed by the kernel (on Linux).
//  4. A signal while waiting leaves nothing behind. A signal while the child runs is
//     the child's.
//  5. The session ends with the run. The exit code does not depend on whether the
//     cluster confirms that. An element is acknowledged only if the child exited 0, and
//     that it is confirmed is part of the exit code.
//
// # What get, describe and explain promise
//
//  1. Data go to stdout, everything else to stderr. Nothing that anybody calls himself
//     acts on the terminal. JSON has all in full, and ids as strings.
//  2. Memory does not grow with the list: rows and JSON are written page by page.
//  3. A watch goes on from the last revision over cuts. What was missed is said, and what
//     there is is shown again; nothing is missed in silence.
//  4. They use no colour, so NO_COLOR needs no looking at.
//
// What it does not do: stop grandchildren that left the child's process group, or a
// write that is late. The fencing token is for those.
//
// # Layout
//
// main.go has the command tree and the streams; failure.go says how things go wrong,
// in words and exit codes; lock.go and elect.go are flags, attempt.go waiting, connect.go
// the session, narrator.go and words.go what is said meanwhile, child.go and supervise.go the
// child, environment.go and lineage.go what it and nested runs know; deliver.go is recv
// --ack, waitgroup.go wait groups. converse.go is what runs nothing and has a session all
// the same: send.go, recv.go, maps.go, delete.go. direct.go asks the nodes, status.go and
// session.go what they are asked first; observe.go follows an election. get.go lists,
// graph.go shows who waits for whom, follow.go is a watch over its cuts and change.go what it
// says; describe.go and described.go, explain.go, sentences.go and explained.go are of one
// object, near.go of one that is not there; kinds.go has the words for kinds, state.go those
// for how they are, view.go what JSON and tables have in common, output.go tables.
package main
