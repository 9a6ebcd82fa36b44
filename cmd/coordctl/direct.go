package main

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/certs"
)

// errorDomain is the domain of coordd's own ErrorInfos.
const errorDomain = "coordd.dev"

// metaMember is the key for the member that has the address of the node that was to be added.
const metaMember = "member"

// errOutside says that a node is of no cluster yet, so that another one has to be asked.
var errOutside = errors.New("waits to be added to its cluster")

// node calls f with a connection to one endpoint.
func (a *app) node(ctx context.Context, endpoint string, f func(context.Context, grpc.ClientConnInterface) error) error {
	conn, err := a.dial(endpoint)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, conn)
}

func (a *app) dial(endpoint string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if a.secured.conf != nil {
		creds = credentials.NewTLS(a.secured.conf)
	}
	options, err := a.withToken([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)), // a list of many sessions
	})
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("passthrough:///"+endpoint, options...)
}

// Nodes are the endpoints of one invocation. A connection to one is made when it is
// needed and kept, for there may be many pages. One goroutine uses them.
type nodes struct {
	app     *app
	targets []string
	conns   []*grpc.ClientConn // by target; nil: not needed yet
	at      int                // the target that is asked first: it answered last
}

// nodes are to be closed.
func (a *app) nodes() (*nodes, error) {
	targets, err := a.targets()
	if err != nil {
		return nil, &failure{what: err.Error(), next: "write host:port[,host:port...]", code: exitUsage}
	}
	return &nodes{app: a, targets: targets, conns: make([]*grpc.ClientConn, len(targets))}, nil
}

func (n *nodes) close() {
	for _, conn := range n.conns {
		if conn != nil {
			_ = conn.Close() // fails only if it is closed already
		}
	}
}

// conn is the connection to the target that is asked first.
func (n *nodes) conn() (*grpc.ClientConn, error) {
	if n.conns[n.at] == nil {
		conn, err := n.app.dial(n.targets[n.at])
		if err != nil {
			return nil, err
		}
		n.conns[n.at] = conn
	}
	return n.conns[n.at], nil
}

// next has another target asked first. The connection is given up: gRPC would let longer
// and longer pass before it dials one anew that failed.
func (n *nodes) next() {
	if conn := n.conns[n.at]; conn != nil {
		_ = conn.Close() // fails only if it is closed already
		n.conns[n.at] = nil
	}
	n.at = (n.at + 1) % len(n.targets)
}

func (n *nodes) String() string { return strings.Join(n.targets, ",") }

// ask calls f with one endpoint after another, each with its share of the time that is
// left, until one answers. An answer is also a refusal, but not "no leader": the next
// node may know one.
func (n *nodes) ask(ctx context.Context, what string, f func(context.Context, grpc.ClientConnInterface) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(n.app.timeout))
	defer cancel()
	unheard := false // a try may have been carried out
	var failed error // the last of those that say most
	for left := len(n.targets); left > 0; left-- {
		err := n.try(ctx, left, f)
		if err == nil {
			return nil
		}
		if failed == nil || telling(err) >= telling(failed) {
			failed = err
		}
		if !elsewhere(err) {
			failed = err
			break
		}
		unheard = unheard || mayHaveHappened(err)
		n.next()
	}
	fail := callError(what, n.String(), failed)
	fail.unheard = unheard
	return fail
}

// telling ranks the errors of several nodes by how much they say: what a coordd said goes before
// what TLS did, and that before what the network did.
func telling(err error) int {
	switch {
	case reason(err) != coordv1.Reason_REASON_UNSPECIFIED:
		return 2
	case certs.FaultOf(status.Convert(err).Message()) != "":
		return 1
	default:
		return 0
	}
}

// try gives the endpoint that is first an equal share with others that are left.
func (n *nodes) try(ctx context.Context, left int, f func(context.Context, grpc.ClientConnInterface) error) error {
	conn, err := n.conn()
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // ask gives one
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
	defer cancel()
	return f(ctx, conn)
}

// anyNode asks the nodes for one thing.
func (a *app) anyNode(ctx context.Context, what string, f func(context.Context, grpc.ClientConnInterface) error) error {
	n, err := a.nodes()
	if err != nil {
		return err
	}
	defer n.close()
	return n.ask(ctx, what, f)
}

// changing is the error of a call that changes something, which may have happened.
func changing(err error) error {
	f, ok := errors.AsType[*failure](err)
	if !ok || !f.unheard {
		return err
	}
	switch f.code {
	case exitNotFound:
		f.next = "or it was there, and a first try that was not answered has done it"
	case exitUnavailable, exitTimeout:
		f.next = outcomeUnknown
	}
	return f
}

// outcomeUnknown is what to do next.
const outcomeUnknown = "it may have happened or not; look before you repeat it"

