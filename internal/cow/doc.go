// Package cow keeps records by value in ordered tables that are copied in O(1).
//
// A snapshot of the machine is a copy of its tables; it is written out while the
// machine goes on (SEMANTICS H3). So records name each other by id and never by
// pointer, and nothing that a record reaches (a slice of arms, say) is ever changed in
// place: whoever changes a record puts a new one.
//
//  1. A Table's Sum is the sum of the hashes of its records, whatever the order in which
//     they were put: two tables with equal records have equal sums.
//  2. Copy is O(1). What is done to either copy is not seen in the other, and the two
//     may be used by different goroutines.
//  3. Iteration is in key order. Nothing may be put or deleted while one is under way.
//
// An Index is a Table without a sum, for what can be derived from other tables.
//
// The tree is tidwall/btree's. An own B+tree was measured 20 to 40 per cent faster and
// a third smaller; it is not worth its code until memory a lock misses its target. The
// hash is xxHash64, which is unseeded: hash/maphash differs from process to process.
package cow
