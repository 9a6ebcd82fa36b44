package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/gateway"
)

// serve returns a gateway to a server with the given services, of which others say only
// their names.
func serve(t *testing.T, register func(*grpc.Server), opts ...grpc.ServerOption) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New()
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(append(opts, grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(ss)
		return status.Error(codes.Unimplemented, method)
	}))...)
	if register != nil {
		register(srv)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(g.Listener()) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it had begun
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// refusal is the body of an error.
type refusal struct {
	Error struct {
		Code                    int
		Status, Reason, Message string
		Metadata                map[string]string
		Details                 []map[string]any
	}
}

func ask(t *testing.T, h http.Handler, method, target, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func refused(t *testing.T, r *http.Response, code int) refusal {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body refusal
	if err := json.Unmarshal(text, &body); err != nil || r.StatusCode != code || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %v: %s", r.Status, err, text)
	}
	return body
}

// paths is every RPC that has a path: all but the op stream.
var paths = map[string]string{
	"SessionService/OpenSession":         "POST /v1/sessions:open",
	"SessionService/CloseSession":        "POST /v1/sessions:close",
	"SessionService/Renew":               "POST /v1/sessions:renew",
	"SessionService/RevokeSession":       "POST /v1/sessions:revoke",
	"SessionService/ListSessions":        "GET /v1/sessions",
	"SessionService/CancelCall":          "POST /v1/calls:cancel",
	"LockService/Lock":                   "POST /v1/locks:lock",
	"LockService/Unlock":                 "POST /v1/locks:unlock",
	"SemaphoreService/Acquire":           "POST /v1/semaphores:acquire",
	"SemaphoreService/Release":           "POST /v1/semaphores:release",
	"SemaphoreService/Resize":            "POST /v1/semaphores:resize",
	"ElectionService/Campaign":           "POST /v1/elections:campaign",
	"ElectionService/Proclaim":           "POST /v1/elections:proclaim",
	"ElectionService/Resign":             "POST /v1/elections:resign",
	"ElectionService/TransferLeadership": "POST /v1/elections:transfer",
	"ElectionService/GetLeader":          "GET /v1/elections:leader?name=x",
	"ChannelService/Send":                "POST /v1/channels:send",
	"ChannelService/Receive":             "POST /v1/channels:receive",
	"ChannelService/Acknowledge":         "POST /v1/channels:acknowledge",
	"ChannelService/GiveBack":            "POST /v1/channels:giveback",
	"ChannelService/CloseChannel":        "POST /v1/channels:close",
	"WaitGroupService/Add":               "POST /v1/waitgroups:add",
	"WaitGroupService/Wait":              "POST /v1/waitgroups:wait",
	"OnceService/Begin":                  "POST /v1/onces:begin",
	"OnceService/Complete":               "POST /v1/onces:complete",
	"OnceService/Abandon":                "POST /v1/onces:abandon",
	"CondService/AwaitSignal":            "POST /v1/conds:await",
	"CondService/Signal":                 "POST /v1/conds:signal",
	"CondService/Broadcast":              "POST /v1/conds:broadcast",
	"MapService/Load":                    "GET /v1/maps:load?name=x&key=aw%3D%3D",
	"MapService/Range":                   "GET /v1/maps:range?name=x",
	"MapService/Update":                  "POST /v1/maps:update",
	"SelectService/Select":               "POST /v1/objects:select",
	"SelectService/LockAll":              "POST /v1/objects:lockall",
	"ObjectService/DeleteObject":         "POST /v1/objects:delete",
	"InspectService/ListObjects":         "GET /v1/objects",
	"InspectService/DescribeObject":      "GET /v1/objects:describe?kind=lock&name=x",
	"InspectService/ExplainObject":       "GET /v1/objects:explain?kind=KIND_LOCK&name=x",
	"InspectService/GetHistory":          "GET /v1/objects:history?kind=lock&name=x",
	"InspectService/GetWaitGraph":        "GET /v1/objects:waits?kind=lock&name=x",
	"InspectService/Watch":               "GET /v1/objects:watch?kind=lock&name=x",
	"ClusterService/Status":              "GET /v1/status",
	"ClusterService/AddMember":           "POST /v1/members:add",
	"ClusterService/RemoveMember":        "POST /v1/members:remove",
	"ClusterService/TransferLeader":      "POST /v1/members:transfer",
}

func TestPaths(t *testing.T) {
	g := serve(t, nil)
	for _, file := range []protoreflect.FileDescriptor{
		coordv1.File_coord_v1_session_proto, coordv1.File_coord_v1_lock_proto, coordv1.File_coord_v1_semaphore_proto,
		coordv1.File_coord_v1_election_proto, coordv1.File_coord_v1_channel_proto, coordv1.File_coord_v1_waitgroup_proto,
		coordv1.File_coord_v1_once_proto, coordv1.File_coord_v1_cond_proto, coordv1.File_coord_v1_map_proto,
		coordv1.File_coord_v1_select_proto, coordv1.File_coord_v1_object_proto,
		coordv1.File_coord_v1_inspect_proto, coordv1.File_coord_v1_cluster_proto,
	} {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			method := string(service.Name()) + "/" + string(service.Methods().Get(i).Name())
			path, ok := paths[method]
			switch method {
			case "SessionService/Attach", "ClusterService/SaveSnapshot", "ClusterService/RestoreSnapshot":
				continue // streams of bytes, or both ways
			}
			if !ok {
				t.Errorf("%s has no path", method)
				continue
			}
			verb, target, _ := strings.Cut(path, " ")
			body := refused(t, ask(t, g, verb, target, "{}"), http.StatusNotImplemented)
			if body.Error.Message != "/coord.v1."+method || body.Error.Status != "UNIMPLEMENTED" || body.Error.Code != 12 {
				t.Errorf("%s is %+v", path, body)
			}
			other := http.MethodPost
			if verb == other {
				other = http.MethodGet
			}
			refused(t, ask(t, g, other, target, "{}"), http.StatusMethodNotAllowed)
		}
	}
	refused(t, ask(t, g, http.MethodGet, "/v1/nothing", ""), http.StatusNotFound)
}

