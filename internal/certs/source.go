package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files are the PEM files that one door's TLS is made of.
type Files struct {
	// Cert has a certificate and then its intermediates, Key its key. A server must have
	// both, a client both or neither.
	Cert, Key string
	// CA has those who may have signed the other side's certificate. Without it a server
	// believes no certificate, and a client those that the system believes.
	CA string
}

// A Source has the certificates of one door. Its methods may be called by several
// goroutines.
type Source struct {
	files  Files
	logger *slog.Logger

	mu     sync.Mutex
	seen   [3]os.FileInfo // of cert, key and CA before they were last read; nil: not there
	latest material       // the last good one
}

// Material is what the files hold.
type material struct {
	pair *tls.Certificate // nil: none
	pool *x509.CertPool   // nil: none
}

// Open reads the files. The logger is told when they have changed.
func Open(files Files, logger *slog.Logger) (*Source, error) {
	s := &Source{files: files, logger: logger}
	s.seen = files.look()
	var err error
	s.latest, err = files.load()
	return s, err
}

// Server is the configuration of a port that asks for client certificates as auth says. The
// protocols are those of ALPN.
func (s *Source) Server(auth tls.ClientAuthType, protocols ...string) *tls.Config {
	fixed := tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             auth,
		NextProtos:             protocols,
		SessionTicketsDisabled: true, // invariant 2
	}
	conf := fixed.Clone()
	conf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := s.current()
		now := fixed.Clone()
		now.ClientCAs = m.pool
		if m.pool == nil { // else those of the system would do
			now.ClientCAs = x509.NewCertPool()
		}
		if m.pair == nil {
			return nil, errors.New("no certificate")
		}
		now.Certificates = []tls.Certificate{*m.pair}
		return now, nil
	}
	return conf
}

// Client is the configuration of a connection to a port that must have a certificate for the
// name; an empty one is the host that is dialled, where who dials says so. The CAs are those of
// now: who dials for long asks for a configuration for each connection.
func (s *Source) Client(serverName string) *tls.Config {
	m := s.current()
	conf := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: serverName, RootCAs: m.pool}
	if m.pair != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.current().pair, nil
		}
	}
	return conf
}

// GoodFor says why the certificate is not that of a server at the host.
func (s *Source) GoodFor(host string) error {
	m := s.current()
	if m.pair == nil {
		return errors.New("there is no certificate")
	}
	if err := m.pair.Leaf.VerifyHostname(host); err != nil {
		return fmt.Errorf("certificate %s is not good for %s: %w; issue another: coordctl cert node %s", s.files.Cert, host, err, host)
	}
	return nil
}

// GoodForNode is GoodFor for who is server and client to others that believe the same CAs.
func (s *Source) GoodForNode(host string) error {
	if err := s.GoodFor(host); err != nil {
		return err
	}
	m := s.current()
	between := x509.NewCertPool()
	for _, der := range m.pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // else nobody can use it
			between.AddCert(c)
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := m.pair.Leaf.Verify(x509.VerifyOptions{Roots: m.pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return fmt.Errorf("certificate %s is none that other nodes accept, by the CAs of %s: %w; "+
				"a node's must be good for servers and for clients: coordctl cert node", s.files.Cert, s.files.CA, err)
		}
	}
	return nil
}

// current is what the files hold now, or held when they were last good.
func (s *Source) current() material {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Looked at before they are read: what is written meanwhile is seen the next time.
	found := s.files.look()
	if unchanged(found, s.seen) {
		return s.latest
	}
	s.seen = found
	m, err := s.files.load()
	if err != nil {
		s.logger.Warn("certificates have changed and cannot be used: those of before stay in use", "err", err)
		return s.latest
	}
	s.logger.Info("certificates have changed: new connections use them", "cert", s.files.Cert, "ca", s.files.CA)
	s.latest = m
	return m
}

func (f Files) look() (found [3]os.FileInfo) {
	for i, path := range []string{f.Cert, f.Key, f.CA} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil { // else load says what is wrong
			found[i] = info
		}
	}
	return found
}

func unchanged(a, b [3]os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil,
			!os.SameFile(a[i], b[i]), !a[i].ModTime().Equal(b[i].ModTime()), a[i].Size() != b[i].Size():
			return false
		}
	}
	return true
}

// load reads all files, and joins what is wrong with them.
func (f Files) load() (material, error) {
	var m material
	var errs [2]error
	if f.Cert != "" || f.Key != "" {
		m.pair, errs[0] = loadPair(f.Cert, f.Key)
	}
	if f.CA != "" {
		m.pool, errs[1] = loadPool(f.CA)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return material{}, err
	}
	return m, nil
}

func loadPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s and its key %s: %w; coordctl cert init makes both", certFile, keyFile, err)
	}
	if err := timely(pair.Leaf); err != nil {
		return nil, fmt.Errorf("read certificate %s: %w; issue another, as with coordctl cert node", certFile, err)
	}
	return &pair, nil
}

// loadPool wants at least one CA that can have signed something valid.
func loadPool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA certificates: %w; coordctl cert init makes a CA", err)
	}
	pool, usable := x509.NewCertPool(), 0
	var faults []error
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			pool.AddCert(ca)
			err = timely(ca)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		usable++
	}
	switch {
	case usable > 0:
		return pool, nil
	case len(faults) > 0:
		return nil, fmt.Errorf("read CA certificates of %s: %w", file, errors.Join(faults...))
	}
	return nil, fmt.Errorf("read CA certificates of %s: there is none in it, in PEM; coordctl cert init makes a CA", file)
}

// timely refuses what is valid at another time than now.
func timely(c *x509.Certificate) error {
	switch now := time.Now(); {
	case now.After(c.NotAfter):
		return fmt.Errorf("it expired on %s", c.NotAfter.Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is not valid before %s", c.NotBefore.Format(time.RFC3339))
	}
	return nil
}
