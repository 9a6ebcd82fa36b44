package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/certs"
)

// A wallet is a directory of certificates of one CA.
type wallet struct {
	t   *testing.T
	dir string
	ca  *certs.Authority
}

func newWallet(t *testing.T) *wallet {
	t.Helper()
	w := &wallet{t: t, dir: t.TempDir()}
	var err error
	if w.ca, err = certs.NewAuthority("ca", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.put("ca.pem", w.ca.Cert)
	return w
}

func (w *wallet) path(name string) string { return filepath.Join(w.dir, name) }

func (w *wallet) put(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name)+".new", data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path(name)+".new", w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// issue makes name.pem and its key, valid until so long from now.
func (w *wallet) issue(by *certs.Authority, name string, valid time.Duration, hosts ...string) tls.Certificate {
	w.t.Helper()
	p, err := by.Issue(certs.Subject{Name: name, Hosts: hosts, From: time.Now().Add(-30 * time.Minute), Until: time.Now().Add(valid)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(name+"-key.pem", p.Key)
	w.put(name+".pem", p.Cert)
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return pair
}

// secure gives a configuration the certificate of the name on all ports.
func (w *wallet) secure(c *Config, name string) {
	c.CertFile, c.KeyFile, c.TrustedCAFile, c.ClientCertAuth = w.path(name+".pem"), w.path(name+"-key.pem"), w.path("ca.pem"), true
	c.PeerCertFile, c.PeerKeyFile, c.PeerTrustedCAFile = c.CertFile, c.KeyFile, c.TrustedCAFile
}

// client is a client of 127.0.0.1 with the certificates.
func (w *wallet) client(pairs ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.ca.Cert)
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "127.0.0.1"}
	if len(pairs) > 0 { // and shows it whatever CAs the port names
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pairs[0], nil }
	}
	return conf
}

const short, past = 20 * time.Minute, -time.Minute

func TestTLSFaults(t *testing.T) {
	peers := []string{"--peer-cert-file", "c", "--peer-key-file", "k", "--peer-trusted-ca-file", "a"}
	for _, tt := range []struct {
		args []string
		want string // empty: fine
	}{
		{[]string{"--cert-file", "c"}, "--cert-file without --key-file: add what is missing; coordctl cert init"},
		{[]string{"--key-file", "k"}, "--key-file without --cert-file"},
		{[]string{"--cert-file", "c", "--key-file", "k"}, ""},
		{[]string{"--trusted-ca-file", "a"}, "--trusted-ca-file without --cert-file and --key-file"},
		{[]string{"--client-cert-auth"}, "--client-cert-auth without --cert-file and --key-file"},
		{[]string{"--client-cert-auth"}, "--client-cert-auth without --trusted-ca-file"},
		{[]string{"--cert-file", "c", "--key-file", "k", "--client-cert-auth"}, "--client-cert-auth without --trusted-ca-file: add the CA"},
		{[]string{"--cert-file", "c", "--key-file", "k", "--client-cert-auth", "--trusted-ca-file", "a"}, ""},
		{peers[:4], "--peer-cert-file, --peer-key-file without --peer-trusted-ca-file"},
		{peers[4:], "--peer-trusted-ca-file without --peer-cert-file and --peer-key-file"},
		{peers, ""},
		{append([]string{"--listen-peer", "10.0.0.1:7601"}, peers...), ""},
		{append([]string{"--listen-client", "10.0.0.1:7600"}, peers...), "give --cert-file and --key-file, listen on 127.0.0.1"},
		{[]string{"--listen-peer", "10.0.0.1:1", "--cert-file", "c", "--key-file", "k"}, "give --peer-cert-file, --peer-key-file and --peer-trusted-ca-file"},
		{[]string{"--listen-client", "10.0.0.1:1", "--listen-admin", "10.0.0.1:2", "--cert-file", "c", "--key-file", "k"}, ""},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) { wantFault(t, tt.args, tt.want) })
	}
}

