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

// Shares are how much of a node's room one client may have: a principal where there are rights,
// else a host, loopback excepted, as in Bounds. Each is a fixed number well below what there is
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
type Shares struct {
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

func (s Shares) withDefaults() Shares {
	for _, d := range []struct {
		of        *int
		otherwise int
	}{
		{&s.Streams, StreamsPerClient}, {&s.Calls, CallsPerClient},
		{&s.Watches, 1_024}, {&s.Wide, 24}, {&s.Waits, 250_000}, {&s.Opens, 500}, {&s.Burst, 2_000},
	} {
		if *d.of <= 0 {
			*d.of = d.otherwise
		}
	}
	return s
}

// A tenant is a client whose room is counted; the zero tenant's is not.
type tenant struct {
	principal string
	host      netip.Addr // without a principal
}

// String is who that is, for people.
func (t tenant) String() string {
	if t.principal != "" {
		return "principal " + t.principal
	}
	return "host " + t.host.String()
}

// tenantOf is whose room a call takes. What another node passes on takes that one's room.
func (s *Server) tenantOf(ctx context.Context) tenant {
	if forwarded(ctx) {
		return tenant{}
	}
	return s.tenantOfAsker(askerOf(ctx))
}

// tenantOfAsker is whose room an asker takes, wherever it is connected.
func (s *Server) tenantOfAsker(a *asker) tenant {
	switch {
	case a == nil:
		return tenant{}
	case s.cfg.Rights != nil && a.id.Principal != "":
		return tenant{principal: a.id.Principal}
	}
	host, _, err := net.SplitHostPort(a.address)
	if err != nil {
		host = a.address // the gateway's word has no port
	}
	ip, err := netip.ParseAddr(host)
	if ip = ip.Unmap(); err != nil || ip.IsLoopback() {
		return tenant{}
	}
	return tenant{host: ip}
}

// A room is something of which each client has a share.
type room uint8

const (
	roomStreams room = iota
	roomCalls
	roomWatches
	roomWide
	rooms
)

// A tenancy is what one client has open.
type tenancy struct {
	open   [rooms]int
	opens  float64 // sessions that it may open at once
	asOf   time.Time
	shares *Shares
}

// refill counts what time has brought.
func (t *tenancy) refill(now time.Time) {
	t.opens = min(float64(t.shares.Burst), t.opens+now.Sub(t.asOf).Seconds()*float64(t.shares.Opens))
	t.asOf = now
}

// idle says that nothing would be lost if it were forgotten.
func (t *tenancy) idle(now time.Time) bool {
	if t.open != [rooms]int{} {
		return false
	}
	t.refill(now)
	return t.opens == float64(t.shares.Burst)
}

// A house is what all clients of a node have open.
type house struct {
	shares Shares
	logger *slog.Logger

	mu        sync.Mutex
	tenancies map[tenant]*tenancy
	sweepAt   int       // how many of these are worth a look for idle ones
	warned    time.Time // when it was last said that somebody is refused
	turned    int       // away, since then
}

func newHouse(shares Shares, logger *slog.Logger) *house {
	return &house{
		shares: shares.withDefaults(), logger: logger,
		tenancies: make(map[tenant]*tenancy), sweepAt: sweepLeast,
	}
}

// sweepLeast is how many clients may be remembered that have nothing open.
const sweepLeast = 1_024

// of is a client's tenancy. mu is held.
func (h *house) of(t tenant) *tenancy {
	if found, ok := h.tenancies[t]; ok {
		return found
	}
	now := time.Now()
	if len(h.tenancies) >= h.sweepAt {
		for key, old := range h.tenancies { // order-free: each is looked at by itself
			if old.idle(now) {
				delete(h.tenancies, key)
			}
		}
		h.sweepAt = max(sweepLeast, 2*len(h.tenancies))
	}
	made := &tenancy{opens: float64(h.shares.Burst), asOf: now, shares: &h.shares}
	h.tenancies[t] = made
	return made
}

// take is false if a client would have more than most of a room.
func (h *house) take(t tenant, r room, most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of(t).open[r] >= most {
		h.warn(t)
		return false
	}
	h.tenancies[t].open[r]++
	return true
}

func (h *house) give(t tenant, r room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tenancies[t].open[r]--
}

// opening charges a client for a session that it is to open, and is false if it has opened too
// many of late.
func (h *house) opening(t tenant) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.of(t)
	of.refill(time.Now())
	if of.opens < 1 {
		h.warn(t)
		return false
	}
	of.opens--
	return true
}

// warn says now and then that somebody is refused. mu is held.
func (h *house) warn(t tenant) {
	h.turned++
	if now := time.Now(); now.Sub(h.warned) >= warnEvery {
		has := h.tenancies[t]
		h.logger.Warn("a client has its share of this node: it is refused more", "client", t.String(),
			"streams", has.open[roomStreams], "calls", has.open[roomCalls], "watches", has.open[roomWatches], "turned_away", h.turned)
		h.warned, h.turned = now, 0
	}
}
