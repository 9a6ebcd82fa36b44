// Package ports reserves ports on loopback for servers that tests stop and start again.
//
// A port of the system's choice (":0") is free only while somebody listens on it: between
// a stop and the next start the system may give it to another server or to an outgoing
// connection. Invariants:
//
//  1. A reserved port lies below the range that the system chooses from (Linux: 32768 on).
//  2. No two blocks that are open share a port, in whatever processes: a block is its
//     owner's as long as he listens on the block's first port, which nobody else uses.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	lowest  = 20000
	highest = 32000 // exclusive
	size    = 16    // of a block, its first port included
	blocks  = (highest - lowest) / size

	// Most is the largest number of ports that one block has.
	Most = size - 1
)

// A Block is some ports of 127.0.0.1. It is its maker's until it is closed.
type Block struct {
	guard     net.Listener // on the block's first port
	addresses []string
}

// Reserve finds a block of n ports on which nobody listens, 1 to Most.
func Reserve(n int) (*Block, error) {
	if n < 1 || n > Most {
		return nil, fmt.Errorf("reserve ports: %d of them: a block has 1 to %d", n, Most)
	}
	var errs []error
	for _, block := range rand.Perm(blocks) {
		b, err := take(lowest+block*size, n)
		if err == nil {
			return b, nil
		}
		if errs = append(errs, err); len(errs) == 100 {
			break // it is not that they are taken
		}
	}
	return nil, fmt.Errorf("reserve ports: %w", errors.Join(errs...))
}

func take(first, n int) (*Block, error) {
	guard, err := net.Listen("tcp", loopback(first))
	if err != nil {
		return nil, err //nolint:wrapcheck // Reserve says what for
	}
	b := &Block{guard: guard}
	for port := first + 1; port <= first+n; port++ {
		l, err := net.Listen("tcp", loopback(port))
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.addresses = append(b.addresses, loopback(port))
	}
	return b, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Addresses are the ports of the block, each as host:port.
func (b *Block) Addresses() []string { return b.addresses }

// Close gives the block back. What listens on its ports must be stopped before.
func (b *Block) Close() error {
	if err := b.guard.Close(); err != nil {
		return fmt.Errorf("give ports back: %w", err)
	}
	return nil
}
