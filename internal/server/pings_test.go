package server_test

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pinging is what a client is told that pings twenty times, so far apart.
func pinging(t *testing.T, apart time.Duration) (said []byte) {
	const (
		preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" // with empty settings
		ping    = "\x00\x00\x08\x06\x00\x00\x00\x00\x00" + "12345678"
	)
	synctest.Test(t, func(t *testing.T) {
		conn, err := leading(t).lis.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			_, err := io.WriteString(conn, preface)
			for range 20 {
				if err == nil { // else it was hung up on
					time.Sleep(apart)
					_, err = io.WriteString(conn, ping)
				}
			}
			_ = conn.Close()
		})
		said, _ = io.ReadAll(conn) // the error is that of a connection that was cut
		writing.Wait()
	})
	return said
}

// A client that pings all the time loses its connection, and is told why; one that asks now and
// then whether the node lives does not.
func TestPingsAreEnforced(t *testing.T) {
	const why = "too_many_pings"
	if said := pinging(t, time.Second); !bytes.Contains(said, []byte(why)) {
		t.Errorf("every second: %q", said)
	}
	if said := pinging(t, 3*time.Second); bytes.Contains(said, []byte(why)) {
		t.Errorf("every three seconds: %q", said)
	}
}
