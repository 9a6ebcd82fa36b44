package certs

import (
	"io"
	"net"
	"time"
)

const (
	farewellTime  = time.Second
	farewellBytes = 64 << 10
)

// Farewell lets the other side of a connection whose handshake was refused hear why, before it
// is closed. In TLS 1.3 a client is done before its certificate is looked at, and says its
// first words at once; a connection that is closed over unread words is reset, and the alert may
// be lost with it.
func Farewell(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if conn.SetReadDeadline(time.Now().Add(farewellTime)) == nil {
		_, _ = io.CopyN(io.Discard, conn, farewellBytes) // until it hangs up
	}
}
