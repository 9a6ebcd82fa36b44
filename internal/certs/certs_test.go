package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// A shelf is a directory with certificates, and the CA that issues them. In a bubble they are
// of the bubble's time.
type shelf struct {
	t    *testing.T
	dir  string
	ca   *Authority
	logs bytes.Buffer
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir()}
	s.ca = s.authority("ca")
	return s
}

func (s *shelf) path(name string) string { return filepath.Join(s.dir, name) }

// authority makes a CA in name.pem.
func (s *shelf) authority(name string) *Authority {
	s.t.Helper()
	ca, err := NewAuthority(name, time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := ca.Write(s.path(name+".pem"), s.path(name+"-key.pem")); err != nil {
		s.t.Fatal(err)
	}
	return ca
}

// issue makes name.pem, in place of what is there.
func (s *shelf) issue(name string, by *Authority, subject Subject) Files {
	s.t.Helper()
	if subject.Name == "" {
		subject.Name = name
	}
	if subject.Until.IsZero() {
		subject.From, subject.Until = time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
	}
	pair, err := by.Issue(subject)
	if err != nil {
		s.t.Fatal(err)
	}
	f := Files{Cert: s.path(name + ".pem"), Key: s.path(name + "-key.pem"), CA: s.path("ca.pem")}
	s.replace(f.Key, pair.Key)
	s.replace(f.Cert, pair.Cert)
	return f
}

// replace puts a file in another's place, as who rotates certificates does.
func (s *shelf) replace(path string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) open(f Files) *Source {
	s.t.Helper()
	source, err := Open(f, slog.New(slog.NewTextHandler(&s.logs, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// connect shakes hands and carries a byte to the client, which only then knows that it was
// accepted. It returns what each side saw.
func connect(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	near, far := pipe(t)
	s := tls.Server(far, server)
	done := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte{1})
		_ = far.Close()
		done <- err
	}()
	c := tls.Client(near, client)
	_, clientErr = io.ReadFull(c, make([]byte, 1))
	_ = near.Close()
	serverErr = <-done
	return s.ConnectionState(), serverErr, clientErr
}

// pipe is a connection with room for what both sides write at once, which an alert is.
func pipe(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	near, err := l.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return near, <-accepted
}

var node = []string{"n1.example", "10.0.0.1", "::1"}

// TestConnections: who may connect to a port that wants certificates, and to whom.
func TestConnections(t *testing.T) {
	hour := func(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour) }
	tests := map[string]struct {
		client func(s *shelf) *tls.Config
		want   string // in the client's error; empty: it is served
	}{
		"a name": {func(s *shelf) *tls.Config {
			return s.open(s.issue("alice", s.ca, Subject{})).Client("n1.example")
		}, ""},
		"an IPv6 address": {func(s *shelf) *tls.Config {
			return s.open(s.issue("alice", s.ca, Subject{})).Client("::1")
		}, ""},
		"another node": {func(s *shelf) *tls.Config {
			return s.open(s.issue("n2", s.ca, Subject{Hosts: []string{"n2.example"}})).Client("10.0.0.1")
		}, ""},
		"TLS 1.2": {func(s *shelf) *tls.Config {
			conf := s.open(s.issue("alice", s.ca, Subject{})).Client("n1.example")
			conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return conf
		}, "protocol version not supported"},
		"no certificate": {func(s *shelf) *tls.Config {
			return s.open(Files{CA: s.path("ca.pem")}).Client("n1.example")
		}, "certificate required"},
		"another CA's": {func(s *shelf) *tls.Config {
			return s.open(s.issue("alice", s.authority("other"), Subject{})).Client("n1.example")
		}, "unknown certificate authority"},
		"expired": {func(s *shelf) *tls.Config {
			conf := s.open(s.issue("alice", s.ca, Subject{From: hour(-2), Until: hour(1)})).Client("n1.example")
			time.Sleep(2 * time.Hour) // in a bubble
			return conf
		}, "expired certificate"},
		"another host": {func(s *shelf) *tls.Config {
			return s.open(s.issue("alice", s.ca, Subject{})).Client("n2.example")
		}, "not n2.example"},
		"a CA that the client does not know": {func(s *shelf) *tls.Config {
			f := s.issue("alice", s.ca, Subject{})
			s.authority("other")
			f.CA = s.path("other.pem")
			return s.open(f).Client("n1.example")
		}, "signed by unknown authority"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(t)
				server := s.open(s.issue("n1", s.ca, Subject{Hosts: node})).Server(tls.RequireAndVerifyClientCert)
				state, serverErr, clientErr := connect(t, server, tt.client(s))
				switch {
				case tt.want == "" && (serverErr != nil || clientErr != nil):
					t.Errorf("server: %v; client: %v", serverErr, clientErr)
				case tt.want == "" && state.Version != tls.VersionTLS13:
					t.Errorf("version %x", state.Version)
				case tt.want != "" && (clientErr == nil || !strings.Contains(clientErr.Error(), tt.want)):
					t.Errorf("client: %v, want %q", clientErr, tt.want)
				}
			})
		})
	}
}