// stub is some services.
type stub struct {
	coordv1.UnimplementedLockServiceServer
	coordv1.UnimplementedInspectServiceServer
	locked   *coordv1.LockRequest
	metadata metadata.MD
	ended    chan struct{} // the RPC of a lock named wait
	waits    chan struct{}
}

func (s *stub) Lock(ctx context.Context, req *coordv1.LockRequest) (*coordv1.LockResponse, error) {
	s.locked = req
	s.metadata, _ = metadata.FromIncomingContext(ctx)
	switch req.GetNames()[0] {
	case "busy":
		st, err := status.New(codes.Aborted, "lock busy: would wait; ask again").WithDetails(
			&errdetails.ErrorInfo{Domain: "coordd.dev", Reason: "BUSY", Metadata: map[string]string{"k": "v"}},
			&coordv1.Description{Name: "busy", Holders: []*coordv1.Party{{SessionId: 1 << 60, Token: 5}}})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	case "overloaded":
		st, err := status.New(codes.ResourceExhausted, "why").WithDetails(
			&errdetails.RetryInfo{RetryDelay: durationpb.New(200e6)})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	case "wait":
		close(s.waits)
		<-ctx.Done()
		close(s.ended)
		return nil, ctx.Err()
	}
	return &coordv1.LockResponse{}, nil
}

func (s *stub) DescribeObject(_ context.Context, req *coordv1.DescribeObjectRequest) (*coordv1.DescribeObjectResponse, error) {
	return &coordv1.DescribeObjectResponse{Description: &coordv1.Description{Kind: req.GetKind(), Name: req.GetName(), Revision: 1 << 60}}, nil
}

func (s *stub) Watch(_ *coordv1.WatchRequest, ss grpc.ServerStreamingServer[coordv1.WatchResponse]) error {
	for i := range uint64(3) {
		if err := ss.Send(&coordv1.WatchResponse{Revision: i}); err != nil {
			return err
		}
	}
	return status.Error(codes.Unavailable, "the end")
}

func stubbed(t *testing.T, opts ...grpc.ServerOption) (*gateway.Gateway, *stub) {
	s := &stub{ended: make(chan struct{}), waits: make(chan struct{})}
	return serve(t, func(srv *grpc.Server) {
		coordv1.RegisterLockServiceServer(srv, s)
		coordv1.RegisterInspectServiceServer(srv, s)
	}, opts...), s
}

