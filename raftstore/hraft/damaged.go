package hraft

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// ErrDamaged says that what this node has stored is not what it wrote: some is missing, or
// differs. It must not vote or serve with what is left. An error of the disk itself (EIO,
// no space, read-only, no permission) is not this: what is stored may be whole.
var ErrDamaged = errors.New("data are damaged")

// judge makes an error of raft-wal, or of raft's snapshot store, ErrDamaged unless it comes
// from the operating system. A file that should be there and is not is damage too.
func judge(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil, errors.Is(err, raft.ErrLogNotFound), errors.Is(err, wal.ErrClosed), errors.Is(err, ErrDamaged):
		return err
	case errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// orPanic is do's error, or what it panicked with: bytes that differ lead the libraries
// below beyond the ends of their buffers, and of files that they have mapped.
func orPanic(do func() error) (err error) {
	faults := debug.SetPanicOnFault(true) // of this goroutine
	defer func() {
		debug.SetPanicOnFault(faults)
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return do()
}
