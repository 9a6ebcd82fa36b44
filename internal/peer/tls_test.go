package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"coordd.dev/internal/certs"
	"coordd.dev/raftstore"
)

// A guild is a network of nodes with TLS. In a bubble its certificates are of the bubble's
// time.
type guild struct {
	t     *testing.T
	net   *network
	ca    *certs.Authority
	trust *x509.CertPool

	mu      sync.Mutex
	refused map[string][]string // by the address of who refused
}

func newGuild(t *testing.T) *guild {
	t.Helper()
	g := &guild{t: t, net: newNetwork(), refused: map[string][]string{}}
	g.net.pipe = g.pipe
	g.ca = g.authority()
	g.trust = x509.NewCertPool()
	g.trust.AppendCertsFromPEM(g.ca.Cert)
	return g
}

// pipe has room for what both sides write at once, which an alert is.
func (g *guild) pipe() (near, far net.Conn) {
	l := bufconn.Listen(64 << 10)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			g.t.Error(err)
		}
		accepted <- c
	}()
	near, err := l.DialContext(context.Background())
	if err != nil {
		g.t.Error(err)
	}
	return near, <-accepted
}

func (g *guild) authority() *certs.Authority {
	g.t.Helper()
	ca, err := certs.NewAuthority("ca", time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour))
	if err != nil {
		g.t.Fatal(err)
	}
	return ca
}

func (g *guild) pair(by *certs.Authority, hosts ...string) tls.Certificate {
	g.t.Helper()
	p, err := by.Issue(certs.Subject{Name: "x", Hosts: hosts, From: time.Now().Add(-time.Minute), Until: time.Now().Add(24 * time.Hour)})
	if err != nil {
		g.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		g.t.Fatal(err)
	}
	return pair
}

// with is TLS with the certificates.
func (g *guild) with(pairs ...tls.Certificate) *TLS {
	return &TLS{
		Server: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: g.trust,
			Certificates: pairs, SessionTicketsDisabled: true},
		Client: func(host string) *tls.Config {
			return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: g.trust, Certificates: pairs}
		},
	}
}

// start is startNode of a node whose certificate is for its host.
func (g *guild) start(at, cluster string, change func(*MuxConfig)) *node {
	g.t.Helper()
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		g.t.Fatal(err)
	}
	return startNode(g.t, g.net, at, cluster, func(c *MuxConfig) {
		c.TLS = g.with(g.pair(g.ca, host))
		c.Refused = func(_, _, why string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.refused[at] = append(g.refused[at], why)
		}
		if change != nil {
			change(c)
		}
	})
}

func (g *guild) refusals(at string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.refused[at])
}

