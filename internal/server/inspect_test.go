package server_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	coordv1 "coordd.dev/api/coord/v1"
)

func inspector(n *node) coordv1.InspectServiceClient { return coordv1.NewInspectServiceClient(n.conn) }

// seen is a change in a line.
func seen(c *coordv1.ObjectChange) string {
	what := strings.ToLower(strings.TrimPrefix(c.GetType().String(), "CHANGE_TYPE_"))
	if c.GetEndReason() != 0 {
		what += " " + strings.ToLower(strings.TrimPrefix(c.GetEndReason().String(), "END_REASON_"))
	}
	return fmt.Sprintf("%d %s %s of %d", c.GetRevision(), c.GetName(), what, c.GetSessionId())
}

// follow reads n changes of a watch.
func follow(t *testing.T, w grpc.ServerStreamingClient[coordv1.WatchResponse], n int) (out []string) {
	t.Helper()
	for len(out) < n {
		r, err := w.Recv()
		if err != nil {
			t.Fatalf("after %v: %v", out, err)
		}
		for _, c := range r.GetChanges() {
			out = append(out, seen(c))
		}
	}
	return out
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		held := a.send(lockOp("x"))
		a.want(held, coordv1.Code_CODE_GRANTED)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		one, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		first, err := one.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if h := first.GetPresent().GetHolders(); len(h) != 1 || h[0].GetSessionId() != a.id || first.GetRevision() != 1 {
			t.Fatalf("it begins with %v", first)
		}
		all, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{After: proto.Uint64(1)})
		if err != nil {
			t.Fatal(err)
		}
		b.send(lockOp("y"), lockOp("x"))
		synctest.Wait()
		a.send(endOp(held))
		want := []string{"3 x ended released of 1", "4 x granted of 2"}
		if got := follow(t, one, 2); !slices.Equal(got, want) {
			t.Errorf("of one: %v, should be %v", got, want)
		}
		want = append([]string{"2 y granted of 2"}, want...)
		if got := follow(t, all, 3); !slices.Equal(got, want) {
			t.Errorf("of all: %v, should be %v", got, want)
		}
		again, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, After: proto.Uint64(2)})
		if err != nil {
			t.Fatal(err)
		}
		if got := follow(t, again, 2); !slices.Equal(got, want[1:]) {
			t.Errorf("resumed: %v, should be %v", got, want[1:])
		}
		n.engine.follow("n2")
		for _, w := range []grpc.ServerStreamingClient[coordv1.WatchResponse]{one, all, again} {
			_, err := w.Recv()
			wantReason(t, err, coordv1.Reason_REASON_NO_LEADER)
		}
	})
}

// A watch goes on after 0, of when nothing had happened, as after any other revision; one that
// names none begins with what there is.
func TestWatchAfterNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lock := &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x", After: proto.Uint64(0)}
		for range 2 {
			w, err := inspector(n).Watch(ctx, lock)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := w.Recv(); err != nil || r.GetPresent() != nil || r.GetRevision() != 0 {
				t.Fatalf("before anything happened: %v, %v", r, err)
			}
		}
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		for _, req := range []*coordv1.WatchRequest{lock, {After: proto.Uint64(0)}} {
			w, err := inspector(n).Watch(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if got := follow(t, w, 1); !slices.Equal(got, []string{"1 x granted of 1"}) {
				t.Errorf("it goes on with %v", got)
			}
		}
		lock.After = nil
		w, err := inspector(n).Watch(ctx, lock)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := w.Recv(); err != nil || r.GetPresent() == nil || len(r.GetChanges()) > 0 {
			t.Errorf("it begins with %v, %v", r, err)
		}
	})
}

// A watch of something that nobody touches is told how far it is, so that it need not begin
// anew after a cut.
func TestWatchTellsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "quiet"})
		if err != nil {
			t.Fatal(err)
		}
		if first, err := w.Recv(); err != nil || first.GetPresent().GetName() != "quiet" || first.GetRevision() != 0 {
			t.Fatalf("it begins with %v, %v", first, err)
		}
		for range 3 {
			a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
			a.want(a.send(endOp(a.seq)), coordv1.Code_CODE_DONE)
		}
		begin := time.Now()
		for at := uint64(0); at < 6; {
			r, err := w.Recv()
			if err != nil || len(r.GetChanges()) > 0 || r.GetSkipped() > 0 {
				t.Fatalf("%v, %v", r, err)
			}
			at = r.GetRevision()
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("told after %v", d)
		}
		begin = time.Now()
		again, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "quiet", After: proto.Uint64(6)})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := again.Recv(); err != nil || r.GetRevision() != 6 || r.GetPresent() != nil || time.Since(begin) > 0 {
			t.Errorf("one that goes on is told %v after %v, %v", r, time.Since(begin), err)
		}
	})
}

