package client_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

const (
	clientsOfChannels = 3 // the id of a call modulo this is whose it is
	stepsOfChannels   = 24
)

// Random programs of three processes over two channels do what channels do: an element is
// received once, in order of priority and sending; no channel has more than its capacity,
// and a full one blocks its senders, and nobody else; without a buffer a send returns only
// with its receive; a select takes one arm, a cancelled call none, and neither loses anything;
// what comes back unacknowledged comes first, in its order, counted; a closed channel is
// drained. Several calls at once may be told whatever some order of them explains. All of that
// holds while the leader is killed, with calls under way, and sessions end.
//
// -rapid.checks is how many programs; 100 reach every state worth reaching.
func TestLawsOfChannels(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		var clients []*client.Client
		for range clientsOfChannels {
			clients = append(clients, cluster.Dial(client.WithTTL(time.Minute)))
		}
		seen := map[string]int{}
		rapid.Check(undated{t}, func(t *rapid.T) {
			seen["program"]++
			w := newChannelWorld(t, cluster, clients, fmt.Sprint("q", seen["program"], "/"), seen)
			defer w.abandon()
			for range rapid.IntRange(1, stepsOfChannels).Draw(t, "steps") {
				w.step()
			}
			w.drain()
		})
		t.Log(seen)
		for _, state := range []string{
			"got", "closed", "busy", "cancelled", "attempt 2", "selected", "rendezvous",
			"at once", "killed with calls under way", "expired with waits", "sent with priority",
		} {
			if seen[state] == 0 && seen["program"] >= 100 {
				t.Errorf("never reached: %s", state)
			}
		}
	})
}

// undated is a test without a deadline, for which a bubble's may not be asked.
type undated struct{ rapid.TB }

// A channelWorld is one program.
type channelWorld struct {
	t       *rapid.T
	cluster *coordtest.Cluster
	clients []*client.Client
	chans   [][]*client.Chan[int] // by channel and client
	names   []string
	seen    map[string]int

	mayBe  []*pipes
	id     int // the last one
	calls  sync.WaitGroup
	cancel map[int]context.CancelFunc // of calls that wait, maybe

	mu         sync.Mutex
	told       map[int]outcome
	deliveries map[int]*client.Delivery[int]
	faults     []string
}

func newChannelWorld(t *rapid.T, cluster *coordtest.Cluster, clients []*client.Client, prefix string, seen map[string]int) *channelWorld {
	w := &channelWorld{
		t: t, cluster: cluster, clients: clients, seen: seen,
		cancel: map[int]context.CancelFunc{}, told: map[int]outcome{}, deliveries: map[int]*client.Delivery[int]{},
	}
	p := &pipes{told: map[int]outcome{}, dead: map[int]bool{}}
	for i := range 2 {
		capacity := rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "capacity")
		p.all = append(p.all, pipe{capacity: capacity})
		w.names = append(w.names, prefix+fmt.Sprint(i))
		var of []*client.Chan[int]
		for _, c := range clients {
			of = append(of, client.NewChan[int](c, w.names[i], capacity))
		}
		w.chans = append(w.chans, of)
	}
	w.mayBe = []*pipes{p}
	return w
}

// step has one thing happen, or several at once.
func (w *channelWorld) step() {
	if rapid.IntRange(0, 49).Draw(w.t, "expire") == 0 {
		w.expire(rapid.IntRange(0, clientsOfChannels-1).Draw(w.t, "whose"))
		return
	}
	n := 1
	if len(w.mayBe) < 50 {
		n = rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3}).Draw(w.t, "at once")
	}
	var events []event
	for range n { // each of another client, whose calls are in order
		w.id++
		e, ok := w.draw(w.id)
		if ok && !slices.ContainsFunc(events, e.likewise) {
			events = append(events, e)
		}
	}
	w.happen(events, rapid.IntRange(0, 99).Draw(w.t, "kill") == 0)
}

// draw makes an event, if it is one that can be.
func (w *channelWorld) draw(id int) (e event, ok bool) {
	e = event{id: id}
	e.do = rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "cancel", "ack", "nack", "close"}).Draw(w.t, "do")
	switch e.do {
	case "ask":
		e.ask = w.drawAsk(id)
		return e, true
	case "cancel":
		waiting := slices.Sorted(maps.Keys(w.cancel))
		if len(waiting) == 0 {
			return e, false
		}
		e.target = rapid.SampledFrom(waiting).Draw(w.t, "which")
		return e, true
	case "ack", "nack":
		had := slices.Sorted(maps.Keys(w.deliveries))
		if len(had) == 0 {
			return e, false
		}
		e.target = rapid.SampledFrom(had).Draw(w.t, "which")
		return e, true
	default:
		e.target = rapid.IntRange(0, 1).Draw(w.t, "channel")
		return e, rapid.IntRange(0, 5).Draw(w.t, "really") == 0
	}
}

