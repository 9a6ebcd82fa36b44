// Package peer is how nodes know, find and trust each other: who a node is (Identity),
// the one port where nodes talk (Mux), and how a cluster begins (Form). It is no client
// API.
//
// A peer port carries three kinds of connections, told apart by a handshake: raft's own
// (RaftLayer), Hello, in which a node says who it is, and those over which a node passes
// on what its clients ask (Calls). It knows nothing of what raft replicates, and never
// changes raft's configuration after the first one.
//
// # Invariants
//
//  1. A data directory is used by one process at a time: it is locked.
//
//  2. A node id belongs to one directory's content and lives and dies with it. It is
//     random, and says nothing of name or address. A wiped directory gets a new id, so
//     that a node that lost its log never votes in the name of the one that had it.
//
//  3. A raft connection is made to a node, not to an address: the dialler names the id
//     that stands at the address in raft's configuration, and any other node refuses.
//
//  4. A directory adopts at most one cluster id, ever, and it is on disk before any
//     peer hears of it. Raft connections need the same cluster id on both sides.
//
//  5. A configuration is decided by the node that minted the cluster's id, once, in one
//     write of its record, and only of nodes that had all adopted that id before.
//
//  6. Bytes that do not begin with the magic are not answered. What a stranger can cost
//     is bounded: a place among the connections, for the time of a handshake.
//
//  7. With TLS (MuxConfig.TLS) a node is who its certificate says. Whoever dials has one of
//     the peer CA that is a node's, good for the host at which it says that it is reached;
//     whoever answers has one for the host that was dialled. All but Hello are for members:
//     the certificate must be good for the host of the node's address in the configuration,
//     which is asked of other members if this node does not know of the node. Nobody is a
//     member by having a certificate.
//
//  8. A node keeps, on disk, the highest log index that each other member ever said to have
//     applied (its floor), and says it whenever they connect. What is applied is on a node's
//     disk and is never cut off, so a node that has less than its floor has lost something
//     that it promised. It passes not a byte of raft's, in either direction, to or from whoever
//     knows that, and ends (ErrOldCopy). It asks everybody before its raft starts.
//
// Without TLS ids and addresses are believed, so that a stranger on the network can make a
// fresh node adopt a cluster that does not exist, or end a node by a floor that it never
// reached.
//
// # Old copies
//
// A data directory that was put back from a copy, or whose disk lost what it had confirmed, has
// nothing in it that shows it. The node would vote as if it had never had what is missing, and
// an acknowledged entry may be lost by that (hraft's TestOldCopyLosesEntries). Only others can
// know, by 8.
//
// Why a connection is enough of a place to look: raft keeps connections for long, but none
// outlives a process, and what a node has lost it has lost before its process began. Whoever
// knew a floor then says it before this process hears of raft from him. What others learn later
// they learn of what this process has, which is MuxConfig.Reached: the end of the log as it was
// opened, or what was applied since if that is more. So a node that lost nothing never has less
// than its floor: not while a snapshot is installed, and not when a suffix that was never
// committed is cut off, which is no part of what was applied.
//
// Who is believed: who answers as the member that was dialled, by its id, and with TLS by a
// certificate for its address; and who dials for more than Hello, and so is a member (7). Nodes
// without a vote count as all others. A node that is no member any more is forgotten: nobody
// gets its id again. Neither a replacement nor a restored backup has a floor, for their nodes
// are new.
//
// What is not caught: a node that nobody who is there has asked since the copy was made. Let A
// and B acknowledge an entry that C lacks, let C be unable to reach B meanwhile, B come back
// from a copy and A be dead: C and B elect each other. Nor what a node applied between two
// rounds of asking (10 s), nor, once it has caught up with its floor, what it had acknowledged
// beyond.
//
// The node keeps its data and only ends, unlike one that finds damage (GiveUp): it has this from
// others, whom without TLS it has to believe.
//
// # Formation
//
// Every node has the same command line, with the list of all N peer addresses. While a
// node is fresh it greets all of them, for ever, and lets others greet it.
//
//   - If one has a cluster id, the node adopts it.
//   - If all N have answered, none has a cluster id, all have the same list, and the
//     node's own address sorts first in it, it mints a cluster id (it is forming now),
//     and greets all again. Greeted by an address of its list, a fresh node adopts.
//   - When all N have answered a forming node with its cluster id, it decides: the
//     configuration is those N ids at those N addresses. Raft is bootstrapped with what
//     was written, here only; the others' raft hears of it from raft.
//
// Why no node is ever in two configurations. Take two decisions. By 5 each was written
// by the minter of its cluster id; ids are random, so one id has one minter; a record
// moves only forward (Phase), so one minter decides once: the two have different cluster
// ids. By 5 every node of either had adopted its cluster id, and by 4 a node adopts
// one: so they have no node in common. By 3 and 4 no raft connection crosses between
// them. So two clusters at the same N addresses take 2N directories: each node was
// wiped, or given another directory, in between. This uses neither the order of
// addresses nor the equality of lists nor any timing: those only make it likely that
// one node mints, and that it finishes. In particular:
//
//   - A crash anywhere: each step is one atomic, synced write, and a restarted node
//     goes on from its phase. Between "decided" and raft's own first write it is
//     bootstrapped again, with the same servers.
//   - A node wiped while the cluster forms is another node. If it had not adopted, or
//     if the forming node has not decided, the new one adopts and is decided instead.
//     If the decision named the old one, the cluster begins without it, has a quorum
//     of the rest, and the new node waits to be added.
//   - The forming node wiped before it decided: those that adopted its id are promised
//     to a cluster that nobody can decide any more. They refuse every other, in words,
//     until they are wiped too. Letting them change their minds would be letting the
//     old directory, if it comes back, decide a second cluster with them in it.
//   - Different lists: two nodes may each be first in their own and mint. Each needs
//     all of its list; a node that both lists name adopts one; the other cluster is
//     never decided, and its minter says who refuses it and why.
//
// The obvious way, in which the first node bootstraps as soon as all say that they have
// no data, has none of this: between the answer and the bootstrap a peer may be wiped,
// restarted with another list, or taken by another first node.
//
// After that, --join is ignored: the configuration is raft's. A member whose raft data
// are gone while its record is not (PhaseMember) must not start: see Identity.Confirm.
package peer
