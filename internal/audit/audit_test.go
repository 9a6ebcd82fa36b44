package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func refusal(name string) Entry {
	return Entry{Principal: "p", Address: "127.0.0.1:1", Verb: "acquire", Resource: "lock/" + name, Method: "/m", Decision: Refused, Reason: "no rule"}
}

func lines(t *testing.T, data []byte) (out []written) {
	t.Helper()
	for line := range strings.Lines(string(data)) {
		var w written
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, w)
	}
	return out
}

func open(t *testing.T, w io.Writer, logger *slog.Logger) *Log {
	t.Helper()
	l, err := Open(Stderr, w, false, logger)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRepeatsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out book
		l := open(t, &out, slog.New(slog.DiscardHandler))
		for port := range 5 {
			e := refusal("a")
			e.Address = fmt.Sprintf("127.0.0.1:%d", port)
			l.Record(e)
		}
		l.Record(refusal("b"))
		for range 2 {
			l.Record(Entry{Method: "/m", Decision: Allowed, Verb: "admin", Index: 7})
		}
		synctest.Wait()
		if got := lines(t, out.Bytes()); len(got) != 4 || got[0].Resource != "lock/a" || got[1].Resource != "lock/b" || got[3].Index != 7 {
			t.Errorf("at once: %+v", got)
		}
		time.Sleep(window + time.Second)
		synctest.Wait()
		if got := lines(t, out.Bytes()); len(got) != 5 || got[4].Count != 4 || got[4].Resource != "lock/a" || got[4].Address != "127.0.0.1" {
			t.Errorf("after the window: %+v", got)
		}
		l.Record(refusal("a"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := lines(t, out.Bytes()); len(got) != 6 || got[5].Count != 0 {
			t.Errorf("after the window it is new again, and Close writes it: %+v", got)
		}
		if err := l.Reopen(); err != nil {
			t.Errorf("stderr: %v", err)
		}
	})
}

func TestManyDifferentRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out book
		l := open(t, &out, slog.New(slog.DiscardHandler))
		const more = 100
		for n := range maxRepeats + more {
			l.Record(refusal(fmt.Sprint(n)))
			synctest.Wait()
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got := lines(t, out.Bytes())
		if last := got[len(got)-1]; len(got) != maxRepeats+1 || last.Count != more {
			t.Errorf("%d lines, the last %+v", len(got), last)
		}
	})
}

// A book may be read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) Bytes() []byte { return []byte(b.String()) }

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// stuck is a disk that hangs until it is let go.
type stuck struct {
	bytes.Buffer
	letGo chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.letGo
	return s.Buffer.Write(p)
}

func TestRecordNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{letGo: make(chan struct{})}
		l := open(t, out, slog.New(slog.DiscardHandler))
		const more = 10
		l.Record(Entry{Method: "/m", Decision: Allowed})
		synctest.Wait() // the writer hangs with it
		for range queueEntries + more {
			l.Record(Entry{Method: "/m", Decision: Allowed})
		}
		close(out.letGo)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got := lines(t, out.Bytes())
		if last := got[len(got)-1]; len(got) != queueEntries+2 || last.Count != more || last.Method != "audit" {
			t.Errorf("%d lines, the last %+v", len(got), last)
		}
	})
}

// full is a disk without room.
type full struct{ tries int }

func (f *full) Write([]byte) (int, error) {
	f.tries++
	return 0, errors.New("no space left on device")
}

func TestAFullDiskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log book
		disk := &full{}
		l := open(t, disk, slog.New(slog.NewTextHandler(&log, nil)))
		for range 100 {
			l.Record(Entry{Method: "/m", Decision: Allowed})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if disk.tries != 100 || strings.Count(log.String(), "no space left") != 1 {
			t.Errorf("%d tries, and the log says %s", disk.tries, log.String())
		}
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	l, err := Open(path, io.Discard, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	l.Record(refusal("a"))
	for len(l.queue) > 0 { // until it is taken; Reopen waits for the write
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.PeerRefused("10.0.0.9:1", "n9", "not a member")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, ErrClosed) {
		t.Errorf("reopened after Close: %v", err)
	}
	for file, want := range map[string]string{path + ".1": "lock/a", path: "not a member"} {
		data, err := os.ReadFile(file)
		if err != nil || len(lines(t, data)) != 1 || !strings.Contains(string(data), want) {
			t.Errorf("%s has %s, %v; not one line with %s", file, data, err, want)
		}
	}
}

func TestNoLog(t *testing.T) {
	var l *Log
	l.Record(refusal("a"))
	l.PeerRefused("", "", "")
	if l.All() || l.Reopen() != nil || l.Close() != nil {
		t.Error("a log that is not there does something")
	}
	if _, err := Open(t.TempDir(), io.Discard, false, slog.Default()); err == nil {
		t.Error("a directory is a log")
	}
}
