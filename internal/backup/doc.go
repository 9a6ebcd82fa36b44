// Package backup is the file of a backup: the snapshot of a machine at one log index, behind
// a header for people, with a checksum over all.
//
// A file is
//
//	magic    16 bytes, "coordd backup 1\n"
//	frame    uint32 length > 0, uint32 checksum, bytes: the header, as JSON
//	frame    likewise: the snapshot, in as many frames as it takes
//	...
//	end      uint32 0, uint32 checksum, the SHA-256 of all before it (32 bytes)
//
// Numbers are little endian. The checksum of a frame is the CRC-32C of what all frames up to
// and including it contain, so that none can be lost, swapped or repeated unseen.
//
//  1. A Reader returns only what has passed its frame's checksum, and io.EOF only after the
//     end, whose SHA-256 it has verified and behind which there is nothing.
//  2. Whatever is wrong with a file is an [ErrDamaged] that says what and where; an error of
//     the reader below is returned as it is.
//  3. Of a file no more is kept in memory than a frame, and no length in it is believed
//     beyond MaxFrame.
//
// The frames are those of raftstore/hraft's snapshots in idea and not in bytes: those are
// between nodes of one cluster, and a backup may be read by versions to come.
//
// The package knows nothing of what a snapshot contains.
package backup