func wantBody(t *testing.T, r *http.Response, want string) {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	// protojson puts spaces in at random, so that nobody compares its bytes.
	if got := strings.ReplaceAll(string(text), " ", ""); r.StatusCode != http.StatusOK || got != want {
		t.Errorf("%s: %s", r.Status, text)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Error("may be cached")
	}
}

func TestJSON(t *testing.T) {
	g, s := stubbed(t)
	const lease = `"lease": {"session_id": "1152921504606846976", "secret": "AAECAwQFBgcICQoLDA0ODw=="}`
	r := ask(t, g, http.MethodPost, "/v1/locks:lock", `{`+lease+`, "request_id": "1", "names": ["x"], "wait_limit": "1.5s"}`,
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"Grpc-Metadata-Coordd-Forwarded-By", "me", "Coordd-Forwarded-By", "me", "Cookie", "secret")
	wantBody(t, r, `{"token":"0"}`)
	if s.locked.GetLease().GetSessionId() != 1<<60 || len(s.locked.GetLease().GetSecret()) != 16 ||
		s.locked.GetWaitLimit().AsDuration().Seconds() != 1.5 {
		t.Errorf("understood as %v", s.locked)
	}
	if len(s.metadata.Get("traceparent")) != 1 {
		t.Errorf("no trace context in %v", s.metadata)
	}
	for key := range s.metadata {
		if strings.Contains(key, "forwarded-by") || strings.Contains(key, "cookie") {
			t.Errorf("a client set %s", key)
		}
	}
	// The names as protojson has them are understood too.
	wantBody(t, ask(t, g, http.MethodPost, "/v1/locks:lock", `{"requestId": "2", "names": ["x"]}`), `{"token":"0"}`)
	if s.locked.GetRequestId() != "2" {
		t.Errorf("understood as %v", s.locked)
	}
	for _, kind := range []string{"lock", "Lock", "KIND_LOCK", "1"} {
		wantBody(t, ask(t, g, http.MethodGet, "/v1/objects:describe?kind="+kind+"&name=a%2Fb", ""),
			`{"description":{"kind":"KIND_LOCK","name":"a/b","index":"0","holders":[],"waiters":[],"waiting":"0","limit":"0","held":"0","revision":"1152921504606846976",`+
				`"unacknowledged":"0","bytes":"0","codec":"","state":"OBJECT_STATE_UNSPECIFIED","stored":false}}`)
	}
}

func TestErrorsAreJSON(t *testing.T) {
	g, _ := stubbed(t)
	body := refused(t, ask(t, g, http.MethodPost, "/v1/locks:lock", `{"names": ["busy"]}`), http.StatusConflict)
	e := body.Error
	if e.Code != 10 || e.Status != "ABORTED" || e.Reason != "BUSY" || e.Metadata["k"] != "v" || e.Message != "lock busy: would wait; ask again" {
		t.Errorf("%+v", e)
	}
	if len(e.Details) != 1 || e.Details[0]["@type"] != "type.googleapis.com/coord.v1.Description" || e.Details[0]["name"] != "busy" {
		t.Errorf("details %v", e.Details)
	}
	r := ask(t, g, http.MethodPost, "/v1/locks:lock", `{"names": ["overloaded"]}`)
	refused(t, r, http.StatusTooManyRequests)
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("retry after %q", r.Header.Get("Retry-After"))
	}
	for what, ask := range map[string]func() *http.Response{
		"not JSON":      func() *http.Response { return ask(t, g, http.MethodPost, "/v1/locks:lock", `names=x`) },
		"unknown field": func() *http.Response { return ask(t, g, http.MethodPost, "/v1/locks:lock", `{"nmes": ["x"]}`) },
		"unknown kind":  func() *http.Response { return ask(t, g, http.MethodGet, "/v1/objects:describe?kind=tree", "") },
		"no duration": func() *http.Response {
			return ask(t, g, http.MethodPost, "/v1/locks:lock", `{"names": ["x"], "wait_limit": 5}`)
		},
	} {
		e := refused(t, ask(), http.StatusBadRequest).Error
		if e.Reason != "INVALID" || !strings.HasPrefix(e.Message, "request: ") || !strings.HasSuffix(e.Message, "; correct it") {
			t.Errorf("%s: %+v", what, e)
		}
		t.Logf("%s: %s", what, e.Message)
	}
}

