package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrincipal bounds a principal's name, in bytes.
const maxPrincipal = 256

// ErrNoPrincipal says that a connection speaks for nobody.
var ErrNoPrincipal = errors.New("no principal")

// Principal is who the other side of a connection speaks for (invariant 4).
func Principal(state *tls.ConnectionState) (name string, err error) {
	if state == nil || len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
		return "", fmt.Errorf("%w: no certificate that was verified", ErrNoPrincipal)
	}
	leaf := state.PeerCertificates[0]
	switch len(leaf.URIs) {
	case 0:
		name = leaf.Subject.CommonName
	case 1:
		name = leaf.URIs[0].String()
	default:
		return "", fmt.Errorf("%w: the certificate has %d URIs, and must have one", ErrNoPrincipal, len(leaf.URIs))
	}
	if err := checkPrincipal(name); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoPrincipal, err)
	}
	return name, nil
}

func checkPrincipal(name string) error {
	switch {
	case name == "":
		return errors.New("the certificate has neither a URI nor a common name")
	case len(name) > maxPrincipal:
		return fmt.Errorf("the name in the certificate has %d bytes, more than %d", len(name), maxPrincipal)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name in the certificate is no plain text")
	}
	return nil
}
