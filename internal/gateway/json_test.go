package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// A recorder answers what it is told to, and keeps what it was asked.
type recorder struct {
	asked  proto.Message
	answer proto.Message
}

// serve answers any method whatever the request.
func (r *recorder) serve(t *testing.T) http.Handler {
	t.Helper()
	return serve(t, func(srv *grpc.Server) {
		for _, service := range []*grpc.ServiceDesc{
			&coordv1.ChannelService_ServiceDesc, &coordv1.WaitGroupService_ServiceDesc, &coordv1.OnceService_ServiceDesc,
			&coordv1.CondService_ServiceDesc, &coordv1.MapService_ServiceDesc, &coordv1.SelectService_ServiceDesc,
			&coordv1.ObjectService_ServiceDesc,
		} {
			srv.RegisterService(&grpc.ServiceDesc{
				ServiceName: service.ServiceName, HandlerType: (*any)(nil), Methods: service.Methods,
			}, everything{})
		}
	}, grpc.UnaryInterceptor(func(_ context.Context, req any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		r.asked, _ = req.(proto.Message)
		if r.answer == nil {
			return nil, status.Error(codes.Internal, "nothing was to be asked")
		}
		return r.answer, nil
	}))
}

// everything implements all services; its methods are never called.
type everything struct {
	coordv1.ChannelServiceServer
	coordv1.WaitGroupServiceServer
	coordv1.OnceServiceServer
	coordv1.CondServiceServer
	coordv1.MapServiceServer
	coordv1.SelectServiceServer
	coordv1.ObjectServiceServer
}