// reach is an error of dialling for a purpose; what is accepted is hung up on again.
func reach(t *testing.T, from *node, p purpose, to *node) error {
	t.Helper()
	conn, err := from.dial(t.Context(), p, to.cfg.Address, to.id())
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// lost is what a dialler says whose certificate is not accepted, if it hears that.
const lost = "does not accept this node's certificate"

// unheard says that a pipe in memory, which has no room for last words, was closed over them.
// cmd/coordd hears them over TCP.
func unheard(err error, want string) bool { return want == lost && errors.Is(err, io.ErrClosedPipe) }

// TestTLS: b is a member with a. Who else comes to a's or b's port, and with what.
func TestTLS(t *testing.T) {
	tests := map[string]struct {
		member bool                         // the dialler is one of the cluster
		change func(g *guild, c *MuxConfig) // of the dialler
		want   map[purpose]string           // in the dialler's error; "": accepted
		tells  bool                         // the answerer tells of the refusal
	}{
		"a member": {true, nil, all(""), false},
		"no member": {false, nil, map[purpose]string{
			purposeHello: "", purposeRaft: "is no member of this cluster", purposeCalls: "is no member of this cluster"}, true},
		"a client's certificate of the same CA": {true, func(g *guild, c *MuxConfig) {
			c.TLS = g.with(g.pair(g.ca))
		}, all("the certificate is a client's"), true},
		"a client's certificate of another CA": {true, func(g *guild, c *MuxConfig) {
			c.TLS = g.with(g.pair(g.authority()))
		}, all(lost), true},
		"a node's certificate of another CA": {true, func(g *guild, c *MuxConfig) {
			c.TLS = g.with(g.pair(g.authority(), "a"))
		}, all(lost), true},
		"no certificate": {true, func(g *guild, c *MuxConfig) { c.TLS = g.with() },
			all(lost), true},
		"TLS 1.2": {true, func(g *guild, c *MuxConfig) {
			c.TLS = g.with(g.pair(g.ca, "a"))
			client := c.TLS.Client
			c.TLS.Client = func(host string) *tls.Config {
				conf := client(host)
				conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				return conf
			}
		}, all("protocol version not supported"), true},
		"plain text": {true, func(_ *guild, c *MuxConfig) { c.TLS = nil }, all("wants TLS"), false},
		"a certificate of another host": {true, func(g *guild, c *MuxConfig) {
			c.TLS = g.with(g.pair(g.ca, "c"))
		}, all("the certificate is not good for a:1"), true},
		"an address of another member": {true, func(g *guild, c *MuxConfig) {
			c.TLS, c.Address = g.with(g.pair(g.ca, "c")), "c:1"
		}, map[purpose]string{purposeHello: "", purposeRaft: "is not good for a:1", purposeCalls: "is not good for a:1"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuild(t)
				a := g.start("a:1", "c1", func(c *MuxConfig) {
					if tt.change != nil {
						tt.change(g, c)
					}
				})
				var b *node
				b = g.start("b:1", "c1", func(c *MuxConfig) {
					c.Members = func() []raftstore.Member {
						members := []raftstore.Member{{ID: b.id(), Address: "b:1"}}
						if tt.member {
							members = append(members, raftstore.Member{ID: a.id(), Address: "a:1"})
						}
						return members
					}
				})
				for p, want := range tt.want {
					err := reach(t, a, p, b)
					if unheard(err, want) {
						continue
					}
					if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
						t.Errorf("purpose %d: %v, want %q", p, err, want)
					}
				}
				synctest.Wait()
				if told := len(g.refusals("b:1")) > 0; told != tt.tells || strings.Contains(b.logs.String(), "WARN") != tt.tells {
					t.Errorf("told %q, logged %s", g.refusals("b:1"), &b.logs)
				}
			})
		})
	}
}

func all(want string) map[purpose]string {
	return map[purpose]string{purposeHello: want, purposeRaft: want, purposeCalls: want}
}

// TestTLSExpires: neither side takes a certificate whose time is over.
func TestTLSExpires(t *testing.T) {
	for name, tt := range map[string]struct {
		old  string // whose certificate it is
		want string
	}{
		"the dialler's": {"a:1", lost}, "the answerer's": {"b:1", "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuild(t)
				a, b := g.start("a:1", "c1", nil), g.start("b:1", "c1", nil)
				if err := reach(t, a, purposeHello, b); err != nil {
					t.Fatal(err)
				}
				time.Sleep(48 * time.Hour)
				for _, n := range []*node{a, b} {
					if n.cfg.Address != tt.old {
						*n.cfg.TLS = *g.with(g.pair(g.ca, n.cfg.Address[:1]))
					}
				}
				err := reach(t, a, purposeHello, b)
				if !unheard(err, tt.want) && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		})
	}
}

// TestTLSAnswerer: what answers at an address must have a certificate for it.
func TestTLSAnswerer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		a := g.start("a:1", "c1", nil)
		b := g.start("b:1", "c1", func(c *MuxConfig) { c.TLS = g.with(g.pair(g.ca, "c")) })
		if err := reach(t, a, purposeHello, b); err == nil || !strings.Contains(err.Error(), "valid for c, not b") {
			t.Errorf("another host: %v", err)
		}
		plain := g.start("p:1", "c1", func(c *MuxConfig) { c.TLS = nil })
		if err := reach(t, a, purposeHello, plain); !errors.Is(err, ErrNotPeer) {
			t.Errorf("plain text: %v", err)
		}
	})
}

