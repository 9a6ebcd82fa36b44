package hraft

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

func TestHCLog(t *testing.T) {
	var out bytes.Buffer
	l := newHCLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	l.Debug("too low")
	l.Info("got", "bytes", hclog.Fmt("%d / %d", 3, 4))
	l.With("peer", "n1").Named("net").Warn("lost")
	l.Log(hclog.Off, "never")
	l.Error("odd", "key without value")
	l.Error("peer has newer term, stopping replication", "peer", "n2") // as raft has it
	l.StandardLogger(nil).Print("standard")
	want := `level=INFO msg=got bytes="3 / 4"
level=WARN msg=lost peer=n1
level=ERROR msg=odd !BADKEY="key without value"
level=INFO msg="peer has newer term, stopping replication" peer=n2
level=INFO msg=standard
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if l.IsDebug() || l.IsTrace() || !l.IsInfo() || !l.IsWarn() || !l.IsError() || l.GetLevel() != hclog.Info {
		t.Errorf("level %v", l.GetLevel())
	}
	named := l.Named("a").Named("b").With("k", 1)
	if named.Name() != "a.b" || len(named.ImpliedArgs()) != 2 {
		t.Errorf("name %q, args %v", named.Name(), named.ImpliedArgs())
	}
}
