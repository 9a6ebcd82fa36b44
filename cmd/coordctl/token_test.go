package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.token")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"token", "new", path}, nil, &out, &errs, nil); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(data))
	sum := sha256.Sum256([]byte(token))
	if want := `{"sha256": "` + hex.EncodeToString(sum[:]) + `"}`; strings.TrimSpace(out.String()) != want {
		t.Errorf("printed %q, not %q", out.String(), want)
	}
	if strings.Contains(out.String(), token) {
		t.Error("the token is printed")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || len(token) != 43 {
		t.Errorf("%v, %v, %d characters", info.Mode(), err, len(token))
	}
	if code := run(t.Context(), []string{"token", "new", path}, nil, &out, &errs, nil); code != exitFailed || !strings.Contains(errs.String(), "name another file") {
		t.Errorf("again: exit %d: %s", code, &errs)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(again, data) {
		t.Error("the file was overwritten")
	}
}

func TestTokenFileIsNeeded(t *testing.T) {
	for _, c := range []struct {
		args    []string
		environ []string
		want    string
	}{
		{[]string{"--token-file", "/none", "get", "locks"}, nil, "open /none"},
		{[]string{"get", "locks"}, []string{"COORD_TOKEN_FILE=/none"}, "open /none"},
		{[]string{"--token-file", "/none", "--insecure-allow-remote", "--endpoints", "10.0.0.1:7600", "get", "locks"}, nil, "a token goes over TLS"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, nil, &out, &errs, c.environ); code != exitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, &errs)
		}
	}
}
