package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/audit"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/rights"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// A guardedNode is a node with a credentials file, in which each principal's token is its name,
// and an audit log.
type guardedNode struct {
	*node
	path  string
	audit *audit.Log
	lines *book
}

func principalOf(name, rules string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf(`{"name":%q,"tokens":[{"sha256":%q}],"rules":[%s]}`, name, hex.EncodeToString(sum[:]), rules)
}

func rule(kind, name, verbs, more string) string {
	return fmt.Sprintf(`{"kind":%q,"name":%q,"verbs":["%s"]%s}`, kind, name, strings.ReplaceAll(verbs, " ", `","`), more)
}

func (n *guardedNode) write(principals ...string) {
	n.t.Helper()
	text := `{"principals":[` + strings.Join(principals, ",") + `]}`
	if err := os.WriteFile(n.path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// leadingFor is leading of a node with these principals; its cluster knows how to refuse.
func leadingFor(t *testing.T, principals ...string) *guardedNode {
	t.Helper()
	return leadingWith(t, server.Quota{}, principals...)
}

// leadingWith is leadingFor of a node where each has some shares.
func leadingWith(t *testing.T, each server.Quota, principals ...string) *guardedNode {
	t.Helper()
	n := &guardedNode{node: &node{t: t}, path: filepath.Join(t.TempDir(), "credentials.json"), lines: new(book)}
	n.write(principals...)
	quiet := slog.New(slog.DiscardHandler)
	r, err := rights.Open(n.path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if n.audit, err = audit.Open(audit.Stderr, n.lines, false, quiet); err != nil {
		t.Fatal(err)
	}
	n.node = start(t, func(c *server.Config, _ *raftstore.Config) { c.Rights, c.Audit, c.PerClient = r, n.audit, each })
	t.Cleanup(func() { _ = n.audit.Close() })
	n.engine.lead()
	synctest.Wait()
	if _, _, err := n.log.Propose(t.Context(), machine.AppendCommand(nil, &machine.Upgrade{Version: machine.Version})); err != nil {
		t.Fatal(err)
	}
	return n
}

// as is the node's connection for a principal, with more metadata.
func (n *guardedNode) as(token string, more ...string) grpc.ClientConnInterface {
	return bearing{n.conn, append([]string{"authorization", "Bearer " + token}, more...)}
}

func (n *guardedNode) session(token string, instance uint64) *client {
	n.t.Helper()
	return open(n.t, coordv1.NewSessionServiceClient(n.as(token)), instance)
}

// recorded is the audit log so far.
func (n *guardedNode) recorded() (out []audit.Entry) {
	n.t.Helper()
	synctest.Wait()
	for line := range strings.Lines(n.lines.String()) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			n.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// A book may be read while it is written.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// bearing adds metadata to each call.
type bearing struct {
	grpc.ClientConnInterface
	pairs []string
}

func (b bearing) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return b.ClientConnInterface.Invoke(metadata.AppendToOutgoingContext(ctx, b.pairs...), method, args, reply, opts...)
}

func (b bearing) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return b.ClientConnInterface.NewStream(metadata.AppendToOutgoingContext(ctx, b.pairs...), desc, method, opts...)
}

func TestOpsOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", rule("lock", "team/*", "read acquire", "")+","+rule("map", "team/*", "read", "")))
		c := n.session("p", 1)
		arm := func(name string) *coordv1.Arm { return &coordv1.Arm{Kind: coordv1.Kind_KIND_LOCK, Name: name} }
		mapOp := func(v coordv1.MapVerb) *coordv1.Op {
			return &coordv1.Op{Op: &coordv1.Op_MapOp{MapOp: &coordv1.MapOp{Name: "team/m", Verb: v, Key: []byte("k"), Codec: "json"}}}
		}
		first := c.send(
			lockOp("team/a"), lockOp("foreign-1"),
			waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{arm("team/b"), arm("foreign-2")}}),
			waitOp(&coordv1.Wait{Arms: []*coordv1.Arm{arm("foreign-3"), arm("team/b")}, Commit: coordv1.Commit_COMMIT_ALL}),
			lockOp("team/b"),
			&coordv1.Op{Op: &coordv1.Op_Resize{Resize: &coordv1.Resize{Name: "foreign-4", Limit: 3}}},
			&coordv1.Op{Op: &coordv1.Op_Describe{Describe: &coordv1.Describe{Kind: coordv1.Kind_KIND_LOCK, Name: "foreign-5"}}},
			&coordv1.Op{Op: &coordv1.Op_CondWait{CondWait: &coordv1.CondWait{Target: 1, Name: "team/c", Lock: "team/a"}}},
			mapOp(coordv1.MapVerb_MAP_VERB_LOAD), mapOp(coordv1.MapVerb_MAP_VERB_STORE),
			endOp(5), endOp(1),
		)
		for i, code := range []coordv1.Code{
			coordv1.Code_CODE_GRANTED, coordv1.Code_CODE_FORBIDDEN, coordv1.Code_CODE_FORBIDDEN, coordv1.Code_CODE_FORBIDDEN,
			coordv1.Code_CODE_GRANTED, coordv1.Code_CODE_FORBIDDEN, coordv1.Code_CODE_FORBIDDEN, coordv1.Code_CODE_FORBIDDEN,
			coordv1.Code_CODE_DONE, coordv1.Code_CODE_FORBIDDEN, coordv1.Code_CODE_DONE, coordv1.Code_CODE_DONE,
		} {
			c.want(first+uint64(i), code)
		}
		n.engine.mu.Lock()
		for _, entry := range n.engine.entries {
			if bytes.Contains(entry, []byte("foreign")) {
				t.Errorf("something that was refused is in the log: %q", entry)
			}
		}
		n.engine.mu.Unlock()
		refused := 0
		for _, e := range n.recorded() {
			if e.Decision == audit.Refused {
				refused++
			}
		}
		if refused != 7 {
			t.Errorf("%d refusals are in the audit log", refused)
		}
	})
}

// A retry is answered by what its first try became, whatever may have been taken away since.
func TestRetryOutlivesItsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", rule("lock", "*", "acquire", "")))
		c := n.session("p", 1)
		c.want(c.send(lockOp("a")), coordv1.Code_CODE_GRANTED)
		n.write(principalOf("p", ""))
		time.Sleep(time.Second)
		c.want(c.send(lockOp("b")), coordv1.Code_CODE_FORBIDDEN)
		if _, err := c.attach(&coordv1.Attach{SessionId: c.id, Wanted: []*coordv1.SeqRange{{First: 1, Last: 1}}}); err != nil {
			t.Fatal(err)
		}
		c.want(1, coordv1.Code_CODE_GRANTED)
		op := lockOp("a")
		op.Seq = 1
		c.sendFrame(frame(op))
		c.want(1, coordv1.Code_CODE_GRANTED)
		op = lockOp("b")
		op.Seq = 2
		c.sendFrame(frame(op))
		c.want(2, coordv1.Code_CODE_OVER) // to be asked anew, and then refused again
		c.want(c.send(endOp(1)), coordv1.Code_CODE_DONE)
	})
}

// A cluster that does not know how to refuse an op has it be invalid.
func TestRefusalsOfAnOlderCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "credentials.json")
		g := &guardedNode{node: &node{t: t}, path: path}
		g.write(principalOf("p", rule("lock", "a", "acquire", "")))
		r, err := rights.Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		g.node = start(t, func(c *server.Config, _ *raftstore.Config) { c.Rights = r })
		g.engine.lead()
		synctest.Wait()
		c := g.session("p", 1)
		c.want(c.send(lockOp("b")), coordv1.Code_CODE_INVALID)
		c.want(c.send(lockOp("a")), coordv1.Code_CODE_GRANTED)
	})
}

// A session is its principal's, even for who has its id, its secret and its instance.
func TestSessionsAreOfPrincipals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := rule("*", "*", "admin", "")
		n := leadingFor(t, principalOf("p", all), principalOf("q", all))
		c := n.session("p", 1)
		c.want(c.send(lockOp("a")), coordv1.Code_CODE_GRANTED)

		thief := *c
		thief.api = coordv1.NewSessionServiceClient(n.as("q"))
		_, err := thief.attach(&coordv1.Attach{SessionId: c.id})
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		thief.epoch++
		_, err = thief.attach(&coordv1.Attach{ReplacesId: c.id, ReplacesSecret: c.secret(), Ttl: durationpb.New(testTTL)})
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		renew := func(token string) coordv1.Renewal {
			r, err := coordv1.NewSessionServiceClient(n.as(token)).Renew(t.Context(), &coordv1.RenewRequest{Leases: []*coordv1.Lease{c.lease()}})
			if err != nil {
				t.Fatal(err)
			}
			return r.GetRenewals()[0]
		}
		if got := renew("q"); got != coordv1.Renewal_RENEWAL_OVER {
			t.Errorf("the thief's renewal: %v", got)
		}
		if got := renew("p"); got != coordv1.Renewal_RENEWAL_RENEWED {
			t.Errorf("the owner's renewal: %v", got)
		}

		opened, err := coordv1.NewSessionServiceClient(n.as("p")).OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		lock := &coordv1.LockRequest{Lease: opened.GetLease(), RequestId: "r", Names: []string{"b"}}
		_, err = coordv1.NewLockServiceClient(n.as("q")).Lock(t.Context(), lock)
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
		if _, err = coordv1.NewLockServiceClient(n.as("p")).Lock(t.Context(), lock); err != nil {
			t.Error(err)
		}
		_, err = coordv1.NewSessionServiceClient(n.as("q")).CloseSession(t.Context(), &coordv1.CloseSessionRequest{Lease: opened.GetLease()})
		wantReason(t, err, coordv1.Reason_REASON_NOT_YOURS)
	})
}

// Whose call it is only another node may say.
func TestNobodySaysWhoTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", ""), principalOf("root", rule("*", "*", "admin", "")))
		claims := []string{"coordd-principal", "root", "coordd-address", "10.0.0.1:1", "coordd-node", "n2", "coordd-certificate", "root"}
		list := func(conn grpc.ClientConnInterface) error {
			_, err := coordv1.NewSessionServiceClient(conn).ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
			return err
		}
		wantReason(t, list(bearing{n.conn, claims}), coordv1.Reason_REASON_UNAUTHENTICATED)
		wantReason(t, list(n.as("p", claims...)), coordv1.Reason_REASON_FORBIDDEN)
		wantReason(t, list(n.as("p", "authorization", "Bearer root")), coordv1.Reason_REASON_UNAUTHENTICATED)
		for _, e := range n.recorded() {
			if e.Principal == "root" || e.Address == "10.0.0.1:1" || e.Via != "" {
				t.Errorf("believed: %+v", e)
			}
		}

		lis := bufconn.Listen(1 << 16)
		served := make(chan error, 1)
		go func() { served <- n.server.Serve(server.Passed(lis)) }()
		defer func() { _ = lis.Close(); <-served }()
		peer := dial(t, lis)
		defer peer.Close()
		if err := list(bearing{peer, claims}); err != nil {
			t.Errorf("another node is not believed: %v", err)
		}
		wantReason(t, list(bearing{peer, []string{"coordd-principal", "stranger"}}), coordv1.Reason_REASON_UNAUTHENTICATED)
		wantReason(t, list(bearing{peer, []string{"authorization", "Bearer root"}}), coordv1.Reason_REASON_UNAUTHENTICATED)
		_, err := coordv1.NewSessionServiceClient(bearing{peer, []string{"coordd-principal", "p", "coordd-address", "10.0.0.1:1", "coordd-node", "n2"}}).
			ListSessions(t.Context(), &coordv1.ListSessionsRequest{})
		wantReason(t, err, coordv1.Reason_REASON_FORBIDDEN)
		all := n.recorded()
		if e := all[len(all)-1]; e.Principal != "p" || e.Address != "10.0.0.1:1" || e.Via != "n2" {
			t.Errorf("recorded of another node's: %+v", e)
		}
	})
}

// What proved who is at the other end of a stream must go on proving it.
func TestStreamsOutlastNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", rule("*", "*", "read acquire", "")))
		c := n.session("p", 1)
		watch, err := coordv1.NewInspectServiceClient(n.as("p")).Watch(t.Context(), &coordv1.WatchRequest{Kind: coordv1.Kind_KIND_LOCK, Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
		n.write(principalOf("p", rule("*", "*", "acquire", "")))
		time.Sleep(time.Second)
		c.want(c.send(lockOp("a")), coordv1.Code_CODE_GRANTED)
		_, err = watch.Recv()
		wantReason(t, err, coordv1.Reason_REASON_FORBIDDEN)
		n.write(principalOf("q", ""))
		time.Sleep(time.Second)
		c.send(lockOp("b"))
		c.wantEnd(coordv1.Reason_REASON_UNAUTHENTICATED)
	})
}

func TestWhatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("root", rule("*", "*", "admin", "")))
		c := n.session("root", 1)
		c.want(c.send(&coordv1.Op{Op: &coordv1.Op_Resize{Resize: &coordv1.Resize{Name: "s", Limit: 3}}}, lockOp("a")), coordv1.Code_CODE_DONE)
		opened, err := coordv1.NewSessionServiceClient(n.as("root")).OpenSession(t.Context(), &coordv1.OpenSessionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("session/%016x", opened.GetLease().GetSessionId())
		if _, err := coordv1.NewSessionServiceClient(n.as("root")).RevokeSession(t.Context(),
			&coordv1.RevokeSessionRequest{SessionId: opened.GetLease().GetSessionId()}); err != nil {
			t.Fatal(err)
		}
		var got []string
		indexes := []uint64{}
		for _, e := range n.recorded() {
			got = append(got, strings.TrimSpace(e.Verb+" "+e.Resource))
			indexes = append(indexes, e.Index)
			if e.Principal != "root" || e.Decision != audit.Allowed || e.Address == "" {
				t.Errorf("%+v", e)
			}
		}
		want := []string{fmt.Sprintf("session/%016x", c.id), "admin semaphore/s", id, "admin " + id}
		if !slices.Equal(got, want) || !slices.IsSorted(indexes) || indexes[0] == 0 {
			t.Errorf("%q at %v, not %q", got, indexes, want)
		}
	})
}
