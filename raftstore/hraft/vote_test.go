package hraft

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"coordd.dev/raftstore/hraft/hrafttest"
)

// A dying stable store writes so many times more. raft is told that all is well, as a process
// is told nothing that dies.
type dying struct {
	raft.StableStore
	left *int
}

func (d dying) Set(key, value []byte) error {
	if *d.left--; *d.left < 0 {
		return nil
	}
	return d.StableStore.Set(key, value)
}

func (d dying) SetUint64(key []byte, value uint64) error {
	if *d.left--; *d.left < 0 {
		return nil
	}
	return d.StableStore.SetUint64(key, value)
}

// A voter is a node whose log goes to entry 4 and that has voted for n1 in term 3.
type voter struct {
	t    *testing.T
	disk *hrafttest.Disk
	wrap func(raft.StableStore) raft.StableStore
}

// life is one of its lives, in which so many writes of its stable store come through.
func (v voter) life(writes int, do func(f *follower)) {
	v.t.Helper()
	f, cfg := newFollower(v.t, v.disk)
	cfg.StableStore = v.wrap(dying{f.stores, &writes})
	var err error
	if f.Engine, err = Open(cfg); err != nil {
		v.t.Fatal(err)
	}
	do(f)
	if err := f.Engine.Close(); err != nil {
		v.t.Error(err)
	}
	v.disk.Crash()
}

// vote asks for a vote for a candidate whose log ends at an entry of term 2.
func (f *follower) vote(candidate string, term, last uint64) bool {
	f.t.Helper()
	header := f.header()
	header.ID, header.Addr = []byte(candidate), []byte(candidate+":1")
	a := <-f.ask(&raft.RequestVoteRequest{
		RPCHeader: header, Term: term, LastLogIndex: last, LastLogTerm: 2, LeadershipTransfer: true,
	}, nil)
	r, ok := a.Response.(*raft.RequestVoteResponse)
	if a.Error != nil || !ok {
		f.t.Fatalf("vote: %+v, %v", a.Response, a.Error)
	}
	return r.Granted
}

// tears lets a node die between the two writes of a vote for n2 in term 4, and reports
// whether n1, whom it voted for before and whose log is behind, is then granted that term.
func (v voter) tears() bool {
	v.t.Helper()
	const always = 1000
	v.life(always, func(f *follower) {
		f.wantAppended(f.append(2, 3))
		if !f.vote("n1", 3, 3) {
			f.t.Error("no vote in term 3")
		}
	})
	// Its term at the start, term 4, and one write of the vote.
	v.life(3, func(f *follower) { _ = f.vote("n2", 4, 3) })
	granted := false
	v.life(always, func(f *follower) { granted = f.vote("n1", 4, 1) })
	return granted
}

// Fault 2: a vote is written as its term and then its candidate. A crash between the two
// leaves the new term beside the old candidate, who is granted the new term whatever is
// in its log.
func TestFault2TornVote(t *testing.T) {
	for name, test := range map[string]struct {
		wrap    func(t *testing.T) func(raft.StableStore) raft.StableStore
		granted bool
	}{
		"guarded": {func(t *testing.T) func(raft.StableStore) raft.StableStore {
			return func(s raft.StableStore) raft.StableStore {
				v, err := openVotes(s, false)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
		}, false},
		"without the guard": {func(*testing.T) func(raft.StableStore) raft.StableStore {
			return func(s raft.StableStore) raft.StableStore { return s }
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := voter{t: t, disk: new(hrafttest.Disk), wrap: test.wrap(t)}
				if granted := v.tears(); granted != test.granted {
					t.Errorf("a candidate behind was granted the vote: %v", granted)
				}
			})
		})
	}
}

// TestBallot: what is written is read, nothing else is, and damage is noticed.
func TestBallot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := ballot{term: rapid.Uint64().Draw(t, "term"), voteTerm: rapid.Uint64().Draw(t, "vote")}
		if b.voteTerm > 0 {
			b.voteFor = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "candidate")
		}
		e := b.encode()
		if got, err := decodeBallot(e); err != nil || got.term != b.term || got.voteTerm != b.voteTerm || string(got.voteFor) != string(b.voteFor) {
			t.Fatalf("%+v, %v", got, err)
		}
		e[rapid.IntRange(0, len(e)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := decodeBallot(e); !errors.Is(err, ErrDamaged) {
			t.Fatalf("damaged: %+v, %v", got, err)
		}
	})
}

// TestVotes: raft finds under its names what it wrote, also after a restart.
func TestVotes(t *testing.T) {
	store := new(hrafttest.Disk).Open()
	v, err := openVotes(store, false)
	if err != nil {
		t.Fatal(err)
	}
	want := func(term, voteTerm uint64, voteFor string) {
		t.Helper()
		for range 2 {
			gotTerm, err1 := v.GetUint64([]byte(keyTerm))
			gotVote, err2 := v.GetUint64([]byte(keyVoteTerm))
			got, err3 := v.Get([]byte(keyVoteFor))
			if err := errors.Join(err1, err2, err3); err != nil || gotTerm != term || gotVote != voteTerm ||
				string(got) != voteFor || (got == nil) != (voteTerm == 0) {
				t.Errorf("term %d, vote %q in %d, %v", gotTerm, got, gotVote, err)
			}
			if v, err = openVotes(store, term > 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	want(0, 0, "")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(v.SetUint64([]byte(keyTerm), 5))
	want(5, 0, "")
	do(v.SetUint64([]byte(keyVoteTerm), 5))
	do(v.Set([]byte(keyVoteFor), []byte("n1")))
	want(5, 5, "n1")
	do(v.SetUint64([]byte(keyTerm), 6))
	do(v.SetUint64([]byte(keyVoteTerm), 6)) // and no more
	want(6, 5, "n1")
	do(v.SetUint64([]byte("other"), 9))
	do(v.Set([]byte("more"), []byte("x")))
	n, err1 := v.GetUint64([]byte("other"))
	x, err2 := v.Get([]byte("more"))
	if err := errors.Join(err1, err2); err != nil || n != 9 || string(x) != "x" {
		t.Errorf("others: %d, %q, %v", n, x, err)
	}
	do(store.Set([]byte(keyBallot), nil))
	if _, err := openVotes(store, true); !errors.Is(err, ErrDamaged) {
		t.Errorf("a ballot that is gone: %v", err)
	}
}
