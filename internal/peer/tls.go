package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"coordd.dev/internal/certs"
	"coordd.dev/raftstore"
)

// vouchTime bounds how long other members are asked about a node.
const vouchTime = 2 * time.Second

// A TLS is what makes a peer port one for nodes only.
type TLS struct {
	// Server demands a certificate of whoever dials, and verifies it.
	Server *tls.Config
	// Client is for a connection to a node whose certificate has to be good for the host.
	Client func(host string) *tls.Config
}

// Papers are what the dialler of a connection has shown. Without TLS they are nil, and then
// everything is believed.
type papers struct {
	cert  *x509.Certificate
	fault string // why they are no node's, if they are not
}

// answerTLS is the answerer's half of TLS, within the connection's deadline.
func (m *Mux) answerTLS(conn net.Conn) (net.Conn, *papers, error) {
	if m.cfg.TLS == nil {
		return conn, nil, nil
	}
	secured := tls.Server(conn, m.cfg.TLS.Server)
	if err := secured.Handshake(); err != nil {
		if !mumbled(err) {
			certs.Farewell(conn)
			m.warn(refusedCertificate, "its certificate is not accepted here: "+err.Error(), greeting{}, conn.RemoteAddr())
		}
		return conn, nil, err
	}
	state := secured.ConnectionState()
	p := new(papers)
	if forServers(state.VerifiedChains) {
		p.cert = state.PeerCertificates[0]
	} else {
		p.fault = "the certificate is a client's: a node's must be good for servers too, as coordctl cert node makes them"
	}
	return secured, p, nil
}

// mumbled says that who dialled did not speak TLS at all, or went away: whoever looks whether
// a port is open does that.
func mumbled(err error) bool {
	var header tls.RecordHeaderError
	var network net.Error
	return errors.Is(err, io.EOF) || errors.As(err, &header) || errors.As(err, &network)
}

// forServers says whether a chain that was verified for a client is good for a server too. A
// client's certificate is not, so that one CA for both makes no node of a client.
func forServers(chains [][]*x509.Certificate) bool {
	good := func(c *x509.Certificate) bool {
		return len(c.ExtKeyUsage) == 0 && c.IsCA || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) ||
			slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
	}
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return !slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return !good(c) })
	})
}

// dialTLS is the dialler's half of TLS.
func (m *Mux) dialTLS(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if m.cfg.TLS == nil {
		return conn, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return conn, err
	}
	secured := tls.Client(conn, m.cfg.TLS.Client(host))
	switch err := secured.HandshakeContext(ctx); {
	case hungUp(err):
		return conn, fmt.Errorf("%w with TLS, or it is full: it hung up", ErrNotPeer)
	case err != nil:
		return conn, err
	}
	return secured, nil
}

// own refuses what is no node's certificate, and a greeting that says of itself what the
// certificate does not bear out: where the dialler is reached. A fresh node adopts on the
// strength of that address.
func (p *papers) own(g greeting) (refusal, string) {
	if p == nil || g.Version != version { // of which the rest is not known
		return accepted, ""
	}
	if why := p.goodFor(g.Address); why != "" {
		return refusedCertificate, why
	}
	return accepted, ""
}

// goodFor says why the certificate is not good for the host of a peer address.
func (p *papers) goodFor(address string) string {
	if p.fault != "" {
		return p.fault
	}
	host, _, err := net.SplitHostPort(address)
	if err == nil {
		err = p.cert.VerifyHostname(host)
	}
	if err != nil {
		return fmt.Sprintf("the certificate is not good for %s: issue one for that host, or see --advertise-peer", address)
	}
	return ""
}

// standing refuses a node that is no member of the cluster, or is another than the
// certificate says. It is for a greeting that is welcome otherwise.
//
// The configuration that this node knows may be old: it was away, and meanwhile the node that
// now leads was added. If it were refused, this node would never hear of that. So members that
// are known are asked, which may know better; a stranger cannot answer for them.
func (m *Mux) standing(p *papers, g greeting) (refusal, string) {
	if p == nil {
		return accepted, ""
	}
	members := m.members()
	if len(members) == 0 {
		if m.cfg.Identity.Phase() == PhaseMember {
			return refusedStarting, "this node starts, and does not know the members yet"
		}
		// It has nothing but a cluster id, which it has of somebody with such a certificate.
		return accepted, ""
	}
	member, ok := memberOf(members, g.Node)
	if !ok {
		member, ok = m.vouched(members, g.Node)
	}
	if !ok {
		return refusedNotMember, fmt.Sprintf("node %s is no member of this cluster; if it is to be one: coordctl member add", g.Node)
	}
	if why := p.goodFor(member.Address); why != "" {
		return refusedCertificate, why
	}
	return accepted, ""
}

// members is the configuration that this node knows: raft's, or the one that it decided.
func (m *Mux) members() []raftstore.Member {
	if members := m.cfg.Members(); len(members) > 0 {
		return members
	}
	return m.cfg.Identity.Servers()
}

func memberOf(members []raftstore.Member, id string) (raftstore.Member, bool) {
	i := slices.IndexFunc(members, func(m raftstore.Member) bool { return m.ID == id })
	if i < 0 {
		return raftstore.Member{}, false
	}
	return members[i], true
}

// vouched asks the members whether they know another one by the id.
func (m *Mux) vouched(members []raftstore.Member, id string) (found raftstore.Member, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), vouchTime)
	defer cancel()
	m.askAll(ctx, members, func(h Hello) {
		if known, is := memberOf(h.Members, id); is {
			found, ok = known, true
			cancel()
		}
	})
	return found, ok
}

// hungUp says that the other side did not want to hear more. The system tells of that in
// another way if there was more.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// inWords says what an alert of the other side means.
func inWords(err error) error {
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		return fmt.Errorf("it does not accept this node's certificate (%w): see --peer-cert-file here, "+
			"--peer-trusted-ca-file there, and both clocks", alert.Err)
	}
	return err
}

// raw is the connection that take was given.
func raw(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}
