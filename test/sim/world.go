package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// A world is one run: everything happens in it on one thread, at times that it decides.
type world struct {
	testCase
	now    time.Duration // real time
	events events
	healed bool // no more faults, no more new work
	err    error
	trace  io.Writer // nil: none

	// One source a purpose, so that a fault left out changes little else.
	net, fate *rand.Rand

	ttls    []time.Duration
	log     log
	nodes   []*node
	clients []*client
	callers []*caller
	watcher *watcher
	objects []*object
	order   order
	tally   *tally
	started uint64 // client processes so far
	steps   int    // events so far
}

// tooMany is far more events than a run has.
const tooMany = 1_000_000

// run runs a case.
func run(c testCase, t *tally, trace io.Writer) (err error) {
	w := &world{
		testCase: c, tally: t, trace: trace,
		net:  rand.New(rand.NewPCG(c.Seed, 2)),
		fate: rand.New(rand.NewPCG(c.Seed, 3)),
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic at %v: %v\n%s", w.now, r, debug.Stack())
		}
	}()
	w.begin()
	w.until(c.Span, nil)
	w.heal()
	return w.err
}

func (w *world) begin() {
	r := rand.New(rand.NewPCG(w.Seed, 4))
	for range w.Clients {
		w.ttls = append(w.ttls, []time.Duration{
			500 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
		}[r.IntN(4)])
	}
	w.objects = newObjects(w.Objects, r)
	w.order.init()
	w.log.w = w
	for i := range w.Nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	w.log.elect(w.nodes[r.IntN(w.Nodes)])
	for i := range w.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	for i := range w.Callers {
		w.callers = append(w.callers, newCaller(w, i))
	}
	w.watcher = newWatcher(w)
	w.scheduleFaults()
}

// after has f called when d has passed.
func (w *world) after(d time.Duration, f func()) { w.at(w.now+max(d, 0), f) }

func (w *world) at(t time.Duration, f func()) { w.events.push(event{at: t, f: f}) }

// until runs events until the time, or done says so. It reports whether done did.
func (w *world) until(t time.Duration, done func() bool) bool {
	for ; w.err == nil; w.steps++ {
		if w.steps > tooMany {
			w.failf("livelock: %d events", w.steps)
			return false
		}
		if done != nil && done() {
			return true
		}
		if len(w.events.heap) == 0 || w.events.heap[0].at > t {
			w.now = t
			return false
		}
		e := w.events.pop()
		w.now = e.at
		e.f()
	}
	return false
}

// heal ends all faults and demands that everybody gets through.
func (w *world) heal() {
	w.healed = true
	w.tracef("-- heal")
	for _, n := range w.nodes {
		n.resume()
	}
	if w.log.leader == nil {
		w.log.elect(w.nodes[0])
	}
	w.log.leader.slow = false
	for _, n := range w.nodes {
		if n != w.log.leader {
			n.follow()
		}
	}
	for _, c := range w.clients {
		c.resume()
		if c.s != nil && c.s.down.closed {
			c.drop() // half open, and its keepalive would take long
		}
		c.pump()
	}
	// The longest lease, lock-delay and hold, and a wait behind each of a few others.
	bound := w.now + 40*time.Second
	if !w.until(bound, w.calm) && w.err == nil {
		w.failf("liveness: %s", w.stuck())
	}
	for _, c := range w.clients {
		c.leave()
	}
	for _, c := range w.callers {
		c.leave()
	}
	if !w.until(w.now+10*time.Second, w.empty) && w.err == nil {
		n := w.log.leader.m.Counts()
		w.failf("leftover: %d sessions, %d holds, %d waiters", n.Sessions, n.Holds, n.Waiters)
	}
	for _, n := range w.nodes {
		n.check()
	}
	if !w.until(w.now+10*time.Second, w.watcher.caughtUp) && w.err == nil {
		w.failf("liveness: the watcher has seen %d of %d changes", w.watcher.at, w.order.revision)
	}
	w.watcher.check()
}

// calm reports whether every user is done.
func (w *world) calm() bool {
	for _, c := range w.clients {
		for _, u := range c.users {
			if u.op != nil {
				return false
			}
		}
	}
	for _, c := range w.callers {
		if len(c.open) > 0 {
			return false
		}
	}
	return true
}

func (w *world) stuck() string {
	for _, c := range w.clients {
		for _, u := range c.users {
			if u.op != nil {
				return fmt.Sprintf("client %d waits for ever: %v", c.id, u.op)
			}
		}
	}
	for _, c := range w.callers {
		for _, a := range c.open {
			return fmt.Sprintf("waiting for ever: %v", a)
		}
	}
	return "nobody"
}

// empty reports whether the leader has nothing of any client left.
func (w *world) empty() bool {
	for _, n := range w.nodes {
		if n.applied < len(w.log.entries) {
			return false
		}
	}
	n := w.log.leader.m.Counts()
	return n.Sessions == 0 && n.Holds == 0 && n.Waiters == 0
}

func (w *world) failf(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: %w", w.now, fmt.Errorf(format, args...))
		w.tracef("FAILED: %v", w.err)
	}
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%10.3fms  %s\n", float64(w.now)/1e6, fmt.Sprintf(format, args...))
	}
}

// chance is true once in n.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// upTo is a duration below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(max(d, 1))))
}

// An event is something that happens at a time; of equal times the earlier scheduled.
type event struct {
	at time.Duration
	n  uint64
	f  func()
}

// events is a heap. It is written out because container/heap costs an allocation each.
type events struct {
	heap []event
	n    uint64
}

func (h *events) less(i, j int) bool {
	a, b := &h.heap[i], &h.heap[j]
	return a.at < b.at || a.at == b.at && a.n < b.n
}

func (h *events) push(e event) {
	h.n++
	e.n = h.n
	h.heap = append(h.heap, e)
	for i := len(h.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.less(i, up) {
			break
		}
		h.heap[i], h.heap[up] = h.heap[up], h.heap[i]
		i = up
	}
}

func (h *events) pop() event {
	top, last := h.heap[0], len(h.heap)-1
	h.heap[0], h.heap[last] = h.heap[last], event{}
	h.heap = h.heap[:last]
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < last && h.less(down, least) {
				least = down
			}
		}
		if least == i {
			return top
		}
		h.heap[i], h.heap[least] = h.heap[least], h.heap[i]
		i = least
	}
}

// A clock runs at its own rate.
type clock struct {
	rate  int64 // in millionths
	ahead time.Duration
}

func newClock(r *rand.Rand, wrong bool) clock {
	c := clock{rate: 1_000_000, ahead: time.Duration(r.IntN(1_000_000_000))}
	if wrong {
		c.rate += int64([]int{-50_000, 0, 50_000}[r.IntN(3)])
	}
	return c
}

func (c *clock) read(now time.Duration) time.Duration {
	return c.ahead + time.Duration(int64(now)/1_000*c.rate/1_000)
}

// real is how long d of the clock takes, rounded up.
func (c *clock) real(d time.Duration) time.Duration {
	return time.Duration(int64(d)/c.rate*1_000_000 + int64(d)%c.rate*1_000_000/c.rate + 2_000)
}
