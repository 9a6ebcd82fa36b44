package raftstore

// A Source is who a command comes from: a session, say. Commands of one keep their order;
// those of several get into entries by turns, so that one that sends as much as it may does
// not make the others wait behind all of it. 0 is one source like any other.
type Source uint64

// quantum is how much of one source goes before the next has its turn, in bytes.
const quantum = 8 << 10

// A fairQueue is the commands that wait, by source. The zero value is empty.
//
// Invariant: a lane is in lanes if and only if it is in turns, and then it is not empty.
type fairQueue struct {
	lanes map[Source]*lane
	turns []*lane // whose turn comes, in order, from head on
	head  int
	n     int     // commands
	spare []*lane // empty ones, for their memory
}

// maxSpareLanes is for how many sources room is kept.
const maxSpareLanes = 1 << 10

// A lane is what waits of one source.
type lane struct {
	queue
	from Source
}

func (f *fairQueue) len() int { return f.n }

func (f *fairQueue) push(from Source, c command) {
	l := f.lanes[from]
	if l == nil {
		l = f.open(from)
	}
	l.push(c)
	f.n++
}

// open gives a source that has nothing waiting a lane, and a turn after all others.
func (f *fairQueue) open(from Source) *lane {
	var l *lane
	if last := len(f.spare) - 1; last >= 0 {
		l, f.spare = f.spare[last], f.spare[:last]
	} else {
		l = new(lane)
	}
	l.from = from
	if f.lanes == nil {
		f.lanes = make(map[Source]*lane)
	}
	f.lanes[from] = l
	f.line(l)
	return l
}

// line gives a lane the last turn.
func (f *fairQueue) line(l *lane) {
	if f.head > 0 && len(f.turns) == cap(f.turns) {
		n := copy(f.turns, f.turns[f.head:])
		clear(f.turns[n:])
		f.turns, f.head = f.turns[:n], 0
	}
	f.turns = append(f.turns, l)
}

// take moves commands to the end of batch, by turns: as many as have at most limit bytes
// together with what is there, but at least one if nothing is.
func (f *fairQueue) take(batch []command, limit int) []command {
	size := 0
	for _, c := range batch {
		size += len(c.data)
	}
	for f.n > 0 {
		l := f.turns[f.head]
		before := len(batch)
		if !l.fits(before, size, limit) {
			break
		}
		first := len(l.commands[l.queue.head].data) // which may be more than a quantum
		batch = l.take(batch, size, min(limit, size+max(quantum, first)))
		for _, c := range batch[before:] {
			size += len(c.data)
		}
		f.n -= len(batch) - before
		f.turns[f.head] = nil
		f.head++
		if l.len() > 0 {
			f.line(l)
		} else {
			f.close(l)
		}
	}
	if f.n == 0 {
		f.turns, f.head = f.turns[:0], 0
	}
	return batch
}

// close takes a lane that is empty from its source.
func (f *fairQueue) close(l *lane) {
	delete(f.lanes, l.from)
	if len(f.spare) < maxSpareLanes && cap(l.commands) <= maxSpareLanes {
		f.spare = append(f.spare, l)
	}
}
