package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"coordd.dev/internal/certs"
)

// pairOf makes a certificate of the CA in memory.
func pairOf(t *testing.T, ca *certs.Authority, s certs.Subject) tls.Certificate {
	t.Helper()
	s.From, s.Until = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	p, err := ca.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// authInfoOf serves a listener behind doors and returns what a call over it has as AuthInfo, or
// why there is no call.
func authInfoOf(t *testing.T, conf *tls.Config, around func(net.Listener) net.Listener, creds credentials.TransportCredentials) (info credentials.AuthInfo, err error) {
	t.Helper()
	lis := bufconn.Listen(64 << 10)
	srv := grpc.NewServer(grpc.Creds(newDoors(conf)), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			p, _ := peer.FromContext(ctx)
			info = p.AuthInfo
			return h(ctx, req)
		}))
	healthv1.RegisterHealthServer(srv, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(around(lis)) }()
	conn, err := grpc.NewClient("passthrough:///n1.example", grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	_ = conn.Close()
	srv.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	return info, err
}

// TestDoors: what a connection must show depends on its listener and on nothing else.
func TestDoors(t *testing.T) {
	ca, err := certs.NewAuthority("ca", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := tls.X509KeyPair(ca.Cert, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := poolOf(trusted.Leaf)
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		Certificates: []tls.Certificate{pairOf(t, ca, certs.Subject{Name: "n1", Hosts: []string{"n1.example"}})},
	}
	alice := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots,
		Certificates: []tls.Certificate{pairOf(t, ca, certs.Subject{Name: "alice"})}})
	direct := func(l net.Listener) net.Listener { return l }

	info, err := authInfoOf(t, conf, direct, alice)
	shown, ok := info.(credentials.TLSInfo)
	if err != nil || !ok {
		t.Fatalf("a client with a certificate: %T, %v", info, err)
	}
	if who, err := certs.Principal(&shown.State); who != "alice" || err != nil {
		t.Errorf("the certificate is of %q, %v", who, err)
	}
	if info, err := authInfoOf(t, conf, direct, insecure.NewCredentials()); err == nil {
		t.Errorf("plain text on a TLS port: served with %T", info)
	}
	for want, around := range map[string]func(net.Listener) net.Listener{"shared": Shared, "passed": Passed} {
		if info, err := authInfoOf(t, conf, around, insecure.NewCredentials()); err != nil || info.AuthType() != want {
			t.Errorf("a %s connection: %T, %v", want, info, err)
		}
	}
	// A client that tunnels through something of another type is a client.
	if info, err := authInfoOf(t, conf, wrapped, insecure.NewCredentials()); err == nil {
		t.Errorf("plain text over another connection: served with %T", info)
	}
	info, err = authInfoOf(t, nil, direct, insecure.NewCredentials())
	if _, vouched := info.(door); err != nil || vouched {
		t.Errorf("plain text without TLS: %T, %v", info, err)
	}
}

type wrappedListener struct{ net.Listener }

func wrapped(l net.Listener) net.Listener { return wrappedListener{l} }

func (l wrappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

func poolOf(c *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}
