package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
)

// An inspected is a node that answers what a test has it answer, and counts.
type inspected struct {
	coordv1.UnimplementedInspectServiceServer
	objects  []*coordv1.ObjectSummary
	explain  *coordv1.ExplainObjectResponse
	past     []*coordv1.PastHold
	streams  []func(*coordv1.WatchRequest, func(*coordv1.WatchResponse)) error // one after another
	refusals []error                                                           // of looks, one after another; then none
	mu       sync.Mutex
	calls    []string
	watching int
}

func (i *inspected) called(what string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, what)
}

func (i *inspected) refusal() (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.refusals) > 0 {
		err, i.refusals = i.refusals[0], i.refusals[1:]
	}
	return err
}

func (i *inspected) ListObjects(_ context.Context, req *coordv1.ListObjectsRequest) (*coordv1.ListObjectsResponse, error) {
	i.called("list " + req.GetPrefix())
	if err := i.refusal(); err != nil {
		return nil, err
	}
	from, _ := strconv.Atoi(req.GetPageToken()) // "" is 0
	out := &coordv1.ListObjectsResponse{Index: 7}
	for n := from; n < len(i.objects); n++ {
		o := i.objects[n]
		if req.GetKind() != o.GetKind() || !strings.HasPrefix(o.GetName(), req.GetPrefix()) {
			continue
		}
		if len(out.GetObjects()) == int(req.GetPageSize()) {
			out.NextPageToken = strconv.Itoa(n)
			break
		}
		out.Objects = append(out.Objects, o)
	}
	return out, nil
}

func (i *inspected) has(kind coordv1.Kind, name string) error {
	d := i.explain.GetDescription()
	if d.GetKind() == kind && d.GetName() == name {
		return nil
	}
	return server.Error(coordv1.Reason_REASON_NOT_FOUND, "describe: there is nothing of that name", nil)
}

func (i *inspected) DescribeObject(_ context.Context, req *coordv1.DescribeObjectRequest) (*coordv1.DescribeObjectResponse, error) {
	i.called("describe")
	if err := i.refusal(); err != nil {
		return nil, err
	}
	return &coordv1.DescribeObjectResponse{Description: i.explain.GetDescription()}, i.has(req.GetKind(), req.GetName())
}

func (i *inspected) ExplainObject(_ context.Context, req *coordv1.ExplainObjectRequest) (*coordv1.ExplainObjectResponse, error) {
	i.called("explain")
	return i.explain, i.has(req.GetKind(), req.GetName())
}

func (i *inspected) GetHistory(context.Context, *coordv1.GetHistoryRequest) (*coordv1.GetHistoryResponse, error) {
	i.called("history")
	return &coordv1.GetHistoryResponse{Holds: i.past}, nil
}

func (i *inspected) Watch(req *coordv1.WatchRequest, ss grpc.ServerStreamingServer[coordv1.WatchResponse]) error {
	after := "none"
	if req.After != nil {
		after = fmt.Sprint(req.GetAfter())
	}
	i.called(fmt.Sprintf("watch %s after %s", req.GetName(), after))
	i.mu.Lock()
	stream := i.streams[i.watching]
	i.watching++
	i.mu.Unlock()
	return stream(req, func(r *coordv1.WatchResponse) { _ = ss.Send(r) })
}

// serve returns where the node is.
func (i *inspected) serve(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	coordv1.RegisterInspectServiceServer(s, i)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(lis) }) // until Stop
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	return lis.Addr().String()
}

// ctl runs coordctl in this process against the node.
func (i *inspected) ctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--timeout", "60", "--endpoints", i.serve(t)}, args...)
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs, nil)
	return code, out.String(), errs.String()
}

func lockOf(name string) *coordv1.ObjectSummary {
	return &coordv1.ObjectSummary{Kind: coordv1.Kind_KIND_LOCK, Name: name}
}

func seconds(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }

