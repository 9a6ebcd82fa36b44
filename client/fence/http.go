package fence

import (
	"fmt"
	"net/http"

	"coordd.dev/client"
	"coordd.dev/client/fence/internal/carried"
)

// Header carries the innermost token of a request's ctx, in decimal. Package
// fence/grpcfence does the same with metadata of that name, lower case. It is sent
// where asked only, never as baggage, and accepted from callers you trust only: a
// forged great token would lock the resource for everyone.
const Header = "Fencing-Token"

// Transport adds Header to requests whose ctx carries a token. Whatever its client is
// redirected to gets the token too.
type Transport struct{ Base http.RoundTripper } // nil is http.DefaultTransport

// RoundTrip sends r with the header, in place of one that r has.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if token, _ := client.TokenFrom(r.Context()); token != 0 {
		r = r.Clone(r.Context()) // a RoundTripper leaves its caller's alone
		if r.Header == nil {
			r.Header = make(http.Header)
		}
		r.Header.Set(Header, token.String())
	}
	return base.RoundTrip(r)
}

// Handler puts Header into the request's ctx, for [client.TokenFrom]. A malformed
// one is answered 400, and so is one that is there twice. A request without it comes
// through, without a token, which every check refuses.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok, err := carried.Token(r.Header.Values(Header))
		if err != nil {
			http.Error(w, fmt.Sprintf("header %s: %v", Header, err), http.StatusBadRequest)
			return
		}
		if ok {
			r = r.WithContext(client.ContextWithToken(r.Context(), token))
		}
		next.ServeHTTP(w, r)
	})
}
