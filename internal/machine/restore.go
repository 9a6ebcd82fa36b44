package machine

import (
	"cmp"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"coordd.dev/internal/cow"
	"coordd.dev/internal/park"
	"coordd.dev/internal/session"
	"coordd.dev/internal/wire"
)

// Constants of this version of the machine; never flags (SEMANTICS H1).
const (
	// MaxStaged bounds the snapshot that a restore brings.
	MaxStaged = int64(1) << 30

	// MaxPiece bounds one piece of it.
	MaxPiece = 256 << 10

	// floorShift: so many tokens, as a shift, a floor leaves for a millisecond (SEMANTICS C1).
	floorShift = 20

	// restoredGap is what numbers that are no tokens go on by over those of a backup, so that
	// none is given again that was given out after the backup was taken: nobody has as many
	// sessions or changes from one backup to the next.
	restoredGap = 1 << 32
)

// RestoreBegin begins a restore: pieces of a machine's snapshot are staged, and the last
// command has the state replaced by it (SEMANTICS C1). There is one at a time, the latest. It
// is forgotten once it is aborted or has failed, or a session opens: then the cluster is used.
type RestoreBegin struct{ ID string } // of 1 to session.MaxRequest bytes

// RestorePiece stages piece N of a restore, from 0. One that is there already is passed over.
type RestorePiece struct {
	ID   string
	N    uint64
	Data string // of 1 to MaxPiece bytes
}

// RestoreFinish replaces the state by what was staged, if the cluster is empty.
type RestoreFinish struct {
	ID    string
	Size  int64  // bytes of all pieces
	Sum   uint64 // xxHash64 of them
	Now   int64  // the proposer's wall clock, unix milliseconds: the floor of tokens
	Taken int64  // the wall clock when the backup was taken
}

// RestoreAbort forgets a restore.
type RestoreAbort struct{ ID string }

func (*RestoreBegin) command()  {}
func (*RestorePiece) command()  {}
func (*RestoreFinish) command() {}
func (*RestoreAbort) command()  {}

// A RestoreCode says what became of a command of a restore.
type RestoreCode uint8

const (
	RestoreDone       RestoreCode = iota + 1
	RestoreInvalid                // an argument breaks a limit
	RestoreUnready                // the cluster has not begun: no Bootstrap yet
	RestoreInUse                  // the cluster is not empty
	RestoreSuperseded             // another one began, or a session opened
	RestoreIncomplete             // a piece is missing
	RestoreTooMuch                // more than MaxStaged
	RestoreEarly                  // the wall clock is behind that of the backup
	RestoreDamaged                // it is no snapshot of a machine
)

// Restored is the result of every command of a restore.
type Restored struct {
	Code     RestoreCode
	Why      string      // of RestoreDamaged
	On       park.Object // of RestoreInUse: an object that there is; none if there are only sessions
	Sessions int64       // of RestoreInUse, that live; of a finish, that it ended

	// Of a finish.
	From     string // the backup's cluster
	Token    park.Token
	Wait     int64  // until sessions open, nanoseconds
	Revision uint64 // where changes go on
	Replaced bool   // the state is another one
}

// A stage has the pieces of a restore. It is part of the state, so that every node has them
// when the last command comes, whoever leads by then.
type stage struct {
	id     string // "" is none
	size   int64
	pieces cow.Table[pieceNumber, piece]
}

type pieceNumber uint64

func (a pieceNumber) Compare(b pieceNumber) int { return cmp.Compare(a, b) }
func (a pieceNumber) Append(b []byte) []byte    { return wire.AppendUint(b, a) }

type piece string

// Append appends the piece's encoding.
func (p piece) Append(b []byte) []byte { return wire.AppendString(b, p) }

func newStage(id string) stage {
	return stage{id: id, pieces: cow.NewTable[pieceNumber, piece]()}
}

func (s *stage) next() pieceNumber { return pieceNumber(s.pieces.Len()) } //nolint:gosec // a length

func (s *stage) copy() stage {
	c := *s
	c.pieces = s.pieces.Copy()
	return c
}

// pieceReader reads the pieces one after the other.
type pieceReader struct {
	stage *stage
	next  pieceNumber
	rest  piece
}

