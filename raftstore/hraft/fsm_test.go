package hraft

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"coordd.dev/raftstore"
)

// tape is a Machine that remembers its commands, and does not understand "bad".
type tape struct {
	commands []string
	restored int
	broken   bool // the next Restore fails
}

var errBad = errors.New("bad command")

func (p *tape) Apply(_ uint64, e raftstore.Entry) ([]any, error) {
	for _, c := range e.Commands {
		if string(c) == "bad" {
			return nil, errBad
		}
		p.commands = append(p.commands, string(c))
	}
	return make([]any, len(e.Commands)), nil
}

func (p *tape) Snapshot() raftstore.Snapshot { return persisted("state") }

func (p *tape) Restore(r io.Reader) error {
	if p.broken {
		p.broken = false
		return errBad
	}
	p.restored++
	_, err := io.Copy(io.Discard, r)
	return err
}

type persisted string

func (s persisted) Persist(w io.Writer) error {
	_, err := io.WriteString(w, string(s))
	return err
}

func logOf(index, term uint64, e raftstore.Entry) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: raftstore.AppendEntry(nil, e)}
}

func commandsOf(term uint64, commands ...string) raftstore.Entry {
	e := raftstore.Entry{Term: term}
	for _, c := range commands {
		e.Commands = append(e.Commands, []byte(c))
	}
	return e
}

func newFSM() (*tape, *fsm) {
	machine := new(tape)
	return machine, &fsm{machine: machine, failure: newFailure(), moved: func(position, int64) {}, unread: func(error) {}}
}

// TestFSMStops: an entry that cannot be understood stops the machine before it, for
// good: no later entry, not of the same batch either, no snapshot, no restore.
func TestFSMStops(t *testing.T) {
	damaged := logOf(5, 2, commandsOf(2, "damaged"))
	damaged.Data[7] ^= 1
	version := logOf(5, 2, commandsOf(2, "newer"))
	version.Data[0]++
	for name, test := range map[string]struct {
		entry *raft.Log
		want  error
	}{
		"damaged": {damaged, raftstore.ErrEntryDamaged},
		"version": {version, raftstore.ErrEntryVersion},
		"refused": {logOf(5, 2, commandsOf(2, "bad")), errBad},
	} {
		t.Run(name, func(t *testing.T) {
			machine, f := newFSM()
			outcomes := f.ApplyBatch([]*raft.Log{
				logOf(4, 2, commandsOf(2, "before")),
				test.entry,
				logOf(6, 2, commandsOf(2, "after")),
			})
			f.Apply(logOf(7, 2, commandsOf(2, "later")))
			if diff := cmp.Diff([]string{"before"}, machine.commands); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			for i, wantErr := range []error{nil, test.want, test.want} {
				if out, _ := outcomes[i].(outcome); !errors.Is(out.err, wantErr) {
					t.Errorf("outcome %d: %v", i, out.err)
				}
			}
			if err := f.failure.get(); !errors.Is(err, test.want) {
				t.Errorf("failed with %v", err)
			}
			if _, err := f.Snapshot(); !errors.Is(err, test.want) {
				t.Errorf("snapshot: %v", err)
			}
			if err := f.Restore(io.NopCloser(new(bytes.Buffer))); !errors.Is(err, test.want) || machine.restored > 0 {
				t.Errorf("restore: %v", err)
			}
			if at := f.position(); at.index > 4 {
				t.Errorf("moved to %+v", at)
			}
		})
	}
}

// TestFSMOtherTerm: an entry of another term is passed over, and the log goes on.
func TestFSMOtherTerm(t *testing.T) {
	machine, f := newFSM()
	outcomes := f.ApplyBatch([]*raft.Log{
		logOf(4, 3, commandsOf(2, "stray")),
		{Index: 5, Term: 3, Type: raft.LogConfiguration},
		logOf(6, 3, commandsOf(3, "right")),
		{Index: 7, Term: 3, Type: raft.LogConfiguration},
	})
	if out, _ := outcomes[0].(outcome); !errors.Is(out.err, errOtherTerm) {
		t.Errorf("outcome: %v", out.err)
	}
	if diff := cmp.Diff([]string{"right"}, machine.commands); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	if at := f.position(); at != (position{7, 3}) {
		t.Errorf("moved to %+v", at)
	}
}

// TestFSMRestore: the position is the snapshot's; one that is damaged changes nothing.
func TestFSMRestore(t *testing.T) {
	machine, f := newFSM()
	frozen, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	store := placedStore{raft.NewInmemSnapshotStore(), func(error) {}}
	sink, err := store.Create(1, 40, 4, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := frozen.Persist(sink); err != nil {
		t.Fatal(err)
	}
	_, source, err := store.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Restore(source); err != nil || machine.restored != 1 {
		t.Errorf("restore: %v, %d times", err, machine.restored)
	}
	if at := f.position(); at != (position{40, 4}) {
		t.Errorf("moved to %+v", at)
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader([]byte(frameMagic)))); !errors.Is(err, errSnapshotDamaged) {
		t.Errorf("restore of nothing: %v", err)
	}
	if at := f.position(); at != (position{40, 4}) || f.failure.get() != nil {
		t.Errorf("moved to %+v, failure %v", at, f.failure.get())
	}
}
