package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

const (
	maxToken  = 4096        // bytes of a token's file
	tokenLook = time.Second // how often the file is looked at, at most
)

// errPlain is why a token is not sent.
var errPlain = errors.New("a token goes over TLS, or to loopback")

// WithCredentialsFile sends the bearer token that is in a file (coordctl token new makes one)
// with every call, and reads it again when it changes. It is never sent in plain text beyond
// loopback, not even with [WithInsecure].
func WithCredentialsFile(path string) Option {
	return networkOption(func(n *network) { n.credentials = path })
}

// TokenFile is what [WithCredentialsFile] gives gRPC, for programs that use its stubs
// themselves: grpc.WithPerRPCCredentials takes it. A file without a token is an error.
func TokenFile(path string) (credentials.PerRPCCredentials, error) {
	f := &tokenFile{path: path}
	if err := f.look(time.Now()); err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	return f, nil
}

// A tokenFile keeps the last token that it could read: a file is gone for a moment when
// another takes its place.
type tokenFile struct {
	path string

	mu     sync.Mutex
	looked time.Time
	token  string
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (f *tokenFile) GetRequestMetadata(ctx context.Context, audience ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) != nil && !toLoopback(audience) {
		return nil, errPlain
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= tokenLook {
		_ = f.look(now) // or the last one is as good as any
	}
	return map[string]string{"authorization": "Bearer " + f.token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: GetRequestMetadata does it,
// which knows more.
func (f *tokenFile) RequireTransportSecurity() bool { return false }

// look reads the file.
func (f *tokenFile) look(now time.Time) error {
	f.looked = now
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(data))
	printable := !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	if token == "" || len(token) > maxToken || !printable {
		return fmt.Errorf("%w: %s has no token: one line without spaces", ErrInvalid, f.path)
	}
	f.token = token
	return nil
}

// toLoopback reports whether a call is to this machine.
func toLoopback(audience []string) bool {
	if len(audience) != 1 {
		return false
	}
	u, err := url.Parse(audience[0])
	return err == nil && onLoopback(u.Hostname())
}

// onLoopback reports whether a host is this machine's. Of names it believes one.
func onLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// permits refuses plain text to an address beyond loopback. It is asked for a leader's
// address too, which a node, not the user, has named.
func (n network) permits(addr string) error {
	if n.tls != nil || n.insecure && n.credentials == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return fmt.Errorf("%w: endpoint %q is not host:port", ErrInvalid, addr)
	case onLoopback(host):
		return nil
	case n.insecure:
		return fmt.Errorf("%w: %s is not on loopback: %w", ErrInvalid, addr, errPlain)
	}
	return fmt.Errorf("%w: %s is not on loopback: it needs WithTLS, or WithInsecure for plain text", ErrInvalid, addr)
}
