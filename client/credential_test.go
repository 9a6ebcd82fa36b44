package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"coordd.dev/client"
)

func writeToken(t *testing.T, path, token string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokenFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		for _, bad := range []string{"", "\n", "two words\n", "tøken", strings.Repeat("x", 5000)} {
			writeToken(t, path, bad)
			if _, err := client.TokenFile(path); !errors.Is(err, client.ErrInvalid) {
				t.Errorf("%.10q is a token: %v", bad, err)
			}
		}
		writeToken(t, path, "one\n")
		f, err := client.TokenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sent := func(audience string) string {
			md, err := f.GetRequestMetadata(plain(t), audience)
			if err != nil {
				return err.Error()
			}
			return md["authorization"]
		}
		const home = "https://127.0.0.1:7600/coord.v1.LockService"
		if got := sent(home); got != "Bearer one" {
			t.Errorf("sent %q", got)
		}
		for _, away := range []string{"https://10.0.0.1:7600/x", "https://example.org/x", "https://127.0.0.1.example.org/x", ""} {
			if got := sent(away); !strings.Contains(got, "goes over TLS") {
				t.Errorf("to %q in plain text: %q", away, got)
			}
		}
		writeToken(t, path, "two\n")
		time.Sleep(time.Second)
		if got := sent(home); got != "Bearer two" {
			t.Errorf("of a file that changed: %q", got)
		}
		writeToken(t, path, "")
		time.Sleep(time.Second)
		if got := sent(home); got != "Bearer two" {
			t.Errorf("of a file that is being written: %q", got)
		}
	})
}

// plain is the context of a call over a connection in plain text.
func plain(t *testing.T) context.Context {
	t.Helper()
	_, info, err := insecure.NewCredentials().ClientHandshake(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewContextWithRequestInfo(t.Context(), credentials.RequestInfo{AuthInfo: info})
}

func TestDialWithCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	_, err := client.Dial(t.Context(), "127.0.0.1:1", client.WithCredentialsFile(path))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	writeToken(t, path, "one")
	_, err = client.Dial(t.Context(), "10.0.0.1:1", client.WithCredentialsFile(path), client.WithInsecure())
	if !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "goes over TLS") {
		t.Errorf("in plain text beyond loopback: %v", err)
	}
}
