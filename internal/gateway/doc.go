// Package gateway serves coord.v1 as JSON over HTTP, for what speaks no gRPC: it turns each
// request into a call to the node's own gRPC server, over connections in memory, so that
// interceptors, limits and the way to the leader are the same for all.
//
// Invariants:
//
//  1. It decides nothing and keeps nothing. A request that ends early ends its RPC, and by
//     that no call that is parked (SEMANTICS B6).
//  2. A web page cannot use it: what changes anything is POST with a Content-Type of
//     application/json, which a page of another origin cannot send unasked, and there is
//     nobody to ask (no CORS); what browsers mark as cross-origin is refused; and on
//     loopback so is a Host that is a domain, which a page can have point here.
//  3. Of a request's headers the trace context goes on, and what grpc-gateway always passes
//     (Authorization, X-Forwarded-*). A client cannot mark its call as passed on by a node.
//  4. A body has at most 1 MiB and 10 s, whatever the method.
//  5. What is answered at once never waits behind what waits or watches: that has a
//     connection of its own.
//
// The generated half, in coordv1, is by protoc-gen-grpc-gateway from the .proto files and
// http.yaml beside them. It is not part of api: clients would have to carry it.
package gateway
