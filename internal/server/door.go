package server

import (
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"coordd.dev/internal/certs"
)

// A door is the AuthInfo of calls over a connection that did not come in by the client port
// (Shared, Passed): who serves its listener answers for it.
type door struct {
	credentials.CommonAuthInfo
	passed bool // it is another node's, else from within the process
}

// AuthType implements credentials.AuthInfo.
func (d door) AuthType() string {
	if d.passed {
		return "passed"
	}
	return "shared"
}

// doors are what a connection has to show. One gRPC server has one kind of credentials, and
// serves several listeners: what is not marked is a client's, and shakes hands. The AuthInfo
// of its calls is then credentials.TLSInfo. A connection is told by its own type, and never by
// an address, of which a client may have any.
type doors struct {
	credentials.TransportCredentials
}

// newDoors wants TLS of clients, or none if conf is nil.
func newDoors(conf *tls.Config) doors {
	if conf == nil {
		return doors{insecure.NewCredentials()}
	}
	return doors{credentials.NewTLS(conf)}
}

// ServerHandshake implements credentials.TransportCredentials.
func (d doors) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	marked, ok := conn.(markedConn)
	if !ok {
		guest := &guest{Conn: conn}
		secured, info, err := d.TransportCredentials.ServerHandshake(guest)
		guest.in = err == nil
		return secured, info, err
	}
	_, passed := marked.from.(passedAddr)
	return conn, door{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, passed}, nil
}

// A guest is a client's connection, which is not closed over what it says while it hears that
// it may not come in.
type guest struct {
	net.Conn
	in bool // set once, before anybody else has it
}

// Close implements net.Conn.
func (g *guest) Close() error {
	if !g.in {
		certs.Farewell(g.Conn)
	}
	return g.Conn.Close()
}

// Clone implements credentials.TransportCredentials.
func (d doors) Clone() credentials.TransportCredentials { return doors{d.TransportCredentials.Clone()} }
