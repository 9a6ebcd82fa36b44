package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// A body that does not come is waited for no longer than any, whatever the method, and whether
// or not it is wanted.
func TestSlowBodyIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		head string
		code int
	}{
		"post":           {"POST /v1/locks:lock HTTP/1.1\r\nContent-Type: application/json\r\n", http.StatusBadRequest},
		"get":            {"GET /v1/objects:describe?kind=lock&name=x HTTP/1.1\r\n", http.StatusBadRequest},
		"one of no type": {"POST /v1/locks:lock HTTP/1.1\r\n", http.StatusUnsupportedMediaType},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, s := stubbed(t)
				lis := bufconn.Listen(1 << 16)
				srv := &http.Server{Handler: g}
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = srv.Serve(lis) // it ends by Close
				}()
				conn, err := lis.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				if _, err := io.WriteString(conn, test.head+"Host: localhost\r\nContent-Length: 10\r\n\r\n{"); err != nil {
					t.Fatal(err)
				}
				r, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				refused(t, r, test.code)
				if d := time.Since(begin); d > 10*time.Second {
					t.Errorf("after %v", d)
				}
				if s.locked != nil {
					t.Error("a call came through")
				}
				_ = conn.Close()
				_ = srv.Close()
				<-served
			})
		})
	}
}
