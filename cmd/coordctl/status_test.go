package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Whatever it is that answers as no node does, the exit code says that none answers.
func TestStatusOfNoNode(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for timeout, endpoint := range map[string]string{"60": web.Listener.Addr().String(), "100ms": mute.Addr().String()} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"--endpoints", endpoint, "--timeout", timeout, "status"}, nil, &out, &errs, nil)
		if code != exitUnavailable {
			t.Errorf("%d: %s%s", code, &out, &errs)
		}
	}
}