func TestPagesCannotUseIt(t *testing.T) {
	g, s := stubbed(t)
	for what, header := range map[string][]string{
		"a form":             {"Content-Type", "application/x-www-form-urlencoded"},
		"text":               {"Content-Type", "text/plain"},
		"no type":            {"Content-Type", ""},
		"JSON in text":       {"Content-Type", "text/plain; application/json"},
		"a form as override": {"Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", "GET"},
	} {
		e := refused(t, ask(t, g, http.MethodPost, "/v1/locks:lock", `{"names": ["x"]}`, header...), http.StatusUnsupportedMediaType).Error
		if !strings.Contains(e.Message, "curl --json") {
			t.Errorf("%s: %s", what, e.Message)
		}
	}
	for what, header := range map[string][]string{
		"fetched":    {"Sec-Fetch-Site", "cross-site"},
		"same site":  {"Sec-Fetch-Site", "same-site"},
		"old origin": {"Origin", "http://evil.example"},
	} {
		e := refused(t, ask(t, g, http.MethodPost, "/v1/locks:lock", `{"names": ["x"]}`, header...), http.StatusForbidden).Error
		if e.Status != "PERMISSION_DENIED" {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if s.locked != nil {
		t.Error("a call came through")
	}
	r := ask(t, g, http.MethodOptions, "/v1/locks:lock", "", "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
	for header := range r.Header {
		if strings.HasPrefix(header, "Access-Control-") {
			t.Errorf("CORS: %s", header)
		}
	}
}

// A domain that points to loopback is a page's way around its origin.
func TestReboundDomainIsRefused(t *testing.T) {
	g, _ := stubbed(t)
	for host, want := range map[string]int{
		"127.0.0.1:7602": 200, "localhost:7602": 200, "[::1]:7602": 200, "evil.example:7602": 403, "evil.example": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/objects:describe?kind=lock&name=x", http.NoBody)
		r.Host = host
		for local, want := range map[string]int{"127.0.0.1": want, "10.0.0.1": 200} {
			ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(local)})
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r.WithContext(ctx))
			if w.Code != want {
				t.Errorf("host %s on %s: %d, not %d: %s", host, local, w.Code, want, w.Body)
			}
		}
	}
}

func TestLargeBodyIsRefused(t *testing.T) {
	g, s := stubbed(t)
	refused(t, ask(t, g, http.MethodPost, "/v1/locks:lock", fmt.Sprintf(`{"note": "%01048576d"}`, 0)), http.StatusRequestEntityTooLarge)
	if s.locked != nil {
		t.Error("a call came through")
	}
}

// A watch is one JSON object a line, each as it comes.
func TestStreamIsLines(t *testing.T) {
	g, _ := stubbed(t)
	r := ask(t, g, http.MethodGet, "/v1/objects:watch?kind=lock&name=x", "")
	lines := bufio.NewScanner(r.Body)
	for i := range 4 {
		if !lines.Scan() {
			t.Fatalf("%d lines", i)
		}
		var line struct {
			Result *struct{ Revision string }
			Error  *struct{ Message, Status string }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if i < 3 && (line.Result == nil || line.Result.Revision != fmt.Sprint(i)) || i == 3 && (line.Error == nil || line.Error.Message != "the end" || line.Error.Status != "UNAVAILABLE") {
			t.Errorf("line %d: %s", i, lines.Text())
		}
	}
}

// A client that hangs up ends its RPC. What becomes of the call is the server's.
func TestHungUpRequestEndsItsRPC(t *testing.T) {
	g, s := stubbed(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, "/v1/locks:lock", strings.NewReader(`{"names": ["wait"]}`)).WithContext(ctx)
	r.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-s.waits
	cancel()
	<-s.ended
	<-done
}

// However many calls wait: what is answered at once still is.
func TestBriefCallsDoNotQueueBehindWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := stubbed(t, grpc.MaxConcurrentStreams(1))
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequest(http.MethodPost, "/v1/locks:lock", strings.NewReader(`{"names": ["wait"]}`)).WithContext(ctx)
		r.Header.Set("Content-Type", "application/json")
		go g.ServeHTTP(httptest.NewRecorder(), r)
		<-s.waits
		if r := ask(t, g, http.MethodGet, "/v1/objects:describe?kind=lock&name=x", ""); r.StatusCode != http.StatusOK {
			t.Error(r.Status)
		}
		cancel()
		<-s.ended
	})
}
