package server_test

import (
	"testing"
	"testing/synctest"

	coordv1 "coordd.dev/api/coord/v1"
)

func (p *plain) update(id string, verb coordv1.MapVerb, key, value, old string) (*coordv1.UpdateResponse, error) {
	return p.maps.Update(p.t.Context(), &coordv1.UpdateRequest{Lease: p.lease, RequestId: id, Op: &coordv1.MapOp{
		Name: "m", Verb: verb, Key: []byte(key), Value: []byte(value), Old: []byte(old),
	}})
}

// wantUpdate wants what an update found, what was there, and how many were cleared.
func (p *plain) wantUpdate(id string, verb coordv1.MapVerb, key, value, old string, found bool, previous string, cleared int64) {
	p.t.Helper()
	r, err := p.update(id, verb, key, value, old)
	if err != nil || r.GetFound() != found || string(r.GetPrevious()) != previous || r.GetCleared() != cleared {
		p.t.Errorf("%s: %v, %v", id, r, err)
	}
}

func (p *plain) load(key string, stale bool) (*coordv1.LoadResponse, error) {
	return p.maps.Load(p.t.Context(), &coordv1.LoadRequest{Name: "m", Key: []byte(key), Stale: stale})
}

func (p *plain) wantLoad(key, value string) {
	p.t.Helper()
	r, err := p.load(key, false)
	if err != nil || r.GetFound() != (value != "") || string(r.GetValue()) != value || r.GetIndex() == 0 {
		p.t.Errorf("load %s: %v, not %q: %v", key, r, value, err)
	}
}

func TestMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.wantLoad("k", "")
		for range 2 { // a retry is told what the first try was, and changes nothing
			p.wantUpdate("1", coordv1.MapVerb_MAP_VERB_STORE, "k", "a", "", false, "", 0)
			p.wantUpdate("2", coordv1.MapVerb_MAP_VERB_SWAP, "k", "b", "", true, "a", 0)
			p.wantUpdate("3", coordv1.MapVerb_MAP_VERB_LOAD_OR_STORE, "k", "c", "", true, "b", 0)
			p.wantUpdate("4", coordv1.MapVerb_MAP_VERB_LOAD_OR_STORE, "l", "c", "", false, "", 0)
			p.wantUpdate("5", coordv1.MapVerb_MAP_VERB_COMPARE_AND_SWAP, "k", "d", "x", false, "", 0)
			p.wantUpdate("6", coordv1.MapVerb_MAP_VERB_COMPARE_AND_SWAP, "k", "d", "b", true, "", 0)
			p.wantLoad("k", "d")
		}
		all, err := p.maps.Range(t.Context(), &coordv1.RangeRequest{Name: "m"})
		if err != nil || len(all.GetEntries()) != 2 || string(all.GetEntries()[1].GetKey()) != "l" ||
			all.GetEntries()[0].GetRevision() != all.GetRevision() {
			t.Errorf("%v, %v", all, err)
		}
		p.wantUpdate("7", coordv1.MapVerb_MAP_VERB_LOAD_AND_DELETE, "l", "", "", true, "c", 0)
		p.wantUpdate("8", coordv1.MapVerb_MAP_VERB_CLEAR, "", "", "", true, "", 1)
		p.wantUpdate("8", coordv1.MapVerb_MAP_VERB_CLEAR, "", "", "", true, "", 1)
		p.wantLoad("k", "")
		for range 2 {
			if err := p.delete("9", coordv1.Kind_KIND_MAP, "m"); err != nil {
				t.Fatal(err)
			}
		}
		n.wantSays(p.delete("10", coordv1.Kind_KIND_MAP, "m"), coordv1.Reason_REASON_NOT_FOUND,
			"delete m: nothing is stored under that name; list the objects, under another request_id")
	})
}

func TestMapRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		if _, err := p.maps.Update(t.Context(), &coordv1.UpdateRequest{Lease: p.lease, RequestId: "1", Op: &coordv1.MapOp{
			Name: "m", Verb: coordv1.MapVerb_MAP_VERB_STORE, Key: []byte("k"), Codec: "json",
		}}); err != nil {
			t.Fatal(err)
		}
		for _, stale := range []bool{false, true} {
			_, err := p.maps.Load(t.Context(), &coordv1.LoadRequest{Name: "m", Key: []byte("k"), Codec: "raw", Stale: stale})
			got := n.wantSays(err, coordv1.Reason_REASON_MISMATCH,
				`load from m: map m was made with the codec "json"; give that, or none for whatever it is`)
			if got["codec"] != "json" {
				t.Errorf("metadata %v", got)
			}
		}
		full := make([]byte, 64<<10)
		for i := range 8 {
			_, err := p.update(string(rune('a'+i)), coordv1.MapVerb_MAP_VERB_STORE, string(rune('a'+i)), string(full), "")
			if i < 7 && err != nil {
				t.Fatal(err)
			}
			if i == 7 {
				got := n.wantSays(err, coordv1.Reason_REASON_LIMIT,
					"update m: the map may have 524288 bytes; delete some, then ask again, under another request_id")
				if got["limit"] != "object" || got["value"] != "524288" {
					t.Errorf("metadata %v", got)
				}
			}
		}
	})
}

// A stale read is this node's, with the index that it is from.
func TestStaleMapIsThisNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.wantUpdate("1", coordv1.MapVerb_MAP_VERB_STORE, "k", "a", "", false, "", 0)
		index := n.replica.Index()
		n.engine.follow("n2") // which cannot be reached
		r, err := p.load("k", true)
		if err != nil || !r.GetFound() || string(r.GetValue()) != "a" || r.GetIndex() != index || r.GetRevision() == 0 {
			t.Errorf("%v of index %d: %v", r, index, err)
		}
		all, err := p.maps.Range(t.Context(), &coordv1.RangeRequest{Name: "m", Stale: true})
		if err != nil || len(all.GetEntries()) != 1 || all.GetIndex() != index {
			t.Errorf("%v of index %d: %v", all, index, err)
		}
		_, err = p.load("k", false)
		wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		_, err = p.load("", true)
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
	})
}
