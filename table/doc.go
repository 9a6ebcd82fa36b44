// Package table is the room of maps, pure. It is no client API; see package client for that.
//
// A map is sync.Map for coordination state: pairs of short byte strings under one name. Nobody
// waits for a map and nobody holds one, so it has no arms; each of its ops is done at once
// (Do). The room compares keys and values byte by byte and never looks into them; that all
// callers mean the same by the bytes is what the codec's name is for (SEMANTICS E8).
//
//  1. Every store of an entry and every deletion is a change, with a revision of its own that
//     the machine gives, also if the value stored is the one that was there. Nothing else
//     changes an entry.
//  2. An op whose result has no changes left the room as it was. So it need not be kept for
//     retries: to do it anew is as good (SEMANTICS B3).
//  3. A map has at most MaxEntries and MaxBytes, so that one message holds it and one entry
//     of the log may clear it; its record counts both.
//  4. A map is made by the first entry that is stored in it, with the codec of that op, which
//     may be none. It stays, also empty, until it is deleted (SEMANTICS E9), and it is
//     deleted only when it is empty: no entry goes without a change.
//  5. No read and no refused op makes or changes anything, and no deletion is refused for a limit.
//
// It does not number changes, and it remembers none: a watch is not its business.
package table
