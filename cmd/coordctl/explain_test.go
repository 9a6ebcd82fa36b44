package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// What a person reads at three in the morning, in these words.
func TestExplanations(t *testing.T) {
	clockTimes := regexp.MustCompile(`since [-0-9: ]+ \(`)
	a := &app{endpoints: "10.0.0.1:7600", insecure: true}
	past := &coordv1.HoldTimes{Count: 12, Median: seconds(30), P90: seconds(60), Longest: seconds(300)}
	for _, c := range []struct {
		name    string
		r       *coordv1.ExplainObjectResponse
		edit    func(r *coordv1.ExplainObjectResponse, d *coordv1.Description)
		want    []string
		command bool
	}{
		{
			name: "held for long, two wait", r: busy(2),
			edit: func(r *coordv1.ExplainObjectResponse, d *coordv1.Description) {
				r.HoldTimes, r.ExpectedWaits, r.ExpectedWaitOfNext = past, []*durationpb.Duration{seconds(0), seconds(30)}, seconds(60)
				d.Holders[0].Note = "nightly billing."
			},
			want: []string{
				"Lock deploy is held by host-0 pid 812 (nightly billing.), since TIME (2m).",
				"It says why: nightly billing.",
				"It is alive: it renewed its lease 3s ago; the lease ends in 7s unless it is renewed again (session 0000000000000001).",
				"It has held it for longer than nine in ten of the last 12 holds.",
				"2 wait; first is host-1 pid 812 (billing), which has waited 1m59s.",
				"The last 12 holds lasted 30s (median), nine in ten no longer than 1m, the longest 5m.",
				"By that it should have ended already. From its end on the first waits less than a second yet, number 2 about 30s, who comes now about 1m.",
				"Wait; or take it away, with all that its session holds: coordctl --endpoints 10.0.0.1:7600 --insecure-allow-remote session revoke 0000000000000001",
				"Its holder is then told to stop, and it is free when the lease ends at the latest. --now does not wait for the holder, which may go on writing.",
			},
			command: true,
		},
		{
			name: "nobody waits, no history, not renewed", r: busy(0),
			edit: func(_ *coordv1.ExplainObjectResponse, d *coordv1.Description) { d.Holders[0].Renewed = seconds(8) },
			want: []string{
				"Lock deploy is held by host-0 pid 812 (billing), since TIME (2m).",
				"It does not say why: it has no note.",
				"It may be dead: it should have renewed its lease and did so last 8s ago. Unless it does, the lease ends in 2s, and the hold with it (session 0000000000000001, lease of 10s).",
				"Nobody waits for it.",
				"No hold that ended is remembered, so there is no telling how long it takes.",
			},
			command: true,
		},
		{
			name: "in its lock-delay", r: busy(1),
			edit: func(r *coordv1.ExplainObjectResponse, d *coordv1.Description) {
				d.Holders[0].Delayed = seconds(4)
				r.HoldTimes, r.ExpectedWaits, r.ExpectedWaitOfNext = past, []*durationpb.Duration{seconds(4)}, seconds(34)
			},
			want: []string{
				"Lock deploy is held by nobody, but stays taken by a lock-delay.",
				"The session of host-0 pid 812 (billing) is over (session 0000000000000001). Nobody else has it for another 4s.",
				"1 waits; first is host-1 pid 812 (billing), which has waited 1m59s.",
				"The last 12 holds lasted 30s (median), nine in ten no longer than 1m, the longest 5m.",
				"If it goes on like that the first waits about 4s yet, who comes now about 34s.",
				"Wait 4s: nothing shortens a lock-delay.",
			},
		},
		{
			name: "an election", r: busy(0),
			edit: func(_ *coordv1.ExplainObjectResponse, d *coordv1.Description) {
				d.Kind, d.Name, d.Holders[0].Value = coordv1.Kind_KIND_ELECTION, "cron", "10.0.0.7:80"
			},
			want: []string{"Election cron is led by host-0 pid 812 (billing) with the value 10.0.0.7:80, since TIME (2m)."}, command: true,
		},
		{
			name: "a semaphore with permits left", r: busy(0),
			edit: func(_ *coordv1.ExplainObjectResponse, d *coordv1.Description) {
				d.Kind, d.Name, d.Limit, d.Held = coordv1.Kind_KIND_SEMAPHORE, "gpu", 4, 1
			},
			want: []string{
				"1 of 4 permits of semaphore gpu are held.",
				"host-0 pid 812 (billing) holds it, since TIME (2m).",
				"It does not say why: it has no note.",
				"It is alive: it renewed its lease 3s ago; the lease ends in 7s unless it is renewed again (session 0000000000000001).",
				"Nobody waits for it.",
				"No hold that ended is remembered, so there is no telling how long it takes.",
				"Nothing needs to be done: 3 permits are left.",
			},
		},
		{
			name: "a limit that nobody uses", r: &coordv1.ExplainObjectResponse{Description: &coordv1.Description{Kind: coordv1.Kind_KIND_SEMAPHORE, Name: "gpu", Limit: 4}},
			want: []string{
				"No permit of semaphore gpu is held; its limit is 4.",
				"Nobody waits for it.",
				"No hold that ended is remembered, so there is no telling how long it takes.",
				"Nothing needs to be done: who asks for it has it at once.",
			},
		},
		{
			name: "waited for and not held", r: busy(1),
			edit: func(_ *coordv1.ExplainObjectResponse, d *coordv1.Description) { d.Holders = nil },
			want: []string{
				"Nobody holds lock deploy.",
				"1 waits; first is host-1 pid 812 (billing), which has waited 1m59s.",
				"That nobody holds it means that the first waits for something else besides, as LockAll does.",
				"No hold that ended is remembered, so there is no telling how long it takes.",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit != nil {
				c.edit(c.r, c.r.GetDescription())
			}
			x := (&explaining{app: a}).explain(c.r, nil)
			var got []string
			for _, sentence := range x.Sentences {
				got = append(got, clockTimes.ReplaceAllString(sentence, "since TIME ("))
			}
			got = got[:min(len(got), len(c.want))]
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if (x.Command != "") != c.command {
				t.Errorf("the command is %q", x.Command)
			}
		})
	}
}

