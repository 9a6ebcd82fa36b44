package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"coordd.dev/client"
)

const dialed = 8 // clients, each a session and a stream of its own

// lockers are clients of one cluster.
type lockers struct {
	clients []*client.Client
	broken  atomic.Int64 // what the checker found
}

func dialLockers(ctx context.Context, target string) (*lockers, error) {
	l := &lockers{}
	for range dialed {
		c, err := client.Dial(ctx, target, client.WithName("bench"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dial: %w", err), l.close())
		}
		l.clients = append(l.clients, c)
	}
	return l, nil
}

// pairs is Lock and Unlock, both committed, from n goroutines, each on a lock of its own.
// The latency is Lock's.
func (l *lockers) pairs(ctx context.Context, n int, warm, measure time.Duration) (result, error) {
	type own struct {
		mutex *client.Mutex
		held  atomic.Int32
		token client.Token
	}
	owns := make([]*own, n)
	for w := range owns {
		owns[w] = &own{mutex: l.clients[w%dialed].Mutex(fmt.Sprintf("bench/%d", w))}
	}
	return drive(n, warm, measure, func(w int) (time.Duration, error) {
		o := owns[w]
		start := time.Now()
		h, err := o.mutex.LockContext(ctx)
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		if o.held.Add(1) != 1 || h.Token() <= o.token {
			l.broken.Add(1)
		}
		o.token = h.Token()
		o.held.Add(-1)
		return took, h.Unlock(ctx)
	})
}

func (l *lockers) close() error {
	var errs []error
	for _, c := range l.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