func (w *channelWorld) drawAsk(id int) ask {
	a := ask{id: id, client: id % clientsOfChannels}
	first := rapid.IntRange(0, 1).Draw(w.t, "channel")
	n := rapid.SampledFrom([]int{1, 1, 2}).Draw(w.t, "arms")
	for i := range n {
		arm := armOf{on: (first + i) % 2, send: rapid.Bool().Draw(w.t, "send")}
		if arm.send {
			arm.value = 10*id + i
		} else if w.mayBe[0].all[arm.on].capacity > 0 {
			arm.ack = rapid.Bool().Draw(w.t, "acknowledge")
		}
		a.arms = append(a.arms, arm)
	}
	a.try = rapid.IntRange(0, 7).Draw(w.t, "try") == 0
	a.ordered = n > 1 && rapid.Bool().Draw(w.t, "ordered")
	if n == 1 && a.arms[0].send && !a.try {
		a.priority = rapid.SampledFrom([]int{0, 0, 1, -1}).Draw(w.t, "priority")
	}
	return a
}

// happen has events happen at once, and a leader die, and holds what was told against what
// should be.
func (w *channelWorld) happen(events []event, kill bool) {
	before := maps.Clone(w.told)
	for _, e := range events {
		w.begin(e)
	}
	if kill {
		w.seen["killed with calls under way"] += len(events)
		dead := w.cluster.KillLeader()
		w.cluster.Leader()
		dead.Restart()
		time.Sleep(5 * time.Second)
	}
	if len(events) > 1 {
		w.seen["at once"]++
	}
	w.check(before, events)
}

// expire ends the session of a client, which finds itself another one.
func (w *channelWorld) expire(of int) {
	before := maps.Clone(w.told)
	for _, a := range w.mayBe[0].waiting {
		if a.client == of {
			w.seen["expired with waits"]++
		}
	}
	w.cluster.Expire(w.clients[of])
	w.mu.Lock() // what the others waited for may come meanwhile
	maps.DeleteFunc(w.deliveries, func(id int, _ *client.Delivery[int]) bool { return id%clientsOfChannels == of })
	w.mu.Unlock()
	w.cluster.Resume(w.clients[of])
	time.Sleep(5 * time.Second)
	w.check(before, []event{{do: "expire", target: of}})
}

func (w *channelWorld) check(before map[int]outcome, events []event) {
	time.Sleep(time.Millisecond)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) > 0 {
		w.t.Fatal(strings.Join(w.faults, "\n"))
	}
	after := explained(w.mayBe, events, w.told)
	if len(after) == 0 {
		news := maps.Clone(w.told)
		maps.DeleteFunc(news, func(id int, _ outcome) bool { _, old := before[id]; return old })
		w.t.Fatalf("of %s\n%+v\ncame %+v,\nwhich no order explains", w.mayBe[0].state(), events, news)
	}
	w.mayBe = after
	for id, o := range w.told {
		if _, old := before[id]; !old {
			w.see(id, o)
		}
	}
	w.measure()
}

// measure reads how many elements there are.
func (w *channelWorld) measure() {
	i := w.id % len(w.names)
	n, err := w.chans[i][0].LenContext(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	w.mayBe = slices.DeleteFunc(w.mayBe, func(p *pipes) bool { return len(p.all[i].elements) != n })
	if len(w.mayBe) == 0 {
		w.t.Fatalf("%s has %d elements", w.names[i], n)
	}
}

func (w *channelWorld) see(id int, o outcome) {
	if cancel := w.cancel[id]; cancel != nil {
		cancel()
		delete(w.cancel, id)
	}
	w.seen[string(o.how)]++
	if o.attempt > 1 {
		w.seen["attempt 2"]++
	}
}

// drain ends the program: all that was sent and not received is there, in order.
func (w *channelWorld) drain() {
	next := func(e event) {
		w.id++
		e.id = w.id
		e.ask.id, e.ask.client = w.id, w.id%clientsOfChannels
		w.happen([]event{e}, false)
	}
	for _, id := range slices.Sorted(maps.Keys(w.cancel)) {
		next(event{do: "cancel", target: id})
	}
	for _, id := range slices.Sorted(maps.Keys(w.deliveries)) {
		next(event{do: "nack", target: id})
	}
	for i, p := range w.mayBe[0].all {
		if !p.closed {
			next(event{do: "close", target: i})
		}
		for range len(w.mayBe[0].all[i].elements) + 1 {
			next(event{do: "ask", ask: ask{arms: []armOf{{on: i}}}})
		}
		if err := w.clients[0].Delete(context.Background(), client.KindChan, w.names[i]); err != nil {
			w.t.Fatal(err)
		}
	}
}

// abandon ends what goes on after a fault.
func (w *channelWorld) abandon() {
	w.cluster.Heal()
	for _, cancel := range w.cancel {
		cancel()
	}
	w.calls.Wait()
}
