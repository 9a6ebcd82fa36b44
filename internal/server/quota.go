package server

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// What one client may have open, if nothing else is said.
const (
	StreamsPerClient = 8_192
	CallsPerClient   = 4_096
)

// A Quota is how much of a node's room one client may have: a principal where there are rights,
// else a host, loopback excepted, as in Bounds. Each of its numbers is fixed well below what there is
// for all, and not a part of what is free: a client that is alone has what it had once others
// come, nothing is taken away from it, and the same program is refused at the same place every
// time.
//
// A node counts what its own connections bring. What it passes on it has counted, and the leader
// does not count it again, so a client of n nodes may have n times as much at the leader. The
// defaults leave the others more than half at five nodes: 8,192 streams a node are 40,960 of the
// cluster's 100,000 sessions, and half of what a connection between two nodes takes (maxStreams);
// 4,096 calls are less than half of what the gateway lets wait (maxShared); 1,024 and 24 watches a
// node are half of maxWatches and of maxWide.
type Quota struct {
	Streams int // op streams, which is attached sessions; default StreamsPerClient
	Calls   int // unary calls under way, those that wait included; default CallsPerClient
	Watches int // watches, and whatever else streams; default 1,024
	Wide    int // watches of more than one object; default 24

	// Waits is how many arms of waits it may have parked in the cluster, which has room for
	// 1,000,000: the leader counts them, whatever node they come by. Default 250,000.
	Waits int

	// Opens is how many sessions it may open a second, and Burst how many at once after a rest:
	// each is an entry of the log. Defaults 500 and 2,000: a thousand processes that start at
	// once are not slowed down.
	Opens, Burst int
}

func (q Quota) withDefaults() Quota {
	for _, d := range []struct {
		of        *int
		otherwise int
	}{
		{&q.Streams, StreamsPerClient}, {&q.Calls, CallsPerClient},
		{&q.Watches, 1_024}, {&q.Wide, 24}, {&q.Waits, 250_000}, {&q.Opens, 500}, {&q.Burst, 2_000},
	} {
		if *d.of <= 0 {
			*d.of = d.otherwise
		}
	}
	return q
}

// A consumer is a client whose usage is counted; the zero consumer's is not.
type consumer struct {
	principal string
	host      netip.Addr // without a principal
}

// String is who that is, for people.
func (t consumer) String() string {
	if t.principal != "" {
		return "principal " + t.principal
	}
	return "host " + t.host.String()
}

// consumerOf is to whose usage a call counts. What another node passes on counts at that one.
func (s *Server) consumerOf(ctx context.Context) consumer {
	if forwarded(ctx) {
		return consumer{}
	}
	return s.consumerOfAsker(askerOf(ctx))
}

// consumerOfAsker is to whose usage an asker counts, wherever it is connected.
func (s *Server) consumerOfAsker(a *asker) consumer {
	switch {
	case a == nil:
		return consumer{}
	case s.cfg.Rights != nil && a.id.Principal != "":
		return consumer{principal: a.id.Principal}
	}
	host, _, err := net.SplitHostPort(a.address)
	if err != nil {
		host = a.address // the gateway's word has no port
	}
	ip, err := netip.ParseAddr(host)
	if ip = ip.Unmap(); err != nil || ip.IsLoopback() {
		return consumer{}
	}
	return consumer{host: ip}
}

// A metered is what each client has a quota of.
type metered uint8

const (
	meteredStreams metered = iota
	meteredCalls
	meteredWatches
	meteredWide
	meteredKinds
)

// A usage is what one client has open.
type usage struct {
	open  [meteredKinds]int
	opens float64 // sessions that it may open at once
	asOf  time.Time
	quota *Quota
}

// refill counts what time has brought.
func (t *usage) refill(now time.Time) {
	t.opens = min(float64(t.quota.Burst), t.opens+now.Sub(t.asOf).Seconds()*float64(t.quota.Opens))
	t.asOf = now
}

// idle says that nothing would be lost if it were forgotten.
func (t *usage) idle(now time.Time) bool {
	if t.open != [meteredKinds]int{} {
		return false
	}
	t.refill(now)
	return t.opens == float64(t.quota.Burst)
}

// Quotas are what all clients of a node have open.
type quotas struct {
	quota  Quota
	logger *slog.Logger

	mu      sync.Mutex
	usages  map[consumer]*usage
	sweepAt int       // how many of these are worth a look for idle ones
	warned  time.Time // when it was last said that somebody is refused
	turned  int       // away, since then
}

func newQuotas(quota Quota, logger *slog.Logger) *quotas {
	return &quotas{
		quota: quota.withDefaults(), logger: logger,
		usages: make(map[consumer]*usage), sweepAt: sweepLeast,
	}
}

// sweepLeast is how many clients may be remembered that have nothing open.
const sweepLeast = 1_024

// of is a client's usage. mu is held.
func (q *quotas) of(t consumer) *usage {
	if found, ok := q.usages[t]; ok {
		return found
	}
	now := time.Now()
	if len(q.usages) >= q.sweepAt {
		for key, old := range q.usages { // order-free: each is looked at by itself
			if old.idle(now) {
				delete(q.usages, key)
			}
		}
		q.sweepAt = max(sweepLeast, 2*len(q.usages))
	}
	made := &usage{opens: float64(q.quota.Burst), asOf: now, quota: &q.quota}
	q.usages[t] = made
	return made
}

// take is false if a client would have more than most of something.
func (q *quotas) take(t consumer, r metered, most int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of(t).open[r] >= most {
		q.warn(t)
		return false
	}
	q.usages[t].open[r]++
	return true
}

func (q *quotas) give(t consumer, r metered) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.usages[t].open[r]--
}

// opening charges a client for a session that it is to open, and is false if it has opened too
// many of late.
func (q *quotas) opening(t consumer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	of := q.of(t)
	of.refill(time.Now())
	if of.opens < 1 {
		q.warn(t)
		return false
	}
	of.opens--
	return true
}

// warn says now and then that somebody is refused. mu is held.
func (q *quotas) warn(t consumer) {
	q.turned++
	if now := time.Now(); now.Sub(q.warned) >= warnEvery {
		has := q.usages[t]
		q.logger.Warn("a client has its share of this node: it is refused more", "client", t.String(),
			"streams", has.open[meteredStreams], "calls", has.open[meteredCalls], "watches", has.open[meteredWatches], "turned_away", q.turned)
		q.warned, q.turned = now, 0
	}
}
