package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/pflag"

	"coordd.dev/internal/certs"
	"coordd.dev/internal/gateway"
	"coordd.dev/internal/peer"
)

// tlsFlags binds what the doors' TLS is made of.
func (c *Config) tlsFlags(f *pflag.FlagSet) {
	f.StringVar(&c.CertFile, "cert-file", "", "`file` with the certificate of the client and admin ports, PEM; read again when it changes, as all of these")
	f.StringVar(&c.KeyFile, "key-file", "", "`file` with its key")
	f.StringVar(&c.TrustedCAFile, "trusted-ca-file", "", "`file` with the CAs of clients' certificates; one that a client shows must be of them")
	f.BoolVar(&c.ClientCertAuth, "client-cert-auth", false, "demand a certificate of every client")
	f.StringVar(&c.PeerCertFile, "peer-cert-file", "", "`file` with the certificate that this node shows to others; must be good for its peer address, as server and as client")
	f.StringVar(&c.PeerKeyFile, "peer-key-file", "", "`file` with its key")
	f.StringVar(&c.PeerTrustedCAFile, "peer-trusted-ca-file", "", "`file` with the CAs of the nodes' certificates, and of nothing else")
}

func (c *Config) clientFiles() certs.Files {
	return certs.Files{Cert: c.CertFile, Key: c.KeyFile, CA: c.TrustedCAFile}
}

func (c *Config) peerFiles() certs.Files {
	return certs.Files{Cert: c.PeerCertFile, Key: c.PeerKeyFile, CA: c.PeerTrustedCAFile}
}

// tlsFaults says what is missing beside what is given.
func (c *Config) tlsFaults() (faults []error) {
	given := func(flags ...string) (there, missing []string) {
		for i := 0; i < len(flags); i += 2 {
			if flags[i+1] != "" {
				there = append(there, flags[i])
			} else {
				missing = append(missing, flags[i])
			}
		}
		return there, missing
	}
	fault := func(there, missing []string, why string) {
		faults = append(faults, fmt.Errorf("%s without %s: %s", strings.Join(there, ", "), strings.Join(missing, " and "), why))
	}
	auth := ""
	if c.ClientCertAuth {
		auth = "given"
	}
	there, missing := given("--cert-file", c.CertFile, "--key-file", c.KeyFile)
	if asks, _ := given("--trusted-ca-file", c.TrustedCAFile, "--client-cert-auth", auth); len(missing) > 0 && len(there)+len(asks) > 0 {
		fault(append(there, asks...), missing, "add what is missing; coordctl cert init makes a certificate and its key")
	}
	if c.ClientCertAuth && c.TrustedCAFile == "" {
		fault([]string{"--client-cert-auth"}, []string{"--trusted-ca-file"}, "add the CA that has signed the clients' certificates")
	}
	there, missing = given("--peer-cert-file", c.PeerCertFile, "--peer-key-file", c.PeerKeyFile, "--peer-trusted-ca-file", c.PeerTrustedCAFile)
	if len(there) > 0 && len(missing) > 0 {
		fault(there, missing, "add what is missing: nodes always show each other their certificates")
	}
	return faults
}

// listenFaults refuses addresses that are none, and those beyond loopback that anybody could use.
func (c *Config) listenFaults() (faults []error) {
	const pair = "--cert-file and --key-file"
	for _, l := range []struct {
		flag, address, cert, secured string
	}{
		{"--listen-client", c.ListenClient, c.CertFile, pair},
		{"--listen-peer", c.ListenPeer, c.PeerCertFile, "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file"},
		{"--listen-admin", c.ListenAdmin, c.CertFile, pair},
	} {
		host, _, err := net.SplitHostPort(l.address)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: address %q is not host:port", l.flag, l.address))
		case !loopback(host) && l.cert == "" && !c.InsecureAllowRemote:
			faults = append(faults, fmt.Errorf("%s %s: not a loopback address, and without TLS anybody who reaches it could take "+
				"every lock; give %s, listen on 127.0.0.1, or say --insecure-allow-remote in a network you trust",
				l.flag, l.address, l.secured))
		}
	}
	return faults
}

// shields are the TLS of a node's doors; what has none is nil.
type shields struct {
	client, admin *tls.Config
	peer          *peer.TLS
}

// openShields reads the certificates. What others could not use is an error now, and not at
// their first attempt: peer and client are the addresses at which they reach this node.
func (c *Config) openShields(clientAddress, peerAddress string, logger *slog.Logger) (s shields, err error) {
	var errs []error
	if c.CertFile != "" {
		source, err := certs.Open(c.clientFiles(), logger)
		if err != nil {
			errs = append(errs, fmt.Errorf("--cert-file: %w", err))
		} else {
			s.client, s.admin = c.clientTLS(source)
			if err := source.GoodFor(hostOf(clientAddress)); err != nil {
				logger.Warn("clients that are told where this node is will not accept its certificate: "+
					"issue one for that host, or set --advertise-client to one that it has", "err", err)
			}
		}
	}
	if c.PeerCertFile != "" {
		source, err := certs.Open(c.peerFiles(), logger)
		if err == nil {
			err = source.GoodForNode(hostOf(peerAddress))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--peer-cert-file: %w", err))
		} else {
			s.peer = &peer.TLS{Server: source.Server(tls.RequireAndVerifyClientCert), Client: source.Client}
		}
	}
	return s, errors.Join(errs...)
}

// clientTLS is that of the client port, and of the admin port, which probes and scrapers
// without a certificate must be able to shake hands with (certified).
func (c *Config) clientTLS(source *certs.Source) (client, admin *tls.Config) {
	ask, askAdmin := tls.NoClientCert, tls.NoClientCert
	if c.TrustedCAFile != "" {
		ask, askAdmin = tls.VerifyClientCertIfGiven, tls.VerifyClientCertIfGiven
	}
	if c.ClientCertAuth {
		ask = tls.RequireAndVerifyClientCert
	}
	return source.Server(ask, "h2"), source.Server(askAdmin, "http/1.1")
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address // which is good for nothing
	}
	return host
}

// openAdmin serves the admin port, with TLS if the client port has it.
func (n *node) openAdmin(handler http.Handler) *adminServer {
	lis := n.ports.admin
	if n.tls.admin != nil {
		lis = tls.NewListener(lis, n.tls.admin)
	}
	if n.cfg.ClientCertAuth {
		handler = certified(handler)
	}
	return serveAdmin(lis, handler, slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug))
}

// certified lets nobody without a certificate to anything but /livez and /readyz: those who
// ask these have none, and they tell nothing.
func certified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/livez" || r.URL.Path == "/readyz", r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
			next.ServeHTTP(w, r)
		default:
			gateway.Anonymous(w)
		}
	})
}
