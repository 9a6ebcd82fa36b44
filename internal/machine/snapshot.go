package machine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
)

// A snapshot is magic, then chunks (a uvarint length and so many bytes): the scalars,
// the records of each table, the state hash; then the xxHash64 of all before it, eight
// bytes little-endian.
const (
	magic    = "coordd snapshot 3\n"
	magic5   = "coordd snapshot 5\n" // of the second version of the machine and later
	magic4   = "coordd snapshot 4\n" // of the first, with what there is of a restore; else the third
	magic2   = "coordd snapshot 2\n" // of before there were more than locks, semaphores and elections
	magic1   = "coordd snapshot 1\n" // of before there were requests and revisions
	maxChunk = 16 << 20              // far above the largest record, a wait of MaxArms arms
	ioBuffer = 64 << 10
)

// ErrSnapshot says that a snapshot is damaged or of another version.
var ErrSnapshot = errors.New("bad snapshot")

// A Snapshot is a frozen Machine. It may be used by another goroutine than the machine.
type Snapshot struct{ m Machine }

// Snapshot returns the present state in O(1).
func (m *Machine) Snapshot() *Snapshot {
	c := *m
	c.book, c.lot, c.locks = m.book.Copy(), m.lot.Copy(), m.locks.Copy()
	c.elections = m.elections.Copy()
	c.groups, c.onces, c.tables, c.channels = m.groups.Copy(), m.onces.Copy(), m.tables.Copy(), m.channels.Copy()
	c.stage = m.stage.copy()
	c.turns, c.events, c.freeings, c.loose, c.changes = m.turns.Copy(), nil, nil, nil, nil
	return &Snapshot{c}
}

// Hash is the state hash of the snapshot.
func (s *Snapshot) Hash() uint64 { return s.m.Hash() }

// Index is the log index of the snapshot.
func (s *Snapshot) Index() uint64 { return s.m.index }

// An About is what people want to know of a snapshot.
type About struct {
	Cluster  string
	Index    uint64
	Clock    park.Clock
	Token    park.Token // the greatest so far
	Sessions int64      // that live
	Longest  int64      // as of Longest
	Hash     uint64
}

// About goes through all sessions and holds.
func (s *Snapshot) About() About {
	m := &s.m
	sessions, _ := m.book.Len()
	return About{m.cluster, m.index, m.clock, m.token, sessions, m.Longest(), m.Hash()}
}

// Hash is the running hash of the state: equal on all nodes at one index (SEMANTICS H3).
func (m *Machine) Hash() uint64 {
	return xxhash.Sum64(m.scalars(nil)) + m.book.Sum() + 13*m.lot.Sum() + 17*m.locks.Sum() + 19*m.lot.LastTicket() +
		29*m.revision + 31*m.groups.Sum() + 37*m.onces.Sum() + 41*m.tables.Sum() + 43*m.channels.Sum() +
		m.restoreSum() + m.versionSum()
}

func (m *Machine) scalars(b []byte) []byte {
	b = wire.AppendUint(b, m.index)
	b = wire.AppendInt(b, m.clock)
	b = wire.AppendString(b, m.cluster)
	b = wire.AppendUint(b, m.floor)
	b = wire.AppendUint(b, m.token)
	return wire.AppendUint(b, m.steps)
}

// WriteTo writes the snapshot.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &counter{to: w}
	sum := xxhash.New()
	buf := bufio.NewWriterSize(io.MultiWriter(out, sum), ioBuffer)
	var head [binary.MaxVarintLen64]byte
	emit := func(chunk []byte) error {
		n := binary.PutUvarint(head[:], uint64(len(chunk)))
		_, err := buf.Write(head[:n])
		if err == nil {
			_, err = buf.Write(chunk)
		}
		return err
	}
	m := &s.m
	first := magic
	switch {
	case m.version > firstVersion:
		first = magic5
	case m.restoring():
		first = magic4
	}
	if _, err := buf.WriteString(first); err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	err := errors.Join(
		emit(m.scalars(nil)),
		m.book.Save(emit), m.lot.Save(emit), m.locks.Save(emit),
		emit(wire.AppendUint(nil, m.revision)), m.book.SaveRequests(emit),
		m.groups.Save(emit), m.onces.Save(emit), m.tables.Save(emit), m.channels.Save(emit),
		m.saveVersion(emit), m.saveRestore(emit),
		emit(binary.LittleEndian.AppendUint64(nil, m.Hash())),
		buf.Flush(),
	)
	if err == nil {
		_, err = out.Write(binary.LittleEndian.AppendUint64(nil, sum.Sum64()))
	}
	if err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	return out.n, nil
}

// Restore reads what WriteTo wrote. It verifies the checksum, the encoding, the order of
// records and the state hash before it returns.
func Restore(r io.Reader) (*Machine, error) {
	m, err := restore(bufio.NewReaderSize(r, ioBuffer))
	if err != nil {
		return nil, fmt.Errorf("restore: %w: %w", ErrSnapshot, err)
	}
	return m, nil
}

