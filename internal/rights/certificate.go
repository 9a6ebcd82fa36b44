package rights

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// CertificateName is the name under which a certificate may be in the file: its one URI (as
// SPIFFE has it), or without URIs its common name. Whoever has several is nobody: it could be
// taken for either.
func CertificateName(c *x509.Certificate) (string, error) {
	switch n := len(c.URIs); {
	case n == 1:
		return c.URIs[0].String(), nil
	case n > 1:
		return "", fmt.Errorf("read certificate: it has %d URIs, and may have one", n)
	case c.Subject.CommonName == "":
		return "", errors.New("read certificate: it has neither a URI nor a common name")
	default:
		return c.Subject.CommonName, nil
	}
}
