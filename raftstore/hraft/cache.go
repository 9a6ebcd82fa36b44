package hraft

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// The cache keeps the end of the log, for replication to followers that are near it.
const (
	cacheEntries = 8 << 10
	cacheBytes   = 64 << 20
)

// cachedLog is a log store that remembers the newest entries. raft.LogCache bounds
// only their number, and a full one of our batches would be gigabytes.
//
// It also has no entry before its first: raft-wal serves entries that were deleted
// until their file goes, so that what a follower is sent would depend on file sizes.
type cachedLog struct {
	raft.LogStore

	mu     sync.RWMutex
	oldest uint64      // entries before it were deleted
	ring   []*raft.Log // entry i is at i % len(ring)
	first  uint64      // the ring holds first <= i < next, without a gap
	next   uint64
	size   int // bytes of their data
	budget int
}

func newCachedLog(store raft.LogStore, entries, budget int) (*cachedLog, error) {
	oldest, err := store.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read first index of log: %w", err)
	}
	return &cachedLog{LogStore: store, oldest: oldest, ring: make([]*raft.Log, entries), budget: budget}, nil
}

// IsMonotonic is part of raft.MonotonicLogStore.
func (c *cachedLog) IsMonotonic() bool { return isMonotonic(c.LogStore) }

// GetLog is part of raft.LogStore.
func (c *cachedLog) GetLog(index uint64, l *raft.Log) error {
	c.mu.RLock()
	hit, gone := index >= c.first && index < c.next, index < c.oldest
	if hit {
		*l = *c.at(index)
	}
	c.mu.RUnlock()
	switch {
	case hit:
		return nil
	case gone:
		return raft.ErrLogNotFound
	}
	return c.LogStore.GetLog(index, l)
}

// StoreLog is part of raft.LogStore.
func (c *cachedLog) StoreLog(l *raft.Log) error { return c.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore. What is not written is not remembered.
func (c *cachedLog) StoreLogs(logs []*raft.Log) error {
	if err := c.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(logs) > 0 && (c.oldest == 0 || logs[0].Index < c.oldest) {
		c.oldest = logs[0].Index // the log was empty, or was deleted whole and begins lower
	}
	for _, l := range logs {
		if l.Index != c.next {
			c.drop(c.next)
			c.first, c.next = l.Index, l.Index
		}
		for c.first < c.next && (c.next-c.first == uint64(len(c.ring)) || c.size+len(l.Data) > c.budget) {
			c.drop(c.first + 1)
		}
		kept := *l
		c.ring[l.Index%uint64(len(c.ring))] = &kept
		c.size += len(l.Data)
		c.next++
	}
	return nil
}

// DeleteRange is part of raft.LogStore. It is forgotten first, so that no reader finds
// here what is no longer there.
func (c *cachedLog) DeleteRange(first, last uint64) error {
	c.mu.Lock()
	if first > c.first && first < c.next { // the end of the log
		kept, end := c.first, c.next
		c.first = first
		c.drop(end)
		c.first, c.next = kept, first
	} else if last >= c.first {
		c.drop(min(last+1, c.next))
	}
	if first <= c.oldest { // the beginning
		c.oldest = max(c.oldest, last+1)
	}
	c.mu.Unlock()
	return c.LogStore.DeleteRange(first, last)
}

func (c *cachedLog) at(index uint64) *raft.Log { return c.ring[index%uint64(len(c.ring))] }

// drop forgets what is before index.
func (c *cachedLog) drop(index uint64) {
	for ; c.first < index; c.first++ {
		c.size -= len(c.at(c.first).Data)
		c.ring[c.first%uint64(len(c.ring))] = nil
	}
}