// What is no longer kept is said to be missing, with the state that it led to.
func TestWatchSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		a.want(a.send(lockOp("y")), coordv1.Code_CODE_GRANTED)
		restored(t, n)
		b := open(t, n.api, 2)
		b.want(b.send(lockOp("z")), coordv1.Code_CODE_GRANTED) // kept, and not told: the state is later
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x", After: proto.Uint64(1)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetSkipped() != 2 || r.GetRevision() != 3 || len(r.GetPresent().GetHolders()) != 1 {
			t.Errorf("it goes on with %v", r)
		}
	})
}

// restored has the node's machine replaced by its own snapshot.
func restored(t *testing.T, n *node) {
	t.Helper()
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(n.replica.Snapshot().Persist(w)) }()
	if err := n.replica.Restore(r); err != nil {
		t.Fatal(err)
	}
}

func TestWatchRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		for name, req := range map[string]*coordv1.WatchRequest{
			"the future":           {After: proto.Uint64(1)},
			"a kind of later":      {Kind: 99},
			"a name of no kind":    {Name: "x"},
			"no name of an object": {Kind: coordv1.Kind_KIND_LOCK, Name: "a\nb"},
		} {
			w, err := inspector(n).Watch(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Recv()
			t.Log(name)
			wantReason(t, err, coordv1.Reason_REASON_INVALID)
		}
	})
}

func TestWatchOfTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 257 {
			w, err := inspector(n).Watch(ctx, &coordv1.WatchRequest{})
			if err == nil {
				_, err = w.Recv()
			}
			if i < 256 && err != nil {
				t.Fatal(err)
			}
			if i == 256 && wantReason(t, err, coordv1.Reason_REASON_LIMIT).GetMetadata()["limit"] != "watches" {
				t.Error(err)
			}
		}
	})
}

func TestListObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		for i := range 25 {
			a.want(a.send(lockOp(fmt.Sprintf("lock/%02d", i))), coordv1.Code_CODE_GRANTED)
		}
		a.want(a.send(waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{{Kind: coordv1.Kind_KIND_ELECTION, Name: "cron", Value: "a"}}})), coordv1.Code_CODE_GRANTED)
		b.send(lockOp("lock/03"))
		synctest.Wait()
		var names []string
		pages := 0
		for token := ""; ; pages++ {
			page, err := inspector(n).ListObjects(t.Context(), &coordv1.ListObjectsRequest{PageSize: 10, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.GetObjects() {
				names = append(names, o.GetName())
				if o.GetName() == "lock/03" && (o.GetWaiting() != 1 || o.GetHolders() != 1 || o.GetHolder().GetSessionId() != a.id) {
					t.Errorf("%v", o)
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if pages != 2 || len(names) != 26 || names[0] != "lock/00" || names[25] != "cron" {
			t.Errorf("%d pages: %v", pages+1, names)
		}
		some, err := inspector(n).ListObjects(t.Context(), &coordv1.ListObjectsRequest{Kind: coordv1.Kind_KIND_LOCK, Prefix: "lock/1"})
		if err != nil || len(some.GetObjects()) != 10 {
			t.Errorf("with a prefix: %v, %v", some, err)
		}
		for name, req := range map[string]*coordv1.ListObjectsRequest{
			"a page too long":   {PageSize: 1001},
			"a negative page":   {PageSize: -1},
			"a token of others": {PageToken: "!"},
			"a kind of later":   {Kind: 99},
		} {
			_, err := inspector(n).ListObjects(t.Context(), req)
			t.Log(name)
			wantReason(t, err, coordv1.Reason_REASON_INVALID)
		}
	})
}

// A list says of a channel whether it is made, and how full it is.
func TestListOfChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		p := openPlain(t, n.conn)
		p.mustSend("1", "one", 3)
		if err := p.closeChannel("2"); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = p.channels.Receive(t.Context(), &coordv1.ReceiveRequest{Lease: p.lease, RequestId: "3", Name: "d"})
		}()
		synctest.Wait()
		list, err := inspector(n).ListObjects(t.Context(), &coordv1.ListObjectsRequest{Kind: coordv1.Kind_KIND_CHAN})
		if err != nil || len(list.GetObjects()) != 2 {
			t.Fatal(list, err)
		}
		c, d := list.GetObjects()[0], list.GetObjects()[1]
		if !c.GetStored() || c.GetLimit() != 3 || c.GetHeld() != 1 || c.GetState() != coordv1.ObjectState_OBJECT_STATE_CHANNEL_CLOSED {
			t.Errorf("made: %v", c)
		}
		if d.GetStored() || d.GetWaiting() != 1 {
			t.Errorf("waited for: %v", d)
		}
	})
}

func TestDescribeAndExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a, b := open(t, n.api, 1), open(t, n.api, 2)
		for _, held := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
			seq := a.send(lockOp("x"))
			a.want(seq, coordv1.Code_CODE_GRANTED)
			time.Sleep(held)
			a.want(a.send(endOp(seq)), coordv1.Code_CODE_DONE)
		}
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		b.send(lockOp("x"))
		time.Sleep(500 * time.Millisecond)
		b.want(b.send(noop()), coordv1.Code_CODE_DONE) // an entry, which brings the clock along
		e, err := inspector(n).ExplainObject(t.Context(), &coordv1.ExplainObjectRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		h := e.GetDescription().GetHolders()[0]
		if h.GetFor().AsDuration() != 500*time.Millisecond || h.GetWho().GetName() != "test" || h.GetRenewed().AsDuration() != 6500*time.Millisecond {
			t.Errorf("holder: %v", h)
		}
		times := e.GetHoldTimes()
		if times.GetCount() != 3 || times.GetMedian().AsDuration() != 2*time.Second || times.GetLongest().AsDuration() != 3*time.Second {
			t.Errorf("hold times: %v", times)
		}
		if w := e.GetExpectedWaits(); len(w) != 1 || w[0].AsDuration() != 1500*time.Millisecond || e.GetExpectedWaitOfNext().AsDuration() != 3500*time.Millisecond {
			t.Errorf("expected: %v, next %v", w, e.GetExpectedWaitOfNext())
		}
		past, err := inspector(n).GetHistory(t.Context(), &coordv1.GetHistoryRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x", Limit: 2})
		if err != nil || len(past.GetHolds()) != 2 {
			t.Fatalf("%v, %v", past, err)
		}
		if p := past.GetHolds()[0]; p.GetHeld().AsDuration() != 2*time.Second || p.GetEndReason() != coordv1.EndReason_END_REASON_RELEASED || p.GetToken() == 0 {
			t.Errorf("the last hold: %v", p)
		}
		_, err = inspector(n).DescribeObject(t.Context(), &coordv1.DescribeObjectRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "nothing"})
		wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		_, err = inspector(n).DescribeObject(t.Context(), &coordv1.DescribeObjectRequest{Name: "x"})
		wantReason(t, err, coordv1.Reason_REASON_INVALID)
	})
}

// A stale read is answered by a node that knows no leader.
func TestStaleRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		a := open(t, n.api, 1)
		a.want(a.send(lockOp("x")), coordv1.Code_CODE_GRANTED)
		n.engine.follow("")
		req := &coordv1.DescribeObjectRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "x", Stale: true}
		got, err := inspector(n).DescribeObject(t.Context(), req)
		if err != nil || got.GetDescription().GetIndex() != n.replica.Index() || len(got.GetDescription().GetHolders()) != 1 {
			t.Errorf("%v, %v", got, err)
		}
		req.Name = "y"
		_, err = inspector(n).DescribeObject(t.Context(), req)
		info := wantReason(t, err, coordv1.Reason_REASON_NOT_FOUND)
		if got, want := info.GetMetadata()["index"], fmt.Sprint(n.replica.Index()); got != want {
			t.Errorf("it is not there at index %q, want %s", got, want)
		}
		req.Stale = false
		if _, err := inspector(n).DescribeObject(t.Context(), req); status.Code(err) != codes.Unavailable {
			t.Errorf("through the log: %v", err)
		}
	})
}