// Whatever is asked for comes once and in order, however many pages it is, and in JSON whole.
func TestGetPages(t *testing.T) {
	node := &inspected{}
	var want []string
	for n := range 2*pageSize + 3 {
		want = append(want, fmt.Sprintf("orders/%04d", n))
		node.objects = append(node.objects, lockOf(want[n]))
	}
	node.objects = append(node.objects, lockOf("other"))
	code, out, errs := node.ctl(t, "get", "locks", "orders/*")
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Fields(line)[0])
	}
	if d := cmp.Diff(append([]string{"NAME"}, want...), got); d != "" || code != 0 || errs != "" {
		t.Errorf("%s%d %s", d, code, errs)
	}
	if len(node.calls) != 3 {
		t.Errorf("asked for %v", node.calls)
	}
	_, out, _ = node.ctl(t, "get", "locks", "orders/*", "-o", "json")
	var list struct {
		Objects []objectView
		Index   string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, o := range list.Objects {
		got = append(got, o.Name)
	}
	if d := cmp.Diff(want, got); d != "" || list.Index != "7" {
		t.Errorf("%s index %s", d, list.Index)
	}
	code, out, _ = node.ctl(t, "get", "semaphores", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Objects) != 0 {
		t.Errorf("an empty list: %d %v %s", code, err, out)
	}
}

// A name that is not there is told with what may be meant, and is never a longer one.
func TestGetMissing(t *testing.T) {
	node := &inspected{objects: []*coordv1.ObjectSummary{lockOf("deploy-a"), lockOf("deploz"), lockOf("nightly")}}
	code, out, errs := node.ctl(t, "get", "lock", "deploy")
	if code != exitNotFound || out != "" ||
		errs != "coordctl: get lock deploy: nobody holds it or waits for it; did you mean deploy-a or deploz?\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	code, out, errs = node.ctl(t, "get", "locks,elections", "zzz", "-o", "json")
	var fail struct{ Why, Next string }
	if err := json.Unmarshal([]byte(errs), &fail); err != nil || code != exitNotFound || out != "" || fail.Next != "see coordctl get all" {
		t.Errorf("%d %v %s", code, err, errs)
	}
	if code, out, errs = node.ctl(t, "get", "lock", "deploz"); code != 0 || errs != "" || !strings.Contains(out, "\ndeploz ") {
		t.Errorf("one that is there: %d %s%s", code, out, errs)
	}
}

const hostile = "\x1b[2J\u202eevil\r\n"

// hostileNode has somebody who would like to write on our terminal.
func hostileNode() *inspected {
	p := &coordv1.Party{
		SessionId: 42, Who: &coordv1.Who{Name: hostile, Metadata: map[string]string{"host": hostile, "pid": hostile}},
		Note: hostile, Value: hostile, Token: 1 << 60, TraceId: hostile, For: seconds(5), Ttl: seconds(10), Renewed: seconds(1), Count: 1,
	}
	return &inspected{
		objects: []*coordv1.ObjectSummary{{Kind: coordv1.Kind_KIND_LOCK, Name: hostile, Holder: p, Holders: 1}},
		explain: &coordv1.ExplainObjectResponse{Description: &coordv1.Description{
			Kind: coordv1.Kind_KIND_LOCK, Name: hostile, Holders: []*coordv1.Party{p}, Waiters: []*coordv1.Party{p}, Waiting: 1,
		}},
		past: []*coordv1.PastHold{{SessionId: 42, Who: p.GetWho(), Note: hostile, Value: hostile, Ended: timestamppb.Now()}},
	}
}

// Nothing that anybody calls himself moves a cursor; JSON has it unchanged.
func TestHostileStrings(t *testing.T) {
	change := &coordv1.ObjectChange{
		Revision: 1, Type: coordv1.ChangeType_CHANGE_TYPE_GRANTED, Kind: coordv1.Kind_KIND_LOCK, Name: hostile,
		Note: hostile, Value: hostile, Who: &coordv1.Who{Name: hostile},
	}
	for _, args := range [][]string{
		{"get", "locks"}, {"get", "locks", "-o", "wide"}, {"get", "locks", "-w"}, {"get", "locks", hostile + "x"},
		{"describe", "lock", hostile}, {"describe", "lock", hostile, "-o", "wide"}, {"explain", hostile},
	} {
		node := hostileNode()
		node.streams = append(node.streams, func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
			send(&coordv1.WatchResponse{Changes: []*coordv1.ObjectChange{change}, Revision: 1})
			return status.Error(codes.Internal, hostile)
		})
		_, out, errs := node.ctl(t, args...)
		for _, line := range strings.SplitAfter(out+errs, "\n") {
			if strings.ContainsAny(line, "\x1b\u202e\r") {
				t.Errorf("%q: %q", args, line)
			}
		}
		if !strings.Contains(out+errs, "evil") {
			t.Errorf("%q does not name it: %s", args, out)
		}
	}
	_, out, _ := hostileNode().ctl(t, "describe", "lock", hostile, "-o", "json")
	var d describedView
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Name != hostile || d.Holders[0].Note != hostile || d.Holders[0].Token != "1152921504606846976" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLongNamesAreCutForPeopleOnly(t *testing.T) {
	name := strings.Repeat("a", 100) + strings.Repeat("z", 100)
	node := &inspected{objects: []*coordv1.ObjectSummary{lockOf(name)}}
	_, out, _ := node.ctl(t, "get", "locks")
	cell := strings.Fields(out)[4]
	if len(cell) != widestName || !strings.HasPrefix(cell, "aaa") || !strings.HasSuffix(cell, "zzz") {
		t.Errorf("the table has %q", cell)
	}
	for _, format := range []string{"wide", "json"} {
		if _, out, _ := node.ctl(t, "get", "locks", "-o", format); !strings.Contains(out, name) {
			t.Errorf("%s: %s", format, out)
		}
	}
}

