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
		timeBody(w, r)
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
		if !takeBody(w, r) {
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

// timeBody gives the body its time, also that of a request that is refused or has none to
// send: the server reads what is left of it before it answers.
func timeBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// A recorder of a test has no deadlines, nor a client that is slow.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
}

// takeBody reads the body. It is false if the request is refused. What is not POST says all
// in its URL; a body that it has all the same is read by the same limits, and dropped.
func takeBody(w http.ResponseWriter, r *http.Request) bool {
	post := r.Method == http.MethodPost
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if post && (err != nil || media != "application/json") {
		refuse(w, http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"request: its Content-Type is not application/json; say so: curl --json '{...}' does")
		return false
	}
	if r.ContentLength == 0 {
		return true
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytes))
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		refuse(w, http.StatusRequestEntityTooLarge, codes.InvalidArgument,
			"request: its body is above 1 MiB; send less")
		return false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, codes.InvalidArgument, "request: its body did not come in 10 s; send it again")
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or it would end the wait that follows
	if r.Body = http.NoBody; post {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
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
