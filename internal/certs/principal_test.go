package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestPrincipal(t *testing.T) {
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	named := func(cn string, uris ...*url.URL) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, URIs: uris}
	}
	for name, tt := range map[string]struct {
		leaf *x509.Certificate
		want string // empty: nobody
	}{
		"common name":         {named("alice"), "alice"},
		"URI before it":       {named("alice", uri("spiffe://x/y")), "spiffe://x/y"},
		"URI alone":           {named("", uri("spiffe://x/y")), "spiffe://x/y"},
		"two URIs":            {named("alice", uri("spiffe://x/y"), uri("spiffe://x/z")), ""},
		"neither":             {named(""), ""},
		"a control character": {named("al\x00ice"), ""},
		"a long one":          {named(strings.Repeat("a", 257)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Principal(&tls.ConnectionState{
				PeerCertificates: []*x509.Certificate{tt.leaf}, VerifiedChains: [][]*x509.Certificate{{tt.leaf}},
			})
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoPrincipal) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS": nil, "no certificate": {}, "not verified": {PeerCertificates: []*x509.Certificate{named("alice")}},
	} {
		if got, err := Principal(state); got != "" || !errors.Is(err, ErrNoPrincipal) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What is issued speaks for whom it names.
func TestIssuedPrincipal(t *testing.T) {
	s := newShelf(t)
	server := s.open(s.issue("n1", s.ca, Subject{Hosts: node})).Server(tls.VerifyClientCertIfGiven)
	for want, subject := range map[string]Subject{"alice": {Name: "alice"}, "spiffe://x/job": {Name: "bob", URI: "spiffe://x/job"}} {
		state, _, err := connect(t, server, s.open(s.issue("c", s.ca, subject)).Client("n1.example"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Principal(&state); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	state, _, err := connect(t, server, s.open(Files{CA: s.path("ca.pem")}).Client("n1.example"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Principal(&state); got != "" || !errors.Is(err, ErrNoPrincipal) {
		t.Errorf("without a certificate: %q, %v", got, err)
	}
}
