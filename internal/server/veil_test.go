package server_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"

	coordv1 "coordd.dev/api/coord/v1"
)

// Who closes a cycle is told who is in it, but not the names of what it may not see.
func TestCyclesHideWhatOneMayNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", rule("lock", "team/*", "acquire", "")), principalOf("root", rule("*", "*", "admin", "")))
		under := func(c *client, name, held, note string) *coordv1.Op {
			wait := lockOp(name)
			wait.GetWait().Lineage = []*coordv1.NamedHold{{SessionId: c.id, Seq: 1, Site: held + ".go:1"}}
			wait.GetWait().Note, wait.GetWait().Site = note, name+".go:2"
			return wait
		}
		p, q, r := n.session("p", 1), n.session("root", 2), n.session("root", 3)
		p.want(p.send(lockOp("team/x")), coordv1.Code_CODE_GRANTED)
		q.want(q.send(lockOp("team/y")), coordv1.Code_CODE_GRANTED)
		r.want(r.send(lockOp("secret")), coordv1.Code_CODE_GRANTED)
		q.send(under(q, "secret", "y", "about secret"))
		synctest.Wait()
		r.send(under(r, "team/x", "secret", "about x"))
		synctest.Wait()
		told := p.want(p.send(under(p, "team/y", "x", "")), coordv1.Code_CODE_DEADLOCK)
		all := fmt.Sprint(told)
		if len(told.GetCycle()) != 3 || strings.Contains(all, "secret") || !strings.Contains(all, "about x") ||
			strings.Count(all, `name:"team/x"`) != 2 || strings.Count(all, `name:"team/y"`) != 2 {
			t.Errorf("told: %s", all)
		}

		// Whoever may see it all is told it all.
		root := n.session("root", 4)
		root.want(root.send(lockOp("team/z")), coordv1.Code_CODE_GRANTED)
		p.send(under(p, "team/z", "x", ""))
		synctest.Wait()
		told = root.want(root.send(under(root, "secret", "z", "")), coordv1.Code_CODE_DEADLOCK)
		if all = fmt.Sprint(told); !strings.Contains(all, "secret") {
			t.Errorf("told: %s", all)
		}
	})
}

// The same of a call without a stream.
func TestCyclesOfCallsHideWhatOneMayNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leadingFor(t, principalOf("p", rule("lock", "team/*", "acquire", "")), principalOf("root", rule("*", "*", "admin", "")))
		a, p := n.session("root", 1), openPlain(t, n.as("p"))
		p.mustLock("held", "team/y")
		a.want(a.send(lockOp("team/x"), lockOp("secret")), coordv1.Code_CODE_GRANTED)
		wait := lockOp("team/y")
		wait.GetWait().Lineage = []*coordv1.NamedHold{{SessionId: a.id, Seq: 1}, {SessionId: a.id, Seq: 2}}
		a.send(wait)
		synctest.Wait()
		_, err := p.selects.LockAll(t.Context(), &coordv1.LockAllRequest{
			Lease: p.lease, RequestId: "1", Priority: 1, Arms: []*coordv1.Arm{lockArm("team/x"), lockArm("team/y")},
		})
		wantReason(t, err, coordv1.Reason_REASON_DEADLOCK)
		holds, text := 0, ""
		for _, d := range status.Convert(err).Details() {
			if w, ok := d.(*coordv1.CycleWait); ok {
				holds += len(w.GetHolds())
				text += fmt.Sprint(w)
			}
		}
		if holds < 2 || strings.Contains(text, "secret") || !strings.Contains(text, `name:"team/x"`) {
			t.Errorf("told of %d holds: %s", holds, text)
		}
	})
}
