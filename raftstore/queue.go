package raftstore

import "coordd.dev/internal/telemetry"

// A command waits for its entry.
type command struct {
	data   []byte
	done   func(index uint64, result any, err error) // may be nil
	traced *telemetry.Proposal                       // nil of all but few
}

// answer ends the command. e is nil if it got into no entry; its index is 0 if err is not
// nil.
func (c *command) answer(e *telemetry.Entry, result any, err error) {
	if c.traced != nil {
		c.traced.End(e, err)
	}
	switch {
	case c.done == nil:
	case e == nil:
		c.done(0, nil, err)
	default:
		c.done(e.Index, result, err)
	}
}

// size is what a command counts for: its bytes and what it costs to keep it.
func (c command) size() int { return len(c.data) + 64 }

// An Urgency says what load does to a command.
type Urgency uint8

const (
	// Ordinary commands are refused with ErrOverloaded.
	Ordinary Urgency = iota + 1

	// Urgent commands never are.
	Urgent

	// Ahead is Urgent, and goes before all that waits: for commands without an order among
	// others. Behind a long queue a renewal would come after the clock that the entries
	// before it carry, and so too late (SEMANTICS A3).
	Ahead
)

// A queue is the commands that wait, oldest first. The zero value is empty.
type queue struct {
	commands []command
	head     int // those before it are gone
}

func (q *queue) len() int { return len(q.commands) - q.head }

func (q *queue) push(c command) {
	if q.head > 0 && len(q.commands) == cap(q.commands) {
		n := copy(q.commands, q.commands[q.head:])
		clear(q.commands[n:])
		q.commands, q.head = q.commands[:n], 0
	}
	q.commands = append(q.commands, c)
}

// take moves the oldest commands to the end of batch, which has size bytes: as many as have
// at most limit bytes together with these, but at least one if batch is empty.
func (q *queue) take(batch []command, size, limit int) []command {
	n := 0
	for _, c := range q.commands[q.head:] {
		size += len(c.data)
		if len(batch)+n > 0 && size > limit {
			break
		}
		n++
	}
	taken := q.commands[q.head : q.head+n]
	batch = append(batch, taken...)
	clear(taken)
	q.head += n
	if q.head == len(q.commands) {
		q.commands, q.head = q.commands[:0], 0
	}
	return batch
}

// fits says whether take would move something.
func (q *queue) fits(batch, size, limit int) bool {
	return q.len() > 0 && (batch == 0 || size+len(q.commands[q.head].data) <= limit)
}