func (r *pieceReader) Read(b []byte) (int, error) {
	for r.rest == "" {
		p, ok := r.stage.pieces.Get(r.next)
		if !ok {
			return 0, io.EOF
		}
		r.rest = p
		r.next++
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (m *Machine) beginRestore(c *RestoreBegin) Restored {
	if c.ID == "" || len(c.ID) > session.MaxRequest {
		return Restored{Code: RestoreInvalid}
	}
	if r := m.unfit(); r.Code != RestoreDone {
		return r
	}
	m.stage = newStage(c.ID)
	return Restored{Code: RestoreDone}
}

// unfit says whether the cluster can take a backup: it must be empty, or a restore would
// take from somebody what was given to him.
func (m *Machine) unfit() Restored {
	if m.cluster == "" {
		return Restored{Code: RestoreUnready}
	}
	live, _ := m.book.Len()
	if on, any := m.first(park.Object{}); any || live > 0 {
		return Restored{Code: RestoreInUse, On: on, Sessions: live}
	}
	return Restored{Code: RestoreDone}
}

func (m *Machine) stagePiece(c *RestorePiece) Restored {
	switch {
	case c.ID == "" || c.ID != m.stage.id:
		return Restored{Code: RestoreSuperseded}
	case c.Data == "" || len(c.Data) > MaxPiece:
		return Restored{Code: RestoreInvalid}
	case c.N < uint64(m.stage.next()):
		return Restored{Code: RestoreDone}
	case c.N > uint64(m.stage.next()):
		return Restored{Code: RestoreIncomplete}
	case m.stage.size+int64(len(c.Data)) > MaxStaged:
		return Restored{Code: RestoreTooMuch}
	}
	m.stage.pieces.Put(m.stage.next(), piece(c.Data))
	m.stage.size += int64(len(c.Data))
	return Restored{Code: RestoreDone}
}

func (m *Machine) abortRestore(c *RestoreAbort) Restored {
	if c.ID == "" || c.ID != m.stage.id {
		return Restored{Code: RestoreSuperseded}
	}
	m.stage = newStage("")
	return Restored{Code: RestoreDone}
}

// finishRestore makes what was staged the state. However it ends, nothing is staged then.
func (m *Machine) finishRestore(c *RestoreFinish) Restored {
	if c.ID == "" || c.ID != m.stage.id {
		return Restored{Code: RestoreSuperseded}
	}
	staged := m.stage
	m.stage = newStage("")
	floor := park.Token(c.Now) << floorShift //nolint:gosec // one that is negative is refused
	switch r := m.unfit(); {
	case r.Code != RestoreDone:
		return r
	case c.Now <= 0 || c.Now > int64(MaxFloor>>floorShift):
		return Restored{Code: RestoreInvalid}
	case c.Now < c.Taken:
		return Restored{Code: RestoreEarly}
	case c.Size != staged.size || c.Sum != staged.hash():
		return Restored{Code: RestoreIncomplete}
	}
	from, err := Restore(&pieceReader{stage: &staged})
	if err != nil {
		return Restored{Code: RestoreDamaged, Why: err.Error()}
	}
	if from.cluster == "" {
		return Restored{Code: RestoreDamaged, Why: "it is of a cluster that had not begun"}
	}
	if from.version > m.version { // as it is to a node that cannot read it
		return Restored{Code: RestoreDamaged, Why: "it is of a newer version than this cluster uses"}
	}
	out := Restored{Code: RestoreDone, From: from.cluster, Wait: from.Longest(), Replaced: true}
	out.Sessions = from.retire()
	m.adopt(from, floor, out.Wait)
	out.Token, out.Revision = m.token, m.revision
	return out
}

// Restored reports whether the state is of a backup, or goes on from one: by its revision,
// which no other way brings there before some 4 billion changes.
func (m *Machine) Restored() bool { return m.revision >= restoredGap }

// hash is of all bytes.
func (s *stage) hash() uint64 {
	sum := xxhash.New()
	for _, p := range s.pieces.All() {
		_, _ = sum.WriteString(string(p)) // never fails
	}
	return sum.Sum64()
}

// Longest is for how long, from now on, somebody may hold something by the leases that there
// are, in nanoseconds: the longest TTL, with the lock-delays behind it; or what is left of a
// delay, or of the wait after a restore.
func (m *Machine) Longest() int64 {
	longest := max(0, int64(m.opens-m.clock))
	delays := map[park.SessionID]int64{}
	for id, h := range m.book.Holds() {
		if h.Free != 0 {
			longest = max(longest, int64(h.Free-m.clock))
		} else if delay := h.Terms.Get().Delay; delay > delays[id.Session] {
			delays[id.Session] = delay
		}
	}
	for s, st := range m.book.Sessions() {
		if l, ok := m.book.Lease(s); ok && !st.Over {
			longest = max(longest, l.TTL+delays[s])
		}
	}
	return longest
}

// retire ends all sessions as their leases' end would, and forgets them. Nothing is granted:
// who waits is in one of them. Lock-delays are over at once, because no session opens until
// they would have been. It returns how many lived.
func (m *Machine) retire() (ended int64) {
	var all []park.SessionID
	for s := range m.book.Sessions() {
		all = append(all, s)
	}
	for _, s := range all {
		if _, live := m.book.Live(s); live {
			ended++
			m.end(s, EndExpired)
		}
		for _, id := range unlisted(m.book.HoldsOf(s), nil) {
			m.release(id, EndDelayOver)
		}
		m.book.Forget(s)
		m.events, m.changes = m.events[:0], m.changes[:0] // nobody was told that they are here
	}
	m.settle() // of nobody; what nobody needs is tidied
	return ended
}

// adopt takes the objects of a retired machine. The cluster, its clock and its index stay its
// own: no time of the other's is left, all of which were of sessions. So do its sessions that
// are over, for who asks for their results. Every number goes on above both.
func (m *Machine) adopt(from *Machine, floor park.Token, wait int64) {
	m.book.Skip(from.book.Last() + restoredGap)
	m.locks, m.elections, m.groups, m.onces = from.locks, from.elections, from.groups, from.onces
	m.tables, m.channels = from.tables, from.channels

	m.floor = max(m.floor, floor)
	m.token = max(m.token, from.token, m.floor)
	m.steps = max(m.steps, from.steps)
	m.revision = max(m.revision, from.revision+restoredGap)
	if wait > 0 {
		m.opens = m.clock + park.Clock(wait)
	}
	m.changes = m.changes[:0] // of objects of before: journals begin anew
}

// opening says whether sessions may open by now. The first that does ends the time of restores.
func (m *Machine) opening() (refusal Refusal, wait int64) {
	if m.clock < m.opens {
		return RefusedRestored, int64(m.opens - m.clock)
	}
	return 0, 0
}

// opened is to be called when a session has opened.
func (m *Machine) opened() {
	m.opens = 0
	if m.stage.id != "" {
		m.stage = newStage("")
	}
}

// restoring reports whether there is something of a restore in the state.
func (m *Machine) restoring() bool { return m.opens != 0 || m.stage.id != "" }

// restoreSum is the hash of it; 0 if there is nothing.
func (m *Machine) restoreSum() uint64 {
	if !m.restoring() {
		return 0
	}
	return xxhash.Sum64(m.restoreScalars(nil)) + 47*m.stage.pieces.Sum()
}

func (m *Machine) restoreScalars(b []byte) []byte {
	b = wire.AppendInt(b, m.opens)
	b = wire.AppendString(b, m.stage.id)
	return wire.AppendInt(b, m.stage.size)
}

// saveRestore emits what there is of a restore, if there is anything.
func (m *Machine) saveRestore(emit func([]byte) error) error {
	if !m.restoring() && m.version == firstVersion {
		return nil // nor has the format a place for it
	}
	if err := emit(m.restoreScalars(nil)); err != nil {
		return err
	}
	return m.stage.pieces.Save(emit)
}

// loadRestore takes what saveRestore emitted.
func (m *Machine) loadRestore(take func() (*wire.Decoder, error)) error {
	d, err := take()
	if err != nil {
		return err
	}
	m.opens = park.Clock(d.Int())
	m.stage = newStage(d.String())
	m.stage.size = d.Int()
	if err := d.Close(); err != nil {
		return err
	}
	err = m.stage.pieces.Restore(take, func(d *wire.Decoder) (pieceNumber, piece) {
		return pieceNumber(d.Uint(maxUint)), piece(d.Text())
	})
	if err != nil {
		return err
	}
	if !m.restoring() && m.version == firstVersion || m.opens < 0 {
		return fmt.Errorf("no restore, opens at %d", m.opens)
	}
	return m.checkStage()
}

// checkStage checks that the pieces are without a gap, within the limits and as counted.
func (m *Machine) checkStage() error {
	next, size := pieceNumber(0), int64(0)
	for n, p := range m.stage.pieces.All() {
		if n != next || len(p) > MaxPiece {
			return fmt.Errorf("piece %d of %d bytes is staged in the place of %d", n, len(p), next)
		}
		next++
		size += int64(len(p))
	}
	if size != m.stage.size || size > MaxStaged || size > 0 && m.stage.id == "" {
		return fmt.Errorf("%d bytes are staged for %q, counted as %d", size, m.stage.id, m.stage.size)
	}
	return nil
}