// elsewhere reports whether another node may do better.
func elsewhere(err error) bool {
	if errors.Is(err, errOutside) {
		return true
	}
	switch reason(err) {
	case coordv1.Reason_REASON_NO_LEADER, coordv1.Reason_REASON_STOPPING, coordv1.Reason_REASON_OVERLOADED,
		coordv1.Reason_REASON_RESTORED:
		return true
	default:
		code := status.Code(err)
		return code == codes.Unavailable || code == codes.DeadlineExceeded
	}
}

// mayHaveHappened reports whether a node may have done what was asked although it did
// not say so: not if it refused, or could not be connected to.
func mayHaveHappened(err error) bool {
	if reason(err) != coordv1.Reason_REASON_UNSPECIFIED {
		return false
	}
	s := status.Convert(err)
	if certs.FaultOf(s.Message()) != "" { // there was no connection
		return false
	}
	return s.Code() == codes.DeadlineExceeded || s.Code() == codes.Unavailable && !strings.Contains(s.Message(), "while dialing")
}

// reason is coordd's own reason for a refusal, unspecified if err has none.
func reason(err error) coordv1.Reason {
	return coordv1.Reason(coordv1.Reason_value["REASON_"+refusalIn(err).GetReason()])
}

// refusalIn is the ErrorInfo in a coordd's refusal; nil if err is none.
func refusalIn(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			return info
		}
	}
	return nil
}

// callError gives a failed call its words and its exit code.
func callError(what, targets string, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f // it was not even made
	}
	if errors.Is(err, errOutside) {
		return &failure{what: what, why: "the node at " + targets + " " + err.Error(), next: "name a member in --endpoints", code: exitUnavailable}
	}
	s := status.Convert(err)
	message := clean(s.Message()) // it may name what anybody could choose
	f := &failure{what: what, why: message, code: exitFailed}
	if head, why, ok := strings.Cut(message, ": "); ok && strings.HasSuffix(what, head) {
		f.why = why // a node's errors begin as ours do, with what was asked for
	}
	switch reason(err) {
	case coordv1.Reason_REASON_INVALID, coordv1.Reason_REASON_NOT_YOURS, coordv1.Reason_REASON_LIMIT,
		coordv1.Reason_REASON_OLD_EPOCH, coordv1.Reason_REASON_GAP, coordv1.Reason_REASON_MISMATCH, coordv1.Reason_REASON_CALL_OVER,
		coordv1.Reason_REASON_CLOSED, coordv1.Reason_REASON_DEADLOCK, coordv1.Reason_REASON_UNAUTHENTICATED,
		coordv1.Reason_REASON_FORBIDDEN, coordv1.Reason_REASON_UNFIT:
		f.code = exitRefused
		return f
	case coordv1.Reason_REASON_BUSY:
		f.code = exitHeld
		return f
	case coordv1.Reason_REASON_TIMED_OUT:
		f.code = exitTimeout
		return f
	case coordv1.Reason_REASON_NOT_FOUND, coordv1.Reason_REASON_SESSION_OVER:
		f.code = exitNotFound
		return f
	case coordv1.Reason_REASON_NO_LEADER, coordv1.Reason_REASON_STOPPING, coordv1.Reason_REASON_OVERLOADED,
		coordv1.Reason_REASON_RESTORED:
		if f.code = exitUnavailable; !strings.Contains(f.why, "; ") { // else the node says what to do
			f.next = "try again"
		}
		return f
	case coordv1.Reason_REASON_UNKNOWN_OUTCOME:
		f.next = outcomeUnknown
		return f
	case coordv1.Reason_REASON_CUT_SHORT:
		return f
	case coordv1.Reason_REASON_UNSPECIFIED:
	}
	switch s.Code() {
	case codes.Unavailable:
		f.what, f.why, f.next, f.code = "no coordd at "+targets, fault(message), nextFor(message), exitUnavailable
	case codes.DeadlineExceeded:
		f.why, f.code = "no answer from "+targets+" in time", exitTimeout
	case codes.NotFound:
		f.code = exitNotFound
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.ResourceExhausted:
		f.code = exitRefused
	default:
		if errors.Is(err, context.Canceled) || s.Code() == codes.Canceled {
			f.why = "cancelled"
		}
	}
	return f
}

// fault takes the last and plainest part of a transport's error: "connection error:
// desc = ... dial tcp 127.0.0.1:1: connect: connection refused" is the last two words.
func fault(message string) string {
	if f := certs.FaultOf(message); f != "" {
		return string(f)
	}
	message = strings.Trim(message, `"`)
	if i := strings.LastIndex(message, ": "); i >= 0 {
		message = message[i+2:]
	}
	return strings.Trim(message, `"`)
}