func restore(r *bufio.Reader) (*Machine, error) {
	in := &summer{r: r, sum: xxhash.New()}
	head := make([]byte, len(magic))
	if err := in.full(head); err != nil {
		return nil, err
	}
	version := slices.Index([]string{magic1, magic2, magic, magic4, magic5}, string(head)) + 1
	if version == 0 {
		return nil, errors.New("it does not begin as one of this version does")
	}
	m := New()
	if err := m.load(in.chunk, version); err != nil {
		return nil, err
	}
	want := in.sum.Sum64()
	var trailer [8]byte
	if _, err := io.ReadFull(r, trailer[:]); err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint64(trailer[:]); got != want {
		return nil, fmt.Errorf("checksum is %#x, should be %#x", want, got)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return nil, errors.New("there is more behind it")
	}
	return m, nil
}

// load takes the chunks of a snapshot of a version into a new machine.
func (m *Machine) load(take func() (*wire.Decoder, error), version int) error {
	d, err := take()
	if err != nil {
		return err
	}
	m.index = d.Uint(maxUint)
	m.clock = park.Clock(d.Int())
	m.cluster = d.String()
	m.floor = park.Token(d.Uint(maxToken))
	m.token = park.Token(d.Uint(maxToken))
	m.steps = d.Uint(maxUint)
	if err := d.Close(); err != nil {
		return err
	}
	if err := m.book.Restore(take); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	if err := m.lot.Restore(take); err != nil {
		return fmt.Errorf("waiters: %w", err)
	}
	if err := m.locks.Restore(take); err != nil {
		return fmt.Errorf("locks: %w", err)
	}
	if version >= 2 {
		if err := m.loadRequests(take); err != nil {
			return err
		}
	}
	if version >= 3 {
		if err := m.loadRooms(take); err != nil {
			return err
		}
	}
	if version >= 5 {
		if err := m.loadVersion(take); err != nil {
			return err
		}
	}
	if version >= 4 {
		if err := m.loadRestore(take); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if err := m.rehold(); err != nil {
		return err
	}
	for id, w := range m.lot.All() {
		if w.Until != 0 {
			m.book.SetAlarm(w.Until, id)
		}
	}
	return m.verify(take)
}

// loadRequests takes what the second version has and the first had not.
func (m *Machine) loadRequests(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	m.revision = d.Uint(maxUint)
	if err := d.Close(); err != nil {
		return err
	}
	if err := m.book.RestoreRequests(take); err != nil {
		return fmt.Errorf("requests: %w", err)
	}
	return nil
}

// loadRooms takes what the third version has and the second had not.
func (m *Machine) loadRooms(take func() (*wire.Decoder, error)) error {
	if err := m.groups.Restore(take); err != nil {
		return fmt.Errorf("wait groups: %w", err)
	}
	if err := m.onces.Restore(take); err != nil {
		return fmt.Errorf("onces: %w", err)
	}
	if err := m.tables.Restore(take); err != nil {
		return fmt.Errorf("maps: %w", err)
	}
	if err := m.channels.Restore(take); err != nil {
		return fmt.Errorf("channels: %w", err)
	}
	for id, n := range m.channels.Delivered() {
		if _, ok := m.book.State(id.Session); !ok {
			return fmt.Errorf("channels: %v has an element and no session", id)
		}
		m.book.Lend(id, n)
	}
	return nil
}

func (m *Machine) verify(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	var hash [8]byte
	d.Fill(hash[:])
	if err := d.Close(); err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint64(hash[:]); got != m.Hash() {
		return fmt.Errorf("state hash is %#x, should be %#x", m.Hash(), got)
	}
	return nil
}

// counter counts what it passes on.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// summer reads chunks and sums all it has read.
type summer struct {
	r   *bufio.Reader
	sum *xxhash.Digest
	buf []byte
	d   wire.Decoder // of buf
}

func (s *summer) full(b []byte) error {
	if _, err := io.ReadFull(s.r, b); err != nil {
		return err
	}
	_, err := s.sum.Write(b)
	return err
}

// chunk takes the next chunk; it is valid until the one after.
func (s *summer) chunk() (*wire.Decoder, error) {
	head, err := s.r.Peek(binary.MaxVarintLen64)
	size, n := binary.Uvarint(head) // which may be short of bytes only at the end
	switch {
	case n <= 0 && err != nil:
		return nil, err
	case n <= 0 || size > maxChunk || n > 1 && head[n-1] == 0:
		return nil, fmt.Errorf("chunk begins with %x", head)
	}
	if err := s.full(head[:n]); err != nil {
		return nil, err
	}
	if uint64(cap(s.buf)) < size {
		s.buf = make([]byte, size)
	}
	s.buf = s.buf[:size]
	if err := s.full(s.buf); err != nil {
		return nil, err
	}
	s.d.Reset(s.buf)
	return &s.d, nil
}
