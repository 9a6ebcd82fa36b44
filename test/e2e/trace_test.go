package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"coordd.dev/client"
	"coordd.dev/test/otlp"
)

// traced takes a lock in a span of its own, says that it has it, and gives it back when it
// is told to.
func traced(ctx context.Context) error {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return err
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resource.Environment()))
	otel.SetTracerProvider(tp)
	c, err := client.Dial(ctx, "", client.WithTTL(time.Hour), client.WithName("traced"))
	if err != nil {
		return err
	}
	work, span := tp.Tracer("e2e").Start(ctx, "work")
	h, err := c.Mutex("traced").LockContext(work)
	if err != nil {
		return err
	}
	fmt.Println("held")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	err = errors.Join(err, h.Unlock(ctx))
	<-h.Context().Done()
	span.End()
	return errors.Join(err, c.Close(), tp.Shutdown(ctx))
}

// A tracedProcess runs traced.
type tracedProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startTraced(ctx context.Context, t *testing.T, name string, env ...string) *tracedProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &tracedProcess{cmd: exec.CommandContext(ctx, exe)}
	p.cmd.Env = append(append(os.Environ(), env...), "E2E_ROLE=traced", "OTEL_SERVICE_NAME="+name)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *tracedProcess) held(t *testing.T) {
	t.Helper()
	if line, err := p.out.ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
}

func (p *tracedProcess) finish(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestTraceOfContendedLock: two processes want one lock of three nodes. Each has a trace
// from its call to the apply on every node, and the one that waited links to the other's
// hold.
func TestTraceOfContendedLock(t *testing.T) {
	ctx := bounded(t)
	collector := otlp.New(t)
	env := collector.Environ()
	c := cluster(ctx, t, env...)
	env = append(env, "COORD_ENDPOINTS="+c.Target())
	first := startTraced(ctx, t, "first", env...)
	first.held(t)
	second := startTraced(ctx, t, "second", env...)
	awaitWaiter(ctx, t, c.Target(), "traced")
	first.finish(t)
	second.held(t)
	second.finish(t)

	spans := collector.Await(func(spans []otlp.Span) error {
		for _, who := range []string{"first", "second"} {
			if _, err := lockTraceOf(spans, who); err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
		}
		return nil
	})
	a, _ := lockTraceOf(spans, "first") // checked above
	b, _ := lockTraceOf(spans, "second")
	if a.work.TraceID == b.work.TraceID {
		t.Error("two processes have one trace")
	}
	if len(a.acquire.Links) != 0 {
		t.Errorf("who did not wait links to %v", a.acquire.Links)
	}
	if want := []otlp.Link{{TraceID: a.hold.TraceID, ID: a.hold.ID}}; !slices.Equal(b.acquire.Links, want) {
		t.Errorf("who waited links to %v, should to %v", b.acquire.Links, want)
	}
	for _, l := range []lockTrace{a, b} {
		l.check(t)
	}
}

// awaitWaiter returns when somebody waits for a lock.
func awaitWaiter(ctx context.Context, t *testing.T, target, name string) {
	t.Helper()
	c, err := client.Dial(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if d, err := c.Describe(ctx, client.KindLock, name); err != nil || d.Waiting == 1 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// A lockTrace is the spans of one acquisition.
type lockTrace struct {
	work, hold, acquire, propose, commit otlp.Span
	applies                              []otlp.Span
}

// lockTraceOf finds the spans of a process' acquisition, or says which one is missing.
func lockTraceOf(spans []otlp.Span, who string) (l lockTrace, err error) {
	one := func(name, parent string) otlp.Span {
		for _, s := range otlp.Of(spans, name) {
			if s.Parent == parent && (l.work.TraceID == "" && s.Resource["service.name"] == who || l.work.TraceID == s.TraceID) {
				return s
			}
		}
		err = errors.Join(err, fmt.Errorf("no span %s below %q", name, parent))
		return otlp.Span{}
	}
	l.work = one("work", "")
	l.hold = one("coord.hold", l.work.ID)
	l.acquire = one("coord.acquire", l.hold.ID)
	l.propose = one("coord.propose", l.hold.ID)
	l.commit = one("coord.commit", l.propose.ID)
	for _, s := range otlp.Of(spans, "coord.apply") {
		if s.TraceID == l.work.TraceID && s.Parent == l.hold.ID {
			l.applies = append(l.applies, s)
		}
	}
	if len(l.applies) < 3 {
		err = errors.Join(err, fmt.Errorf("%d spans coord.apply", len(l.applies)))
	}
	return l, err
}

func (l lockTrace) check(t *testing.T) {
	t.Helper()
	who := l.hold.Resource["service.name"]
	if a := l.hold.Attributes; a["coord.kind"] != "lock" || a["coord.name"] != "traced" || a["coord.mode"] != "exclusive" || a["coord.token"] == "" {
		t.Errorf("%s: the hold's attributes are %v", who, a)
	}
	if l.acquire.Resource["service.name"] != who || l.propose.Resource["service.name"] != "coordd" || l.commit.Resource["service.name"] != "coordd" {
		t.Errorf("%s: the spans are of %q, %q, %q", who, l.acquire.Resource, l.propose.Resource, l.commit.Resource)
	}
	leader, nodes := l.propose.Resource["service.instance.id"], map[string]bool{}
	for _, s := range l.applies {
		nodes[s.Resource["service.instance.id"]] = true
		if s.Attributes["coord.raft.index"] != l.commit.Attributes["coord.raft.index"] {
			t.Errorf("%s: committed at %v, applied at %v", who, l.commit.Attributes, s.Attributes)
		}
	}
	if len(l.applies) != 3 || len(nodes) != 3 || !nodes[leader] {
		t.Errorf("%s: proposed by %s, applied %d times by %v", who, leader, len(l.applies), nodes)
	}
	for _, s := range []otlp.Span{l.hold, l.acquire, l.propose, l.commit} {
		if s.Error != "" || s.End.Before(s.Start) {
			t.Errorf("%s: %s is from %v to %v, %q", who, s.Name, s.Start, s.End, s.Error)
		}
	}
	if l.acquire.Start.Before(l.hold.Start) || l.hold.End.Before(l.acquire.End) || l.propose.End.Before(l.commit.End) ||
		strings.TrimLeft(l.acquire.ID, "0") == "" {
		t.Errorf("%s: spans do not lie in each other: %v", who, l)
	}
}