// TestBadCertificates: what others could not use is an error at the start.
func TestBadCertificates(t *testing.T) {
	w := newWallet(t)
	other, err := certs.NewAuthority("other", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w.issue(w.ca, "good", short, "127.0.0.1")
	w.issue(w.ca, "past", past, "127.0.0.1")
	w.issue(w.ca, "elsewhere", short, "n1.example")
	w.issue(w.ca, "client", short)
	w.issue(other, "stranger", short, "127.0.0.1")
	for name, tt := range map[string]struct {
		change func(c *Config)
		want   []string
	}{
		"missing":            {func(c *Config) { c.CertFile = w.path("x.pem") }, []string{"--cert-file", "x.pem", "no such file", "coordctl cert init"}},
		"expired":            {func(c *Config) { w.secure(c, "past") }, []string{"--cert-file", "--peer-cert-file", "past.pem", "it expired on", "coordctl cert node"}},
		"another host":       {func(c *Config) { w.secure(c, "elsewhere") }, []string{"--peer-cert-file", "elsewhere.pem is not good for 127.0.0.1"}},
		"a client's as peer": {func(c *Config) { w.secure(c, "client") }, []string{"--peer-cert-file", "client.pem"}},
		"another CA's":       {func(c *Config) { w.secure(c, "stranger") }, []string{"--peer-cert-file", "is none that other nodes accept", "ca.pem"}},
		"no CA":              {func(c *Config) { c.PeerTrustedCAFile = w.path("good-key.pem") }, []string{"--peer-cert-file", "good-key.pem: there is none in it"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, ports := local(t, "n1")
			shut(t, ports)
			w.secure(&cfg, "good")
			tt.change(&cfg)
			err := run(t.Context(), cfg, io.Discard, io.Discard)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

// status asks the client port over TLS.
func (p *process) statusOver(ctx context.Context, conf *tls.Config) error {
	conn, err := grpc.NewClient(p.clientAddress, grpc.WithTransportCredentials(credentials.NewTLS(conf)))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = coordv1.NewSessionServiceClient(conn).ListSessions(ctx, &coordv1.ListSessionsRequest{})
	return err
}

// shake shakes hands with a port and returns its certificate; the error is also of what the
// port says next, which is nothing for a while if it accepts.
func shake(t *testing.T, address string, conf *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", address, conf)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		return nil, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

// TestThreeNodesWithTLS is the life of a cluster whose ports all have TLS: it forms, calls are
// passed on, and who has no certificate, or another, is turned away at each door.
func TestThreeNodesWithTLS(t *testing.T) {
	w := newWallet(t)
	cfgs, ports := three(t)
	nodes := make([]*process, 3)
	for i := range nodes {
		w.issue(w.ca, cfgs[i].Name, short, "127.0.0.1")
		w.secure(&cfgs[i], cfgs[i].Name)
		nodes[i] = spawn(t, cfgs[i], ports[i])
	}
	for _, n := range nodes {
		n.awaitReady(t)
	}
	alice := w.issue(w.ca, "alice", short)
	for _, n := range nodes { // all but one pass it on
		eventually(t, func() error { return n.statusOver(t.Context(), w.client(alice)) })
	}
	expired := w.issue(w.ca, "expired", past)
	other, err := certs.NewAuthority("other", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	mallory := w.issue(other, "mallory", short, "127.0.0.1")
	old := w.client(alice)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, tt := range map[string]struct {
		conf *tls.Config
		want string
	}{
		"TLS 1.2":        {old, "protocol version not supported"},
		"no certificate": {w.client(), "certificate required"},
		"expired":        {w.client(expired), "expired certificate"},
		"another CA's":   {w.client(mallory), "unknown certificate authority"},
	} {
		for _, address := range []string{cfgs[0].ListenClient, cfgs[0].ListenPeer} {
			if _, err := shake(t, address, tt.conf); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s at %s: %v, want %q", name, address, err, tt.want)
			}
		}
	}
	for range 50 { // gRPC says its first words at once
		err := nodes[0].statusOver(t.Context(), w.client())
		if err == nil || certs.FaultOf(err.Error()) != certs.FaultNone {
			t.Fatalf("without a certificate: %v", err)
		}
	}
	checkAdmin(t, nodes[0], w, alice)
}

// checkAdmin: probes need no certificate, everything else does.
func checkAdmin(t *testing.T, p *process, w *wallet, alice tls.Certificate) {
	t.Helper()
	get := func(path string, pairs ...tls.Certificate) (int, string) {
		t.Helper()
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: w.client(pairs...)}
		r, err := (&http.Client{Transport: transport}).Get("https://" + p.ports.admin.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 401, "/v1/sessions": 401, "/": 401, "/livez/": 401} {
		if code, body := get(path); code != want || code == 401 && !strings.Contains(body, "client certificate") {
			t.Errorf("%s without a certificate: %d %s", path, code, body)
		}
	}
	for path, want := range map[string]int{"/metrics": 200, "/v1/sessions": 200} {
		if code, body := get(path, alice); code != want {
			t.Errorf("%s with a certificate: %d %s", path, code, body)
		}
	}
	if r, err := http.Get("http://" + p.ports.admin.Addr().String() + "/livez"); err == nil {
		_ = r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("plain text: %s", r.Status)
		}
	}
}

// TestNewCertificate: a running node shows the certificate that is in its file.
func TestNewCertificate(t *testing.T) {
	w := newWallet(t)
	cfg, ports := local(t, "n1")
	first := w.issue(w.ca, "n1", short, "127.0.0.1")
	w.secure(&cfg, "n1")
	p := spawn(t, cfg, ports)
	p.awaitReady(t)
	alice := w.issue(w.ca, "alice", short)
	shown := func() *x509.Certificate {
		t.Helper()
		c, err := shake(t, cfg.ListenClient, w.client(alice))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if !shown().Equal(first.Leaf) {
		t.Error("another certificate than the first")
	}
	second := w.issue(w.ca, "n1", short, "127.0.0.1")
	if !shown().Equal(second.Leaf) {
		t.Error("another certificate than the second")
	}
	w.put("n1.pem", []byte("nothing"))
	if !shown().Equal(second.Leaf) {
		t.Error("another certificate than the last good one")
	}
	if want := "certificates have changed and cannot be used"; !strings.Contains(p.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, p.log)
	}
}

// TestMixedPeers: a node without TLS does not come to be one of a cluster with TLS.
func TestMixedPeers(t *testing.T) {
	w := newWallet(t)
	cfgs, ports := three(t)
	nodes := make([]*process, 3)
	for i := range nodes {
		if i < 2 {
			w.issue(w.ca, cfgs[i].Name, short, "127.0.0.1")
			w.secure(&cfgs[i], cfgs[i].Name)
		}
		nodes[i] = spawn(t, cfgs[i], ports[i])
	}
	nodes[0].log.await(t, cfgs[2].ListenPeer+": not a coordd peer port with TLS")
	nodes[2].log.await(t, cfgs[0].ListenPeer+": not a coordd peer port, or it is full, or wants TLS")
}
