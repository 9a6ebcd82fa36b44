// Package hrafttest gives nodes a network and disks in memory, with the faults that
// tests need. All of it works inside a testing/synctest bubble.
//
// A Network carries streams between hosts. A host is what is before the colon of an
// address. What is cut off loses nothing: bytes wait, as in TCP, and come late. A host
// that is killed loses its connections, and the other ends see that at once.
//
// A Disk survives the node that writes to it. A node opens it, and from Crash on,
// or from the next Open, nothing that it still writes is kept.
package hrafttest
