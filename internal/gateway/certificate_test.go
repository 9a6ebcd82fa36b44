package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http/httptest"
	"net/url"
	"testing"
)

// The name in a verified certificate goes on with a call; of one with no one name, nobody's does.
func TestCertificate(t *testing.T) {
	id := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/p"}
	named := &x509.Certificate{Subject: pkix.Name{CommonName: "p q"}}
	for _, c := range []struct {
		what string
		tls  *tls.ConnectionState
		want []string
	}{
		{"plain text", nil, nil},
		{"no certificate", &tls.ConnectionState{}, nil},
		{"one that was not verified", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{named}}, nil},
		{"a common name", verified(named), []string{"p%20q"}},
		{"a URI", verified(&x509.Certificate{URIs: []*url.URL{id}, Subject: named.Subject}), []string{"spiffe:%2F%2Fexample.org%2Fp"}},
		{"two URIs", verified(&x509.Certificate{URIs: []*url.URL{id, id}}), []string{""}},
	} {
		r := httptest.NewRequest("GET", "/v1/objects", nil)
		r.TLS = c.tls
		got := certificate(t.Context(), r).Get(certificateKey)
		if len(got) != len(c.want) || len(got) == 1 && got[0] != c.want[0] {
			t.Errorf("%s: %q, not %q", c.what, got, c.want)
		}
	}
	for _, header := range []string{"Coordd-Certificate", "Grpc-Metadata-Coordd-Certificate", "Coordd-Principal", "Grpc-Metadata-Coordd-Principal"} {
		if key, ok := passedOn(header); ok {
			t.Errorf("the header %s goes on as %s", header, key)
		}
	}
}

func verified(c *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
}
