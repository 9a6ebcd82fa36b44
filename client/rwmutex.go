package client

import (
	"context"
	"sync"
)

// An RWMutex is a sync.RWMutex across processes. A waiting writer blocks later
// readers. An upgrade is a deadlock, and is reported as one where ctx shows it.
//
// RLocks of one handle are interchangeable, as in sync: RUnlock undoes any one. The
// handle may serve several with one hold of the cluster, but lets no reader join it
// once a writer waits anywhere. In this version each RLock has a hold of its own.
type RWMutex struct {
	_    noCopy
	kept *kept
}

// RWMutex returns a handle on the lock of that name.
func (c *Client) RWMutex(name string, opts ...HandleOption) *RWMutex {
	h := handleOptions(opts)
	return &RWMutex{kept: newKept(c.courier, lockWant(name, false, h), lockWant(name, true, h))}
}

// Lock is [Mutex.Lock].
func (rw *RWMutex) Lock() { rw.kept.lock() }

// TryLock is [Mutex.TryLock].
func (rw *RWMutex) TryLock() bool { return rw.kept.tryLock() }

// Unlock is [Mutex.Unlock].
func (rw *RWMutex) Unlock() { rw.kept.unlock() }

// RLock locks rw for reading, however long it takes.
func (rw *RWMutex) RLock() { rw.kept.rlock() }

// TryRLock reports whether it locked rw for reading at once. No answer within a second
// is false.
func (rw *RWMutex) TryRLock() bool { return rw.kept.tryRLock() }

// RUnlock undoes one RLock or TryRLock of this handle, as [Mutex.Unlock] does.
func (rw *RWMutex) RUnlock() { rw.kept.runlock() }

// RLocker returns a Locker of RLock and RUnlock.
func (rw *RWMutex) RLocker() sync.Locker { return (*rlocker)(rw) }

type rlocker RWMutex

func (r *rlocker) Lock()   { (*RWMutex)(r).RLock() }
func (r *rlocker) Unlock() { (*RWMutex)(r).RUnlock() }

// LockContext is [Mutex.LockContext].
func (rw *RWMutex) LockContext(ctx context.Context) (*Hold, error) {
	return rw.kept.courier.acquire(ctx, rw.kept.write, false)
}

// TryLockContext is [Mutex.TryLockContext].
func (rw *RWMutex) TryLockContext(ctx context.Context) (*Hold, error) {
	return rw.kept.courier.acquire(ctx, rw.kept.write, true)
}

// RLockContext is LockContext of a read lock, which has no token.
func (rw *RWMutex) RLockContext(ctx context.Context) (*Hold, error) {
	return rw.kept.courier.acquire(ctx, rw.kept.read, false)
}

// TryRLockContext is TryLockContext of a read lock.
func (rw *RWMutex) TryRLockContext(ctx context.Context) (*Hold, error) {
	return rw.kept.courier.acquire(ctx, rw.kept.read, true)
}

// Do is [Mutex.Do] with the write lock.
func (rw *RWMutex) Do(ctx context.Context, f func(ctx context.Context, t Token) error) error {
	h, err := rw.LockContext(ctx)
	if err != nil {
		return err
	}
	return h.Do(ctx, f)
}

// RDo is Do with a read lock, which has no token: readers are not fenced.
func (rw *RWMutex) RDo(ctx context.Context, f func(ctx context.Context) error) error {
	h, err := rw.RLockContext(ctx)
	if err != nil {
		return err
	}
	return h.Do(ctx, func(ctx context.Context, _ Token) error { return f(ctx) })
}
