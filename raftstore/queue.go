package raftstore

// A command waits for its entry.
type command struct {
	data []byte
	done func(index uint64, result any, err error) // may be nil
}

// size is what a command counts for: its bytes and what it costs to keep it.
func (c command) size() int { return len(c.data) + 64 }

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

// take moves the oldest commands to the end of batch: as many as have at most limit
// bytes together, but at least one if there is one.
func (q *queue) take(batch []command, limit int) []command {
	n, size := 0, 0
	for _, c := range q.commands[q.head:] {
		size += len(c.data)
		if n > 0 && size > limit {
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
