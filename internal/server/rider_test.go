package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// rider keeps a session over any number of streams, as a client does.
type rider struct {
	*client
	c        *cluster
	node     int
	attached bool
	tokens   []uint64
}

// do makes one call until it has its outcome, whatever happens to streams meanwhile.
// It must come to one effect: the seq is the same each time.
func (r *rider) do(op *coordv1.Op, held ...uint64) *coordv1.Outcome {
	r.seq++
	op.Seq = r.seq
	for {
		if !r.attached && !r.reattach(held) {
			continue
		}
		r.sendFrame(frame(op))
		for {
			o, err := r.recv()
			if err != nil {
				r.attached = false
				time.Sleep(20 * time.Millisecond) // of the bubble, where else no time may pass
				break
			}
			if o.GetSeq() == op.GetSeq() {
				return o
			}
		}
	}
}

func (r *rider) reattach(held []uint64) bool {
	wanted := make([]*coordv1.SeqRange, 0, len(held)+1)
	for _, seq := range append(held, r.seq) {
		wanted = append(wanted, &coordv1.SeqRange{First: seq, Last: seq})
	}
	r.node = (r.node + 1) % len(r.c.nodes)
	r.api = r.c.api(r.node)
	attached, err := r.attach(&coordv1.Attach{SessionId: r.id, Wanted: wanted})
	if err != nil {
		if infoOf(err).GetReason() == "SESSION_OVER" {
			r.t.Fatalf("session lost: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // of the bubble
		return false
	}
	if last := attached.GetLastSeq(); last > r.seq {
		r.t.Fatalf("the machine has seen seq %d of %d", last, r.seq)
	}
	r.attached = true
	return true
}

// lockAndUnlock is one round; it wants a hold of its own with a token above all before.
func (r *rider) lockAndUnlock(name string, shared *int) {
	granted := r.do(lockOp(name))
	if granted.GetCode() != coordv1.Code_CODE_GRANTED {
		r.t.Fatalf("lock: %v", granted)
	}
	*shared++
	if *shared != 1 {
		r.t.Errorf("%d hold %s", *shared, name)
	}
	r.tokens = append(r.tokens, granted.GetToken())
	*shared--
	ended := r.do(endOp(granted.GetSeq()))
	if code := ended.GetCode(); code != coordv1.Code_CODE_DONE && code != coordv1.Code_CODE_OVER {
		r.t.Fatalf("unlock: %v", ended)
	}
}

func TestLeaderChangesUnderStreams(t *testing.T) {
	changes := lossesOfLeader()
	changes["transfer"] = func(c *cluster, leader int) {
		if err := c.nodes[leader].engine.Transfer(c.t.Context(), ""); err != nil {
			c.t.Log(err)
		}
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rideThrough(t, change) })
		})
	}
}

// lossesOfLeader are how a cluster loses its leader unprepared, each to be done in a bubble.
func lossesOfLeader() map[string]func(c *cluster, leader int) {
	return map[string]func(c *cluster, leader int){
		"vanish": func(c *cluster, leader int) {
			c.network.Isolate(c.nodes[leader].id)
			time.Sleep(3 * time.Second)
			c.network.Heal()
		},
		"kill and restart": func(c *cluster, leader int) {
			n := c.crash(leader)
			c.nodes[leader] = c.startMember(n.id, n.disk)
		},
	}
}

func rideThrough(t *testing.T, change func(c *cluster, leader int)) {
	c := startCluster(t)
	leader := c.leader()
	done := make(chan *rider)
	stop := make(chan struct{})
	shared := 0
	const riders = 4
	for i := range riders {
		// A session must outlive the change unrenewed.
		r := &rider{client: &client{t: t, api: c.api(i % 3), instance: uint64(i) + 1}, c: c, node: i % 3, attached: true} //nolint:gosec // small
		if _, err := r.attach(&coordv1.Attach{Ttl: durationpb.New(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				select {
				case <-stop:
					done <- r
					return
				default:
					r.lockAndUnlock("x", &shared)
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		change(c, leader)
		leader = c.leader()
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	tokens := make(map[uint64]bool)
	for range riders {
		r := <-done
		last := uint64(0)
		for _, token := range r.tokens {
			if token <= last || tokens[token] {
				t.Errorf("token %d after %d", token, last)
			}
			tokens[token], last = true, token
		}
		t.Logf("%d rounds, %d streams", len(r.tokens), r.epoch)
		if r.epoch < 2 {
			t.Error("its stream was never cut")
		}
	}
	sameState(t, c)
}

// sameState wants equal hashes on all nodes at the same index.
func sameState(t *testing.T, c *cluster) {
	t.Helper()
	time.Sleep(time.Second) // of the bubble: followers learn of the last commit
	first := c.nodes[0].replica.State()
	for _, n := range c.nodes[1:] {
		if got := n.replica.State(); got != first {
			t.Errorf("%s is at %+v, %s at %+v", n.id, got, c.nodes[0].id, first)
		}
	}
	if first.Counts.Holds != 0 || first.Counts.Waiters != 0 {
		t.Errorf("left over: %+v", first.Counts)
	}
}

func TestStoppedLeaderIsSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader()
		a := open(t, c.api(leader), 1)
		held := a.send(lockOp("x"))
		token := a.want(held, coordv1.Code_CODE_GRANTED).GetToken()
		begin := time.Now()
		c.stopMember(c.nodes[leader])
		_, err := a.recv()
		if info := infoOf(err); info == nil || status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v (%v)", err, info)
		}
		a.api = c.api((leader + 1) % 3)
		for { // that one may not have heard yet that another leads
			_, err := a.attach(&coordv1.Attach{
				SessionId: a.id, Wanted: []*coordv1.SeqRange{{First: held, Last: held}},
			})
			if err == nil {
				break
			}
			if status.Code(err) != codes.Unavailable || time.Since(begin) > 150*time.Millisecond {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // of the bubble
		}
		if again := a.want(held, coordv1.Code_CODE_GRANTED).GetToken(); again != token {
			t.Errorf("token %d is now %d", token, again)
		}
		if d := time.Since(begin); d > 150*time.Millisecond {
			t.Errorf("succeeded after %v", d)
		}
	})
}