// What a shell writes is understood, and what it reads is this, to the letter.
func TestJSONOfEveryService(t *testing.T) {
	tests := map[string]struct {
		target, body string
		asked        proto.Message
		answer       proto.Message
		json         string
	}{
		"send": {
			target: "/v1/channels:send",
			body:   `{"request_id": "1", "name": "jobs", "element": "am9i", "capacity": 10, "codec": "json", "priority": -1}`,
			asked: &coordv1.SendRequest{
				RequestId: "1", Name: "jobs", Element: []byte("job"), Capacity: proto.Int64(10), Codec: "json", Priority: -1,
			},
			answer: &coordv1.SendResponse{}, json: `{}`,
		},
		"a capacity of 0 is one, and none is none": {
			target: "/v1/channels:close", body: `{"name": "jobs", "capacity": "0"}`,
			asked:  &coordv1.CloseChannelRequest{Name: "jobs", Capacity: proto.Int64(0)},
			answer: &coordv1.CloseChannelResponse{}, json: `{}`,
		},
		"receive": {
			target: "/v1/channels:receive", body: `{"name": "jobs", "acknowledge": true}`,
			asked:  &coordv1.ReceiveRequest{Name: "jobs", Acknowledge: true},
			answer: &coordv1.ReceiveResponse{Element: []byte("job"), Token: 1 << 60, Attempt: 2},
			json:   `{"element":"am9i","token":"1152921504606846976","attempt":"2"}`,
		},
		"acknowledge": {
			target: "/v1/channels:acknowledge", body: `{"delivery": "1", "request_id": "2"}`,
			asked:  &coordv1.AcknowledgeRequest{Delivery: "1", RequestId: "2"},
			answer: &coordv1.AcknowledgeResponse{}, json: `{}`,
		},
		"add": {
			target: "/v1/waitgroups:add", body: `{"name": "round", "delta": -3}`,
			asked:  &coordv1.AddRequest{Name: "round", Delta: -3},
			answer: &coordv1.AddResponse{Count: 4}, json: `{"count":"4"}`,
		},
		"begin": {
			target: "/v1/onces:begin", body: `{"name": "init", "result_only": true}`,
			asked:  &coordv1.BeginRequest{Name: "init", ResultOnly: true},
			answer: &coordv1.BeginResponse{End: coordv1.OnceEnd_ONCE_END_RETURNED, Result: []byte("x")},
			json:   `{"token":"0","end":"ONCE_END_RETURNED","result":"eA=="}`,
		},
		"await a signal": {
			target: "/v1/conds:await", body: `{"request_id": "2", "name": "full", "hold": "1", "lock": "queue", "wait_limit": "2s"}`,
			asked:  &coordv1.AwaitSignalRequest{RequestId: "2", Name: "full", Hold: "1", Lock: "queue", WaitLimit: durationpb.New(2e9)},
			answer: &coordv1.AwaitSignalResponse{Token: 7}, json: `{"token":"7"}`,
		},
		"broadcast": {
			target: "/v1/conds:broadcast", body: `{"name": "full"}`,
			asked:  &coordv1.BroadcastRequest{Name: "full"},
			answer: &coordv1.BroadcastResponse{Woken: 2}, json: `{"woken":"2"}`,
		},
		"load": {
			target: "/v1/maps:load?name=config&key=Y29sb3I%3D&stale=true",
			asked:  &coordv1.LoadRequest{Name: "config", Key: []byte("color"), Stale: true},
			answer: &coordv1.LoadResponse{Found: true, Value: []byte("red"), Revision: 3, Index: 9},
			json:   `{"found":true,"value":"cmVk","revision":"3","index":"9"}`,
		},
		"range": {
			target: "/v1/maps:range?name=config",
			asked:  &coordv1.RangeRequest{Name: "config"},
			answer: &coordv1.RangeResponse{Entries: []*coordv1.MapEntry{{Key: []byte("color"), Value: []byte("red"), Revision: 3}}, Revision: 3, Index: 9},
			json:   `{"entries":[{"key":"Y29sb3I=","value":"cmVk","revision":"3"}],"revision":"3","index":"9"}`,
		},
		"update": {
			target: "/v1/maps:update", body: `{"request_id": "1", "op": {"name": "config", "verb": "MAP_VERB_SWAP", "key": "Y29sb3I=", "value": "cmVk"}}`,
			asked: &coordv1.UpdateRequest{RequestId: "1", Op: &coordv1.MapOp{
				Name: "config", Verb: coordv1.MapVerb_MAP_VERB_SWAP, Key: []byte("color"), Value: []byte("red"),
			}},
			answer: &coordv1.UpdateResponse{Found: true, Previous: []byte("blue")}, json: `{"found":true,"previous":"Ymx1ZQ==","cleared":"0"}`,
		},
		"select": {
			target: "/v1/objects:select",
			body:   `{"arms": [{"kind": "KIND_CHAN", "name": "jobs", "side": "SIDE_RECEIVE", "limit": -1}, {"kind": "KIND_LOCK", "name": "x"}], "in_order": true}`,
			asked: &coordv1.SelectRequest{InOrder: true, Arms: []*coordv1.Arm{
				{Kind: coordv1.Kind_KIND_CHAN, Name: "jobs", Side: coordv1.Side_SIDE_RECEIVE, Limit: -1}, {Kind: coordv1.Kind_KIND_LOCK, Name: "x"},
			}},
			answer: &coordv1.SelectResponse{Arm: 1, Token: 5}, json: `{"arm":1,"token":"5","data":"","attempt":"0","end":"ONCE_END_UNSPECIFIED"}`,
		},
		"delete": {
			target: "/v1/objects:delete", body: `{"request_id": "1", "kind": "KIND_MAP", "name": "config"}`,
			asked:  &coordv1.DeleteObjectRequest{RequestId: "1", Kind: coordv1.Kind_KIND_MAP, Name: "config"},
			answer: &coordv1.DeleteObjectResponse{}, json: `{}`,
		},
	}
	r := &recorder{}
	g := r.serve(t)
	for what, test := range tests {
		method := http.MethodPost
		if test.body == "" {
			method = http.MethodGet
		}
		r.asked, r.answer = nil, test.answer
		wantBody(t, ask(t, g, method, test.target, test.body), test.json)
		if !proto.Equal(r.asked, test.asked) {
			t.Errorf("%s: understood as %v, not %v", what, r.asked, test.asked)
		}
	}
}
