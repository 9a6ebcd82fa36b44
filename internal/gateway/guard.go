package gateway

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "coordd.dev/api/coord/v1"
)

const (
	bodyBytes = 1 << 20
	bodyTime  = 10 * time.Second
)

// guard refuses what next must not see, and reads the body, so that next has the whole of
// it or nothing.
func guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch err := origins.Check(r); {
		case err != nil:
			refuse(w, http.StatusForbidden, codes.PermissionDenied,
				"request: it comes from a page of another origin; use a program, not a browser")
			return
		case rebound(r):
			refuse(w, http.StatusForbidden, codes.PermissionDenied,
				"request: its Host is a domain, and this node listens on loopback; ask for 127.0.0.1 or localhost")
			return
		}
		if r.Method == http.MethodPost && !takeBody(w, r) {
			return
		}
		spellKind(r)
		next.ServeHTTP(w, r)
	})
}

// rebound says that a domain was made to point at this machine's loopback: a page of that
// domain would be of the same origin as this.
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil
}

// takeBody reads the body of a POST. It is false if the request is refused.
func takeBody(w http.ResponseWriter, r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"request: its Content-Type is not application/json; say so: curl --json '{...}' does")
		return false
	}
	control := http.NewResponseController(w)
	// A recorder of a test has no deadlines, nor a client that is slow.
	_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytes))
	_ = control.SetReadDeadline(time.Time{}) // or it would end the wait that follows
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		refuse(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument,
			"request: its body is above 1 MiB; send less")
		return false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, codes.InvalidArgument, "request: its body did not come in 10 s; send it again")
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// spellKind takes kind=lock for kind=KIND_LOCK.
func spellKind(r *http.Request) {
	query := r.URL.Query()
	kind := query.Get("kind")
	full := "KIND_" + strings.ToUpper(kind)
	if _, known := v1.Kind_value[full]; !known {
		return
	}
	query.Set("kind", full)
	r.URL.RawQuery = query.Encode()
}

func refuse(w http.ResponseWriter, code int, c codes.Code, message string) {
	write(w, code, bodyOf(status.New(c, message)))
}