// A hundred waiters are one or two questions, whoever they are.
func TestQuestionsAskedOfAHundredWaiters(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"describe", "lock", "deploy"}, []string{"describe", "history"}},
		{[]string{"describe", "lock", "deploy", "--stale"}, []string{"describe"}},
		{[]string{"explain", "lock", "deploy"}, []string{"explain"}},
	} {
		node := &inspected{explain: busy(100)}
		code, out, errs := node.ctl(t, c.args...)
		if code != 0 || !slices.Equal(node.calls, c.want) || !strings.Contains(out, "100 wait") {
			t.Errorf("%v: %d, asked %v\n%s%s", c.args, code, node.calls, out, errs)
		}
	}
}

// busy is a lock that is held, with n who wait.
func busy(n int) *coordv1.ExplainObjectResponse {
	party := func(i int) *coordv1.Party {
		return &coordv1.Party{
			SessionId: uint64(i + 1), Who: &coordv1.Who{Name: "billing", Metadata: map[string]string{"host": fmt.Sprintf("host-%d", i), "pid": "812"}},
			For: seconds(120 - i), Ttl: seconds(10), Renewed: seconds(3), Count: 1,
		}
	}
	d := &coordv1.Description{Kind: coordv1.Kind_KIND_LOCK, Name: "deploy", Index: 99, Waiting: int64(n), Holders: []*coordv1.Party{party(0)}}
	d.Holders[0].Token = 17
	r := &coordv1.ExplainObjectResponse{Description: d}
	for i := range n {
		d.Waiters = append(d.Waiters, party(i+1))
	}
	return r
}

func follows(after, revision uint64, name string) *coordv1.WatchResponse {
	return &coordv1.WatchResponse{Revision: revision, Changes: []*coordv1.ObjectChange{{
		Revision: after + 1, Type: coordv1.ChangeType_CHANGE_TYPE_RESIZED, Kind: coordv1.Kind_KIND_SEMAPHORE, Name: name, Count: int64(revision),
	}}}
}