// TestExpiredServer: a server whose certificate ends while it runs is refused.
func TestExpiredServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t)
		server := s.open(s.issue("n1", s.ca, Subject{Hosts: node, From: time.Now(), Until: time.Now().Add(time.Hour)})).Server(tls.NoClientCert)
		client := s.open(Files{CA: s.path("ca.pem")}).Client("n1.example")
		if _, _, err := connect(t, server, client); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if _, _, err := connect(t, server, client); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %v", err)
		}
	})
}

// A client's certificate is no server's, whoever signed it.
func TestClientIsNoServer(t *testing.T) {
	s := newShelf(t)
	pair, err := s.ca.Issue(Subject{Name: "n1.example", From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.ca.cert)
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots}); err == nil || !strings.Contains(err.Error(), "incompatible key usage") {
		t.Errorf("got %v", err)
	}
}

// TestReload: the next connection is of the files that are there then.
func TestReload(t *testing.T) {
	s := newShelf(t)
	files := s.issue("n1", s.ca, Subject{Hosts: node})
	source := s.open(files)
	server := source.Server(tls.RequireAndVerifyClientCert)
	alice := s.open(s.issue("alice", s.ca, Subject{}))
	cache := tls.NewLRUClientSessionCache(1)
	served := func() (*x509.Certificate, error) {
		conf := alice.Client("n1.example")
		conf.ClientSessionCache = cache
		var seen *x509.Certificate
		conf.VerifyConnection = func(c tls.ConnectionState) error {
			seen = c.PeerCertificates[0]
			if c.DidResume {
				t.Error("a session was resumed")
			}
			return nil
		}
		_, _, err := connect(t, server, conf)
		return seen, err
	}
	mustServe := func(what string) *x509.Certificate {
		t.Helper()
		c, err := served()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return c
	}
	first := mustServe("at first")

	s.issue("n1", s.ca, Subject{Hosts: node})
	second := mustServe("with another certificate")
	if second.Equal(first) {
		t.Error("the new certificate is not used")
	}

	// What cannot be used is not: garbage, a certificate whose key has not come yet, one that
	// has ended, and none.
	s.replace(files.Cert, []byte("garbage"))
	pair, err := s.ca.Issue(Subject{Name: "n1", Hosts: node, From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if !mustServe("with garbage").Equal(second) {
		t.Error("another certificate than the last good one")
	}
	s.replace(files.Cert, pair.Cert)
	if !mustServe("without its key").Equal(second) {
		t.Error("another certificate than the last good one")
	}
	s.replace(files.Key, pair.Key)
	third := mustServe("with its key")
	if third.Equal(second) {
		t.Error("the new certificate is not used once its key is there")
	}
	s.issue("n1", s.ca, Subject{Hosts: node, From: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(-time.Hour)})
	if !mustServe("with one that has ended").Equal(third) {
		t.Error("another certificate than the last good one")
	}
	if err := os.Remove(files.Cert); err != nil {
		t.Fatal(err)
	}
	if !mustServe("without a file").Equal(third) {
		t.Error("another certificate than the last good one")
	}
	for _, want := range []string{"failed to find any PEM data", "does not match", "it expired on", "no such file"} {
		if n := strings.Count(s.logs.String(), want); n != 1 {
			t.Errorf("%d warnings of %q, want 1:\n%s", n, want, &s.logs)
		}
	}

	// Another CA: who has a certificate of the old one is out, who has one of the new is in.
	s.issue("n1", s.ca, Subject{Hosts: node})
	other := s.authority("other")
	s.replace(files.CA, other.Cert)
	aliceOld := alice
	alice = s.open(Files{Cert: s.path("alice.pem"), Key: s.path("alice-key.pem"), CA: s.path("old.pem")}.with(t, s, s.ca.Cert))
	if _, err := served(); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of a CA that is gone: %v", err)
	}
	s.issue("n1", other, Subject{Hosts: node})
	s.issue("alice", other, Subject{})
	alice = aliceOld // whose CA file is the one that was replaced
	mustServe("of the new CA")
}

// with writes the CA that the files name.
func (f Files) with(t *testing.T, s *shelf, ca []byte) Files {
	t.Helper()
	s.replace(f.CA, ca)
	return f
}

// A port with no CA believes nobody, and not whom the system believes.
func TestNoCA(t *testing.T) {
	s := newShelf(t)
	files := s.issue("n1", s.ca, Subject{Hosts: node})
	files.CA = ""
	server := s.open(files).Server(tls.VerifyClientCertIfGiven)
	if conf, err := server.GetConfigForClient(nil); err != nil || conf.ClientCAs == nil {
		t.Errorf("the system's CAs: %v", err)
	}
	_, _, err := connect(t, server, s.open(s.issue("alice", s.ca, Subject{})).Client("n1.example"))
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("got %v", err)
	}
}

