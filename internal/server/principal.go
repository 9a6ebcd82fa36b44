package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"coordd.dev/internal/certs"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/rights"
)

// Keys of metadata. The first three are believed of other nodes only, the next two of the gateway.
const (
	principalKey   = "coordd-principal"   // whose call another node has passed on
	addressKey     = "coordd-address"     // where that client is
	nodeKey        = "coordd-node"        // and that node
	certificateKey = "coordd-certificate" // the name in the verified certificate of an HTTP client
	browserKey     = "x-forwarded-for"
	tokenKey       = "authorization"
)

// An asker is who makes a call, and what is told of that call.
type asker struct {
	id      rights.Identity
	address string
	via     string // the node that passed the call on; "" if none did

	index atomic.Uint64 // of the entry that the call made; 0 is none
}

type askerKey struct{}

// askerOf is who makes the call of ctx, nil where no interceptor was.
func askerOf(ctx context.Context) *asker {
	a, _ := ctx.Value(askerKey{}).(*asker)
	return a
}

// principalOf is whose the call of ctx is: "" without principals.
func principalOf(ctx context.Context) string {
	if a := askerOf(ctx); a != nil {
		return a.id.Principal
	}
	return ""
}

// noteIndex remembers which entry a call made.
func noteIndex(ctx context.Context, index uint64) {
	if a := askerOf(ctx); a != nil {
		a.index.Store(index)
	}
}

// bind makes a session's secret its principal's: the same secret in another's hands is another
// one, everywhere and on every node, because the log has nothing else. Without principals it
// stays what it is.
func bind(ctx context.Context, secret machine.Secret) machine.Secret {
	principal := principalOf(ctx)
	if principal == "" {
		return secret
	}
	sum := sha256.Sum256(append(secret[:], principal...))
	return machine.Secret(sum[:len(secret)])
}

// authenticate says who makes a call: whom another node says, if that passes it on; or whose
// token or certificate it comes with. known is false if it comes with neither.
func (s *Server) authenticate(ctx context.Context) (a *asker, known bool, err error) {
	a = &asker{}
	p, _ := peer.FromContext(ctx)
	if p == nil {
		p = &peer.Peer{}
	}
	if p.Addr != nil {
		a.address = p.Addr.String()
	}
	if forwarded(ctx) {
		err := s.passedOn(ctx, a)
		return a, err == nil && a.id.Principal != "", err
	}
	_, shared := p.Addr.(sharedAddr)
	if from := metadata.ValueFromIncomingContext(ctx, browserKey); shared && len(from) > 0 {
		a.address = from[0][strings.LastIndexByte(from[0], ' ')+1:] // the last is the gateway's word
	}
	if s.cfg.Rights != nil {
		if tokens := metadata.ValueFromIncomingContext(ctx, tokenKey); len(tokens) > 0 {
			err := s.byToken(a, tokens)
			return a, err == nil, err
		}
	}
	name, err := certificateOf(ctx, p, shared)
	switch {
	case err != nil || name == "":
		return a, false, err
	case s.cfg.Rights == nil:
		a.id.Principal = name
		return a, true, nil
	}
	a.id, err = s.cfg.Rights.ByCertificate(name)
	return a, err == nil, err
}

// passedOn takes another node's word for whose call it is. Of principals that this node does
// not know it takes nobody's: the nodes' files differ, and the stricter one counts.
func (s *Server) passedOn(ctx context.Context, a *asker) error {
	value := func(key string) string {
		v := metadata.ValueFromIncomingContext(ctx, key)
		if len(v) != 1 {
			return ""
		}
		text, _ := url.PathUnescape(v[0]) // or nothing
		return text
	}
	a.via, a.id.Principal = value(nodeKey), value(principalKey)
	if from := value(addressKey); from != "" {
		a.address = from
	}
	if s.cfg.Rights != nil && a.id.Principal != "" && !s.cfg.Rights.Knows(a.id.Principal) {
		return fmt.Errorf("%s, as node %s says: %w", a.id.Principal, a.via, rights.ErrUnknown)
	}
	return nil
}

func (s *Server) byToken(a *asker, values []string) error {
	scheme, secret, ok := strings.Cut(values[0], " ")
	if len(values) != 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return errors.New("the authorization is not one \"Bearer\" and a token")
	}
	id, err := s.cfg.Rights.ByToken(strings.TrimSpace(secret))
	a.id = id
	return err
}

// certificateOf is the name in the client's verified certificate, "" if it has none. HTTP
// clients have shown theirs to the gateway.
func certificateOf(ctx context.Context, p *peer.Peer, shared bool) (string, error) {
	if v := metadata.ValueFromIncomingContext(ctx, certificateKey); shared && len(v) == 1 {
		name, err := url.PathUnescape(v[0])
		if err != nil || name == "" {
			return "", errors.New("the certificate has no one name")
		}
		return name, nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", nil
	}
	return certs.Principal(&info.State)
}

// passOn puts whose call it is into the metadata of one that is passed on, in the place of what
// its client may have said of itself. The token stays here: the other node need not see it.
func (f *forwarder) passOn(ctx context.Context, out metadata.MD) {
	for _, key := range []string{principalKey, addressKey, nodeKey, certificateKey, browserKey, tokenKey} {
		out.Delete(key)
	}
	if a := askerOf(ctx); a != nil {
		out.Set(principalKey, url.PathEscape(a.id.Principal))
		out.Set(addressKey, url.PathEscape(a.address))
		out.Set(nodeKey, url.PathEscape(f.cfg.NodeID))
	}
}