// A watch that is cut goes on where it was; what was missed is said, and the present shown;
// a cluster that was made anew is watched from its beginning.
func TestWatchResumes(t *testing.T) {
	none := server.Error(coordv1.Reason_REASON_NO_LEADER, "watch: no leader", nil)
	lost := status.Error(codes.Unavailable, "error reading from server: EOF")
	type stream = func(*coordv1.WatchRequest, func(*coordv1.WatchResponse)) error
	says := func(err error, responses ...*coordv1.WatchResponse) stream {
		return func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
			for _, r := range responses {
				send(r)
			}
			return err
		}
	}
	node := &inspected{
		objects: []*coordv1.ObjectSummary{{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "gpu", Limit: 4}},
		streams: []stream{
			says(lost, &coordv1.WatchResponse{}), // nothing has happened yet
			says(none, follows(2, 3, "a")),       // things had, meanwhile
			says(none),
			says(lost, follows(3, 4, "b"), &coordv1.WatchResponse{Revision: 9}),
			says(lost, &coordv1.WatchResponse{Skipped: 11, Revision: 20}, follows(20, 21, "c")),
			says(server.Error(coordv1.Reason_REASON_INVALID, "watch: after is 21, and the last revision is 1", nil)),
			says(status.Error(codes.Internal, "the end"), &coordv1.WatchResponse{Revision: 1}, follows(1, 2, "d")),
		},
	}
	code, out, errs := node.ctl(t, "get", "all", "-w", "-o", "json")
	var got []string
	for line := range strings.Lines(out) {
		var v changeView
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		got = append(got, strings.TrimSpace(v.Type+" "+v.Name+v.Skipped))
	}
	present := "present gpu"
	want := []string{present, "resized a", "resized b", "skipped 11", present, "resized c", "skipped 1", present, "resized d"}
	if d := cmp.Diff(want, got); d != "" || code != exitFailed {
		t.Errorf("%d %s", code, d)
	}
	var afters []string
	for _, call := range node.calls {
		if strings.HasPrefix(call, "watch") {
			afters = append(afters, strings.TrimPrefix(call, "watch  after "))
		}
	}
	if d := cmp.Diff([]string{"none", "0", "3", "3", "9", "21", "none"}, afters); d != "" {
		t.Error(d)
	}
	for _, say := range []string{"up to 11 changes were missed", "counts its changes anew", "the end"} {
		if !strings.Contains(errs, say) {
			t.Errorf("it does not say %q:\n%s", say, errs)
		}
	}
}

// A watch of one object begins with it as the watch says it is: no list is asked for.
func TestWatchOfOne(t *testing.T) {
	node := &inspected{explain: busy(2)}
	node.streams = append(node.streams, func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
		send(&coordv1.WatchResponse{Present: node.explain.GetDescription(), Revision: 5})
		send(&coordv1.WatchResponse{Revision: 6, Changes: []*coordv1.ObjectChange{{
			Revision: 6, Type: coordv1.ChangeType_CHANGE_TYPE_ENDED, EndReason: coordv1.EndReason_END_REASON_EXPIRED,
			Kind: coordv1.Kind_KIND_LOCK, Name: "deploy", SessionId: 1, Held: seconds(121),
		}}})
		return status.Error(codes.Internal, "the end")
	})
	_, out, _ := node.ctl(t, "get", "lock", "deploy", "-w")
	want := `NAME     HOLDER                     HELD   WAITING
deploy   host-0 pid 812 (billing)   2m     2
#6 lock deploy: lost by session 0000000000000001 after 2m1s: its lease ran out
`
	if d := cmp.Diff(want, out); d != "" || len(node.calls) != 1 {
		t.Errorf("%v\n%s", node.calls, d)
	}
}

// A watch ends with its reader.
func TestWatchOfNobody(t *testing.T) {
	r, w := io.Pipe()
	_ = r.Close()
	node := &inspected{}
	node.streams = append(node.streams, func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
		send(&coordv1.WatchResponse{Revision: 1})
		return status.Error(codes.Internal, "not heard of")
	})
	var errs bytes.Buffer
	code := run(t.Context(), []string{"--endpoints", node.serve(t), "--timeout", "60", "get", "locks", "-w"}, nil, w, &errs, nil)
	if code != exitFailed || !strings.Contains(errs.String(), "write answer") {
		t.Errorf("%d %s", code, &errs)
	}
}

// Describe -w shows what is there after every change, but a burst that it has seen once.
func TestDescribeWatch(t *testing.T) {
	node := &inspected{explain: busy(1)}
	node.explain.Description.Revision = 8
	one := &coordv1.ObjectChange{Revision: 7, Kind: coordv1.Kind_KIND_LOCK, Name: "deploy"}
	node.streams = append(node.streams, func(_ *coordv1.WatchRequest, send func(*coordv1.WatchResponse)) error {
		send(&coordv1.WatchResponse{Present: node.explain.GetDescription(), Revision: 6})
		send(&coordv1.WatchResponse{Revision: 7, Changes: []*coordv1.ObjectChange{one}})
		send(&coordv1.WatchResponse{Revision: 8})
		send(&coordv1.WatchResponse{Revision: 9, Changes: []*coordv1.ObjectChange{one}})
		return status.Error(codes.Internal, "the end")
	})
	_, out, errs := node.ctl(t, "describe", "lock", "deploy", "-w", "-o", "json")
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("shown %d times:\n%s%s", n, out, errs)
	}
}
