package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"coordd.dev/internal/durable"
)

// An Authority is a CA for development: its key lies beside its certificate.
type Authority struct {
	Pair
	cert *x509.Certificate
	key  crypto.Signer
}

// A Pair is a certificate and its key, as PEM.
type Pair struct{ Cert, Key []byte }

// A Subject says whom a certificate is for, and when it is valid.
type Subject struct {
	Name  string   // the principal's
	URI   string   // the principal's instead, if it is not empty: spiffe://...
	Hosts []string // names and addresses of a node; a client has none

	From, Until time.Time
}

// NewAuthority makes a CA.
func NewAuthority(name string, from, until time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := template(name, from, until)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	pair, err := seal(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return authority(pair)
}

// ReadAuthority reads a CA that was written.
func ReadAuthority(certFile, keyFile string) (*Authority, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read key of CA: %w", err)
	}
	a, err := authority(Pair{cert, key})
	if err != nil {
		return nil, fmt.Errorf("read CA %s: %w", certFile, err)
	}
	return a, nil
}

func authority(p Pair) (*Authority, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("it is no CA")
	}
	return &Authority{Pair: p, cert: pair.Leaf, key: key}, nil
}

// Issue makes a certificate: that of a node, for both sides of a connection, if the subject
// has hosts, else that of a client.
func (a *Authority) Issue(s Subject) (Pair, error) {
	if err := checkPrincipal(s.Name); err != nil {
		return Pair{}, fmt.Errorf("issue certificate: %w", err)
	}
	template, err := template(s.Name, s.From, s.Until)
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(s.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range s.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	if s.URI != "" {
		uri, err := url.Parse(s.URI)
		if err != nil || uri.Scheme == "" || uri.Host == "" {
			return Pair{}, fmt.Errorf("issue certificate: %q is no URI with a scheme and a host", s.URI)
		}
		template.URIs = []*url.URL{uri}
	}
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	return seal(template, a.cert, key, a.key)
}

// newKey makes a P-256 key: whoever speaks TLS 1.3 takes one.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

func template(name string, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
	}, nil
}

// seal has the parent sign the template's certificate for the key.
func seal(template, parent *x509.Certificate, key, signer crypto.Signer) (Pair, error) {
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

// Write writes both to files that are not there yet, and makes their directories. If it
// cannot write both it leaves neither.
func (p Pair) Write(certFile, keyFile string) error {
	if err := create(keyFile, p.Key); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := create(certFile, p.Cert); err != nil {
		return errors.Join(fmt.Errorf("write certificate: %w", err), os.Remove(keyFile))
	}
	return nil
}

func create(file string, data []byte) error {
	if err := durable.MakeDir(filepath.Dir(file)); err != nil {
		return err
	}
	return durable.CreateFile(file, data)
}
