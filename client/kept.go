package client

import (
	"errors"
	"fmt"
	"sync"
)

// A kept is what the sync-shaped methods of one handle hold, where Unlock finds it
// (SEMANTICS E1). The cluster keeps two holds of the handle apart; only after a loss may
// it grant one while another has not been unlocked yet. So a Lock waits for the Unlocks
// that are owed for lost holds, before it asks and, should the loss come while it asks,
// after.
type kept struct {
	courier *courier
	write   *want
	read    *want // nil of a Mutex

	// turn has a token while a goroutine waits for the write lock or has it: within the
	// process the cluster is asked for one at a time.
	turn chan struct{}

	mu      sync.Mutex
	less    sync.Cond // broadcast when a hold is taken out
	writer  *Hold
	turned  bool // writer's owner has the turn: not if it came from a cond
	readers []*Hold
}

func newKept(k *courier, write, read *want) *kept {
	s := &kept{courier: k, write: write, read: read, turn: make(chan struct{}, 1)}
	s.less.L = &s.mu
	return s
}

func (s *kept) lock() {
	s.turn <- struct{}{}
	locked := false
	defer s.passTurn(&locked) // if it is refused, by a panic
	for !locked {
		s.await(s.owed)
		locked = s.keepWriter(s.courier.acquireForever(s.write))
	}
}

func (s *kept) tryLock() bool {
	select {
	case s.turn <- struct{}{}:
	default:
		return false
	}
	locked := false
	defer s.passTurn(&locked)
	h := s.courier.tryForBool(s.write)
	locked = h != nil && s.keepWriter(h)
	return locked
}

func (s *kept) passTurn(locked *bool) {
	if !*locked {
		<-s.turn
	}
}

// keepWriter keeps h, or releases it if readers whose holds were lost are still at work.
func (s *kept) keepWriter(h *Hold) bool {
	s.mu.Lock()
	free := len(s.readers) == 0 && s.writer == nil
	if free {
		s.writer, s.turned = h, true
	}
	s.mu.Unlock()
	if !free {
		s.courier.release(h)
	}
	return free
}

func (s *kept) unlock() {
	h, turned := s.takeWriter()
	if h == nil {
		panic(fmt.Sprintf("client: unlock of unlocked %s", s.write.ref))
	}
	err := s.courier.drop(h)
	if turned {
		<-s.turn
	}
	s.courier.complain(err)
}

// takeWriter takes the write lock's hold out, nil if there is none.
func (s *kept) takeWriter() (h *Hold, turned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, turned = s.writer, s.turned
	s.writer, s.turned = nil, false
	s.less.Broadcast()
	return h, turned
}

// let takes the hold out for a wait on a cond, which lets go of it: others of the process may
// lock meanwhile.
func (s *kept) let() *Hold {
	h, turned := s.takeWriter()
	if turned {
		<-s.turn
	}
	return h
}

// keepAgain keeps the hold that a wait on a cond came to. It has no turn, which somebody may
// have who waits in the cluster for the very lock.
func (s *kept) keepAgain(h *Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writer != nil || len(s.readers) > 0 { // owed since a loss
		s.less.Wait()
	}
	s.writer, s.turned = h, false
}

func (s *kept) rlock() {
	for {
		s.await(s.lostWriter)
		h := s.courier.acquireForever(s.read)
		if s.keepReader(h) {
			return
		}
	}
}

func (s *kept) tryRLock() bool {
	h := s.courier.tryForBool(s.read)
	return h != nil && s.keepReader(h)
}

// keepReader is keepWriter for a reader.
func (s *kept) keepReader(h *Hold) bool {
	s.mu.Lock()
	free := s.writer == nil
	if free {
		s.readers = append(s.readers, h)
	}
	s.mu.Unlock()
	if !free {
		s.courier.release(h)
	}
	return free
}

// runlock undoes any one rlock; one whose hold was lost first, so that nobody who waits
// for what is owed waits longer than needed.
func (s *kept) runlock() {
	s.mu.Lock()
	n := len(s.readers)
	if n == 0 {
		s.mu.Unlock()
		panic(fmt.Sprintf("client: read unlock of unlocked %s", s.read.ref))
	}
	i := n - 1
	for j, h := range s.readers {
		if h.ended() != nil {
			i = j
			break
		}
	}
	h := s.readers[i]
	s.readers[i] = s.readers[n-1]
	s.readers[n-1] = nil
	s.readers = s.readers[:n-1]
	s.less.Broadcast()
	s.mu.Unlock()
	s.courier.complain(s.courier.drop(h))
}

// await waits until nothing is owed.
func (s *kept) await(owed func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for owed() {
		s.less.Wait()
	}
}

// lostReader and lostWriter say whether the Unlock of a lost hold is owed. mu is held.
func (s *kept) lostReader() bool {
	for _, h := range s.readers {
		if h.Err() != nil {
			return true
		}
	}
	return false
}

func (s *kept) owed() bool { return s.lostReader() || s.lostWriter() }

func (s *kept) lostWriter() bool { return s.writer != nil && s.writer.Err() != nil }

// drop releases h without waiting, for the sync-shaped methods. The error is a
// *LostError if h was lost before.
func (k *courier) drop(h *Hold) error {
	h.check()
	if k.release(h) {
		return nil
	}
	return h.ended()
}

// complain panics with the loss of a hold that a sync-shaped method was to release,
// unless the user is told otherwise or has closed the client.
func (k *courier) complain(err error) {
	if lost, ok := errors.AsType[*LostError](err); ok && k.cfg.onLost == nil && lost.Reason != ReasonClosed {
		panic(lost)
	}
}
