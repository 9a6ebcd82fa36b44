package ports

import (
	"net"
	"testing"
)

func reserve(t *testing.T, n int) *Block {
	t.Helper()
	b, err := Reserve(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestBlocksAreApart(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		b := reserve(t, Most)
		if len(b.Addresses()) != Most {
			t.Errorf("%d addresses, want %d", len(b.Addresses()), Most)
		}
		for _, addr := range b.Addresses() {
			if seen[addr] {
				t.Errorf("%s is in two blocks", addr)
			}
			seen[addr] = true
		}
	}
}

func TestTakenBlockIsNotTakenAgain(t *testing.T) {
	b := reserve(t, 2)
	first := b.guard.Addr().(*net.TCPAddr).Port
	if _, err := take(first, 2); err == nil {
		t.Error("a block that is open was taken again")
	}
}

func TestBlockWithAPortInUseIsNotTaken(t *testing.T) {
	b, err := Reserve(2)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", b.Addresses()[1])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := b.guard.Addr().(*net.TCPAddr).Port
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := take(first, 2); err == nil {
		t.Error("a block was taken of which a port is in use")
	}
}

func TestTooManyPorts(t *testing.T) {
	for _, n := range []int{-1, 0, Most + 1} {
		if _, err := Reserve(n); err == nil {
			t.Errorf("a block of %d was reserved", n)
		}
	}
}