func TestOpenFaults(t *testing.T) {
	s := newShelf(t)
	good := s.issue("n1", s.ca, Subject{Hosts: node})
	past := s.issue("past", s.ca, Subject{Hosts: node, From: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(-time.Hour)})
	future := s.issue("future", s.ca, Subject{Hosts: node, From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)})
	old, err := NewAuthority("old", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s.replace(s.path("old.pem"), old.Cert)
	s.replace(s.path("empty.pem"), nil)
	for name, tt := range map[string]struct {
		files Files
		want  []string
	}{
		"missing":     {Files{Cert: s.path("x.pem"), Key: good.Key}, []string{"x.pem", "no such file", "coordctl cert init"}},
		"mixed up":    {Files{Cert: good.Cert, Key: past.Key}, []string{"n1.pem", "past-key.pem", "does not match"}},
		"expired":     {past, []string{"past.pem", "it expired on", "coordctl cert node"}},
		"too early":   {future, []string{"future.pem", "not valid before"}},
		"no CA":       {Files{CA: s.path("empty.pem")}, []string{"empty.pem", "there is none in it", "coordctl cert init"}},
		"missing CA":  {Files{CA: s.path("y.pem")}, []string{"y.pem", "no such file", "coordctl cert init"}},
		"expired CA":  {Files{CA: s.path("old.pem")}, []string{"old.pem", "it expired on"}},
		"all of them": {Files{Cert: past.Cert, Key: past.Key, CA: s.path("y.pem")}, []string{"past.pem", "y.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(tt.files, slog.New(slog.DiscardHandler))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestWrite(t *testing.T) {
	s := newShelf(t)
	cert, key := s.path("sub/a.pem"), s.path("sub/a-key.pem")
	if err := s.ca.Write(cert, key); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{cert: 0o600, key: 0o600, s.path("sub"): 0o700 | fs.ModeDir} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if err := s.ca.Write(cert, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("both are there: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := s.ca.Write(cert, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the certificate is there: %v", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was left without its certificate: %v", err)
	}
	again, err := ReadAuthority(s.path("ca.pem"), s.path("ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.issue("n1", again, Subject{Hosts: node})
	s.open(s.issue("n1", again, Subject{Hosts: node}))
	n1 := s.issue("n1", again, Subject{Hosts: node})
	if _, err := ReadAuthority(n1.Cert, n1.Key); err == nil || !strings.Contains(err.Error(), "no CA") {
		t.Errorf("a node's certificate as CA: %v", err)
	}
}

func TestIssueFaults(t *testing.T) {
	s := newShelf(t)
	for _, bad := range []Subject{{}, {Name: "a\nb"}, {Name: strings.Repeat("x", 257)}, {Name: "a", URI: "alice"}, {Name: "a", URI: "spiffe:"}} {
		if _, err := s.ca.Issue(bad); err == nil {
			t.Errorf("issued %+v", bad)
		}
	}
}
