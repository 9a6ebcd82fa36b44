package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
)

// TestDialMistrusted: what only a person can mend is said at once; what may pass is waited for.
func TestDialMistrusted(t *testing.T) {
	for name, tt := range map[string]struct {
		says string // what answers the first bytes; empty: it hangs up
		want string
		took time.Duration
	}{
		"plain text": {"SSH-2.0-OpenSSH_9.6\r\n", "it speaks plain text, and not TLS", 0},
		"hangs up":   {"", "it hung up", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial := func(context.Context, string) (net.Conn, error) {
					near, far := net.Pipe()
					go func() {
						_, _ = far.Read(make([]byte, 16<<10))
						_, _ = io.WriteString(far, tt.says)
						_ = far.Close()
					}()
					return near, nil
				}
				began := time.Now()
				c, err := client.Dial(t.Context(), "10.0.0.1:7600", client.WithDialer(dial), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
				if err == nil {
					_ = c.Close()
				}
				if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no coordd at 10.0.0.1:7600: "+tt.want) ||
					strings.Contains(err.Error(), "start one") {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}