// A session is explained by its id, if nothing has that name.
func TestExplainSession(t *testing.T) {
	e := &explaining{app: &app{}}
	s := &coordv1.Session{
		SessionId: 42, Who: &coordv1.Who{Name: "billing", Metadata: map[string]string{"host": "host-a", "pid": "812"}},
		Ttl: seconds(10), Remaining: seconds(9), Holds: 1,
	}
	want := []string{
		"Session 000000000000002a is of host-a pid 812 (billing).",
		"It has 1 hold and no wait.",
		"It is alive: its lease of 10s ends in 9s unless it is renewed.",
		"To take it back, with all that it holds: coordctl session revoke 000000000000002a",
	}
	if d := cmp.Diff(want, e.explainSession(s).Sentences); d != "" {
		t.Error(d)
	}
	s.Remaining = seconds(2)
	if got := e.explainSession(s).Sentences[2]; got != "It may be dead: it should have renewed its lease of 10s, which ends in 2s unless it is renewed." {
		t.Error(got)
	}
	s.Revoked = true
	if x := e.explainSession(s); x.Command != "coordctl session revoke --now 000000000000002a" || x.Sentences[3] != "Wait 2s; or end it at once: "+x.Command {
		t.Errorf("%q %q", x.Command, x.Sentences)
	}
}

// Who had something last is told after it is gone.
func TestExplainWhatIsGone(t *testing.T) {
	node := &inspected{past: []*coordv1.PastHold{{
		SessionId: 42, Held: seconds(90), EndReason: coordv1.EndReason_END_REASON_EXPIRED, Revision: 3,
	}}}
	code, out, errs := node.ctl(t, "explain", "lock", "deploy")
	if code != 0 || !regexp.MustCompile(`^Nobody holds lock deploy, and nobody waits for it.
session 000000000000002a had it last, for 1m30s, lost at [-0-9: ]+ \(its lease ran out\).
Nothing needs to be done`).MatchString(out) {
		t.Errorf("%d %s%s", code, out, errs)
	}
	node.past = nil
	if code, out, _ := node.ctl(t, "explain", "deploy"); code != exitNotFound || out != "" {
		t.Errorf("nobody had it: %d %s", code, out)
	}
}

// With -w it is explained again when it changes hands, and with -o wide the tables follow.
func TestExplainWatch(t *testing.T) {
	cluster := coordtest.New(t)
	_, out, _ := startWatch(t, cluster.Target(), "explain", "lock", "x", "-w", "-o", "wide")
	until := func(text string) {
		t.Helper()
		for {
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatalf("no line has %q: %v", text, err)
			}
			if strings.Contains(line, text) {
				return
			}
		}
	}
	until("Nothing needs to be done")
	c := cluster.Dial(client.WithTTL(time.Hour), client.WithName("who"))
	h, err := c.Mutex("x").LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until("Lock x is held by ")
	until("HOLDER")
	if err := h.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	until("Nobody holds lock x")
	until("(who) had it last, for ")
}
