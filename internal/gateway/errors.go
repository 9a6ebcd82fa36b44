package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// An errorBody is what every refusal has as its body, under "error".
type errorBody struct {
	// Code and Status are gRPC's: 10 and "ABORTED".
	Code   int    `json:"code"`
	Status string `json:"status"`
	// Reason is a coord.v1.Reason without its prefix; empty for what has none.
	Reason string `json:"reason"`
	// Message reads "what: why; what next".
	Message  string            `json:"message"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Details are the other details, each with its @type: a Description, for example.
	Details []json.RawMessage `json:"details,omitempty"`
}

func bodyOf(st *status.Status) errorBody {
	body := errorBody{Code: int(st.Code()), Status: nameOf(st.Code()), Message: st.Message()}
	for i, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			body.Reason, body.Metadata = info.GetReason(), info.GetMetadata()
			continue
		}
		if _, ok := d.(proto.Message); !ok {
			continue // of a type that this version does not know
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(st.Proto().GetDetails()[i])
		if err == nil {
			body.Details = append(body.Details, text)
		}
	}
	if body.Reason == "" && st.Code() == codes.InvalidArgument {
		// What could not be decoded never came to the server.
		body.Reason = "INVALID"
	}
	return body
}

// nameOf writes a code as gRPC's documents do.
func nameOf(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' && c != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// writeError answers with an error of an RPC, or of what came before it.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	st := status.Convert(err)
	body := bodyOf(st)
	if st.Code() == codes.InvalidArgument && len(st.Details()) == 0 {
		body.Message = "request: " + body.Message + "; correct it"
	}
	for _, d := range st.Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(retry.GetRetryDelay().AsDuration().Seconds()+1)))
		}
	}
	write(w, runtime.HTTPStatusFromCode(st.Code()), body)
}

// A marshaler is JSONPb, but for the error that ends a stream: it has the form of all
// others, on one line.
type marshaler struct{ *runtime.JSONPb }

// Marshal implements runtime.Marshaler.
func (m marshaler) Marshal(v any) ([]byte, error) {
	if chunk, ok := v.(map[string]proto.Message); ok {
		if st, ok := chunk["error"].(*statuspb.Status); ok {
			return json.Marshal(map[string]errorBody{"error": bodyOf(status.FromProto(st))})
		}
	}
	return m.JSONPb.Marshal(v)
}

func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	switch code {
	case http.StatusNotFound:
		refuse(w, code, codes.Unimplemented, "request: there is no "+strconv.Quote(r.URL.Path)+"; docs/api.md lists what there is")
	case http.StatusMethodNotAllowed:
		refuse(w, code, codes.Unimplemented, "request: not by "+strconv.Quote(r.Method)+"; what changes anything is POST, what reads is GET")
	default:
		refuse(w, code, codes.InvalidArgument, "request: malformed; docs/api.md has examples")
	}
}

// Anonymous answers who has not shown who it is.
func Anonymous(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	refuse(w, http.StatusUnauthorized, codes.Unauthenticated,
		"request: it came without a client certificate; give one that a CA of --trusted-ca-file has signed")
}

// Unavailable answers that there is nothing to serve requests yet, or any more.
func Unavailable(w http.ResponseWriter, why error) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, codes.Unavailable, "node: not ready: "+why.Error()+"; try again, or another node")
}

func write(w http.ResponseWriter, code int, body errorBody) {
	text, err := json.MarshalIndent(map[string]errorBody{"error": body}, "", "  ")
	if err != nil {
		text = []byte(`{"error": {"message": "the error could not be written"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // whoever asked may have gone
}