// TestTLSVouched: a node that was away does not know the one that was added meanwhile. It
// takes the word of a member that it knows, and of nobody else.
func TestTLSVouched(t *testing.T) {
	for _, up := range []bool{true, false} {
		t.Run(map[bool]string{true: "a member knows", false: "nobody is there to ask"}[up], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuild(t)
				var b, c *node
				a := g.start("a:1", "c1", nil)
				cs := "gone"
				if up {
					c = g.start("c:1", "c1", func(cfg *MuxConfig) {
						cfg.Members = func() []raftstore.Member { return []raftstore.Member{{ID: a.id(), Address: "a:1"}} }
					})
					cs = c.id()
				}
				b = g.start("b:1", "c1", func(cfg *MuxConfig) {
					cfg.Members = func() []raftstore.Member {
						return []raftstore.Member{{ID: b.id(), Address: "b:1"}, {ID: cs, Address: "c:1"}}
					}
				})
				if err := reach(t, a, purposeRaft, b); up && err != nil || !up && !errors.Is(err, ErrNotMember) {
					t.Errorf("the new node: %v", err)
				}
				d := g.start("d:1", "c1", nil)
				if err := reach(t, d, purposeRaft, b); !errors.Is(err, ErrNotMember) {
					t.Errorf("a stranger: %v", err)
				}
			})
		})
	}
}

// TestTLSWithoutMembers: a node that was never in a configuration lets nodes tell it one. One
// that was, and has not read it yet, does not.
func TestTLSWithoutMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		a, b := g.start("a:1", "c1", nil), g.start("b:1", "c1", nil)
		if err := reach(t, a, purposeRaft, b); err != nil {
			t.Errorf("before: %v", err)
		}
		if err := b.cfg.Identity.Confirm(); err != nil {
			t.Fatal(err)
		}
		if err := reach(t, a, purposeRaft, b); err == nil || !strings.Contains(err.Error(), "does not know the members yet") {
			t.Errorf("a member that starts: %v", err)
		}
	})
}

// TestTLSAdopts: a fresh node adopts of who is at an address of its list, and can prove it.
func TestTLSAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		fresh := g.start("f:1", "", func(c *MuxConfig) { c.Join = []string{"a:1", "f:1"} })
		liar := g.start("x:1", "c2", func(c *MuxConfig) { c.Address = "a:1" })
		if err := reach(t, liar, purposeHello, fresh); err == nil || fresh.cfg.Identity.ClusterID() != "" {
			t.Errorf("%v, adopted %q", err, fresh.cfg.Identity.ClusterID())
		}
		a := g.start("a:1", "c1", nil)
		if err := reach(t, a, purposeHello, fresh); err != nil || fresh.cfg.Identity.ClusterID() != "c1" {
			t.Errorf("%v, adopted %q", err, fresh.cfg.Identity.ClusterID())
		}
	})
}

// TestTLSHeard: a member that has moved must have a certificate for where it was, else anybody
// could be it.
func TestTLSHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		b := g.start("b2:1", "c1", nil)
		c := g.start("c2:1", "c1", func(cfg *MuxConfig) { cfg.TLS = g.with(g.pair(g.ca, "c2", "c")) })
		a := g.start("a:1", "c1", func(cfg *MuxConfig) {
			cfg.Members = func() []raftstore.Member {
				return []raftstore.Member{{ID: b.id(), Address: "b:1"}, {ID: c.id(), Address: "c:1"}}
			}
		})
		for n, want := range map[*node]string{b: "", c: "c2:1"} {
			if err := reach(t, n, purposeHello, a); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // it notes that after its answer
			if got := a.Heard(n.id()); got != want {
				t.Errorf("%s is at %q, want %q", n.cfg.Address, got, want)
			}
		}
	})
}

// TestTLSSilence: who does not shake hands costs others nothing, and goes in time.
func TestTLSSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuild(t)
		a, b := g.start("a:1", "c1", nil), g.start("b:1", "c1", nil)
		conn, err := g.net.dial(t.Context(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := reach(t, a, purposeHello, b); err != nil {
			t.Errorf("meanwhile: %v", err)
		}
		began := time.Now()
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 || time.Since(began) != handshakeTimeout {
			t.Errorf("read %q, %v after %v", got, err, time.Since(began))
		}
		if b.logs.String() != "" || len(g.refusals("b:1")) > 0 {
			t.Errorf("logged %s", &b.logs)
		}
	})
}
