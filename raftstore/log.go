package raftstore

import (
	"context"
	"time"
)

// Config configures a Log. Its zero values are the defaults.
type Config struct {
	// MaxEntryBytes bounds one entry; a single larger command has one to itself.
	// Default 512 KiB.
	MaxEntryBytes int

	// MaxUncommittedBytes bounds what waits and is in flight; default 64 MiB.
	MaxUncommittedBytes int

	// AppendTimeout bounds one entry, after which its outcome is unknown and this
	// node stops proposing in this term; default 10 s.
	AppendTimeout time.Duration
}

// A Log is group commit over an Engine: while one entry is in flight, every command
// that arrives joins the next one. It is the only one that proposes.
type Log struct{ _ int }

// NewLog starts a Log on the engine. Close it before the engine.
func NewLog(engine Engine, cfg Config) *Log { panic("contract") }

// Propose hands a command to the log and returns its result once it is applied here.
// Errors: ErrNotLeader, ErrOverloaded, ErrClosed: never committed. ErrUnknown (also
// when ctx ends after the command was taken): perhaps.
func (l *Log) Propose(ctx context.Context, cmd []byte) (index uint64, result any, err error) {
	panic("contract")
}

// Submit is Propose that does not wait: commands of one goroutine enter the log in the
// order of their Submits, or an earlier one failed and so will the later ones of the
// same leadership. done is called once, from the goroutine of the log, and must not
// block; it may be nil. Urgent commands (renewals, releases) are never ErrOverloaded.
func (l *Log) Submit(cmd []byte, urgent bool, done func(index uint64, result any, err error)) {
	panic("contract")
}

// Tick proposes an entry even if no command comes, so that the clock advances.
func (l *Log) Tick() { panic("contract") }

// Leadership is the latest state and a channel that is closed when there is a newer.
func (l *Log) Leadership() (Leadership, <-chan struct{}) { panic("contract") }

// Engine is the engine below, for status, snapshots, transfer.
func (l *Log) Engine() Engine { panic("contract") }

// Close fails what waits with ErrClosed (what is in flight with ErrUnknown), and waits
// for the log's goroutine.
func (l *Log) Close() error { panic("contract") }

// A Leadership is what the rest of the system sees of a term.
type Leadership struct {
	Term     uint64
	LeaderID string
	// Leading: this node leads and its barrier, the first entry of the term, is
	// applied here: the machine has everything that was ever acknowledged.
	Leading bool
}
