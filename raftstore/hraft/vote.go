package hraft

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/hashicorp/raft"
)

// The names under which raft keeps its term and its vote.
const (
	keyTerm     = "CurrentTerm"
	keyVoteTerm = "LastVoteTerm"
	keyVoteFor  = "LastVoteCand"
)

// keyBallot is where they are kept instead, as one value:
//
//	byte     version
//	uint32   CRC-32C of all that follows, little endian
//	uint64   term
//	uint64   term of the last vote; 0: there was none
//	         address of the candidate it went to
const (
	keyBallot     = "Ballot"
	ballotVersion = 1
	ballotHeader  = 1 + crc32.Size + 16
)

// A ballot is a term and a vote.
type ballot struct {
	term, voteTerm uint64
	voteFor        []byte // nil: none
}

// votes is a stable store that writes a vote as a whole. raft writes its term and then
// its candidate; between the two, a crash leaves the new term beside the candidate of an
// older vote, who is then granted this one without a look at its log (RELIABILITY 3.2).
// The value has a checksum, which bbolt has not: a term that goes back would vote twice.
type votes struct {
	raft.StableStore

	mu      sync.Mutex
	now     ballot
	pending uint64 // term of a vote whose candidate is still to come; 0: none
}

// openVotes reads what there is. Whether there must be a ballot the caller knows.
func openVotes(store raft.StableStore, must bool) (*votes, error) {
	b, err := store.Get([]byte(keyBallot))
	if err != nil {
		return nil, fmt.Errorf("read vote: %w", err)
	}
	v := &votes{StableStore: store}
	switch {
	case len(b) == 0 && must:
		return nil, fmt.Errorf("%w: there is a log, and no term and vote", ErrDamaged)
	case len(b) == 0:
		return v, nil
	}
	if v.now, err = decodeBallot(b); err != nil {
		return nil, fmt.Errorf("read vote: %w", err)
	}
	return v, nil
}

func (b ballot) encode() []byte {
	e := append(make([]byte, 0, ballotHeader+len(b.voteFor)), ballotVersion, 0, 0, 0, 0)
	e = binary.LittleEndian.AppendUint64(e, b.term)
	e = binary.LittleEndian.AppendUint64(e, b.voteTerm)
	e = append(e, b.voteFor...)
	binary.LittleEndian.PutUint32(e[1:], crc32.Checksum(e[1+crc32.Size:], crc32.MakeTable(crc32.Castagnoli)))
	return e
}

func decodeBallot(e []byte) (ballot, error) {
	if len(e) < ballotHeader {
		return ballot{}, fmt.Errorf("%w: term and vote are cut short", ErrDamaged)
	}
	b := ballot{term: binary.LittleEndian.Uint64(e[5:]), voteTerm: binary.LittleEndian.Uint64(e[13:])}
	if b.voteTerm > 0 {
		b.voteFor = append([]byte{}, e[ballotHeader:]...)
	}
	if string(b.encode()) != string(e) {
		return ballot{}, fmt.Errorf("%w: checksum of term and vote differs", ErrDamaged)
	}
	return b, nil
}

// put writes a ballot. What cannot be written is not remembered either.
func (v *votes) put(b ballot) error {
	if err := v.StableStore.Set([]byte(keyBallot), b.encode()); err != nil {
		return err // stopStable says what was written
	}
	v.now, v.pending = b, 0
	return nil
}

// SetUint64 is part of raft.StableStore. The term of a vote waits for its candidate: until
// Set returns, raft tells nobody of the vote.
func (v *votes) SetUint64(key []byte, value uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(key) {
	case keyTerm:
		b := v.now
		b.term = value
		return v.put(b)
	case keyVoteTerm:
		v.pending = value
		return nil
	}
	return v.StableStore.SetUint64(key, value)
}

// Set is part of raft.StableStore.
func (v *votes) Set(key, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if string(key) != keyVoteFor {
		return v.StableStore.Set(key, value)
	}
	b := v.now
	b.voteTerm, b.voteFor = max(b.voteTerm, v.pending), append([]byte{}, value...)
	return v.put(b)
}

// GetUint64 is part of raft.StableStore.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(key) {
	case keyTerm:
		return v.now.term, nil
	case keyVoteTerm:
		return v.now.voteTerm, nil
	}
	return v.StableStore.GetUint64(key)
}

// Get is part of raft.StableStore.
func (v *votes) Get(key []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if string(key) == keyVoteFor {
		return v.now.voteFor, nil
	}
	return v.StableStore.Get(key)
}
