package server_test

import (
	"crypto/tls"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// TestSilentHandshake: who opens a connection to a TLS port and says nothing is hung up on, in
// the time that a handshake has.
func TestSilentHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(c *server.Config, _ *raftstore.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS13} })
		begin := time.Now()
		conn, err := n.lis.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("read %q, %v", got, err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("hung up on after %v", took)
		}
	})
}
