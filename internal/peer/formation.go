package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"coordd.dev/raftstore"
)

const (
	firstPause = 100 * time.Millisecond // between rounds of asking, doubling
	lastPause  = 2 * time.Second
	roundTime  = 3 * time.Second // bounds a round
	narrate    = 5 * time.Second // between two lines of progress at info
)

// A FormConfig says how a node without a cluster finds one.
type FormConfig struct {
	Identity *Identity
	Mux      *Mux
	Address  string   // this node's own, as in Join
	Join     []string // peer addresses, from ParseJoin; empty: this node alone
	Expect   int      // how many nodes begin the cluster; 0: never begin one, only join
	Logger   *slog.Logger

	// Progress is told, from Form's goroutine, what Form waits for; may be nil.
	Progress func(reason string)
}

// validate says what to change in the command line.
func (c FormConfig) validate() error {
	switch {
	case len(c.Join) == 0 && c.Expect > 1:
		return fmt.Errorf("--bootstrap-expect %d without --join: name the peer addresses of all %d nodes "+
			"in --join, the same on each", c.Expect, c.Expect)
	case len(c.Join) == 0 || c.Expect == 0:
		return nil
	case len(c.Join) != c.Expect:
		return fmt.Errorf("--join names %d addresses (%s), --bootstrap-expect is %d: name each node that "+
			"begins the cluster once, this one included", len(c.Join), strings.Join(c.Join, ","), c.Expect)
	case !slices.Contains(c.Join, c.Address):
		return fmt.Errorf("--join (%s) does not contain this node's own peer address %s: add it, or set "+
			"--advertise-peer to the name that --join uses", strings.Join(c.Join, ","), c.Address)
	}
	return nil
}

// Form returns once this node is of a cluster: at once if its directory says so, else
// when one was formed with it, or one that exists was found. The servers, if any, are
// the configuration that raft has to be bootstrapped with, unless it has state already.
// The argument why no two configurations can be is in the package's doc.
func Form(ctx context.Context, cfg FormConfig) ([]raftstore.Member, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	id := cfg.Identity
	switch phase := id.Phase(); {
	case phase != PhaseFresh && phase != PhaseForming:
		return id.Servers(), nil
	case phase == PhaseForming && (len(cfg.Join) == 0 || cfg.Expect == 0):
		return nil, fmt.Errorf("form cluster: directory %s began to form a cluster of several nodes: "+
			"give --join and --bootstrap-expect again", id.Dir())
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("form cluster: %w", err)
	}
	if len(cfg.Join) == 0 {
		err := id.decide([]raftstore.Member{{ID: id.NodeID(), Address: cfg.Address, Voter: true}})
		return id.Servers(), err
	}
	f := &formation{FormConfig: cfg}
	err := f.run(ctx)
	return id.Servers(), err
}

// A formation is one run of Form. Its goroutine owns it.
type formation struct {
	FormConfig
	said time.Time // when progress was last logged
}

// An echo is what came back from one address of the join list in a round.
type echo struct {
	address string
	hello   Hello
	err     error
}

// run asks all, again and again, until one of three steps ends it: another node's
// cluster is adopted, here or by the mux, or this node has decided its own.
func (f *formation) run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier = firstPause, lastPause, 2
	for {
		echoes := f.ask(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("form cluster: %w", ctx.Err())
		}
		again, err := f.step(echoes)
		if err != nil || f.done() {
			return err
		}
		if again {
			continue
		}
		if err := f.rest(ctx, pause.NextBackOff()); err != nil {
			return err
		}
		if f.done() {
			return nil
		}
	}
}

// done says whether there is nothing left to form.
func (f *formation) done() bool {
	phase := f.Identity.Phase()
	return phase != PhaseFresh && phase != PhaseForming
}

// rest waits for the next round, or for the mux to adopt.
func (f *formation) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	var joined <-chan struct{}
	if f.Identity.Phase() == PhaseFresh {
		joined = f.Identity.Joined()
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("form cluster: %w", ctx.Err())
	case <-joined:
	case <-t.C:
	}
	return nil
}

// ask greets every other address of the list at once. A peer learns this node's cluster
// id, if it has one, by being greeted.
func (f *formation) ask(ctx context.Context) []echo {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	var wg sync.WaitGroup
	echoes := make([]echo, len(f.Join))
	for i, address := range f.Join {
		echoes[i].address = address
		if address == f.Address {
			echoes[i].hello = Hello{NodeID: f.Identity.NodeID(), PeerAddress: f.Address, Join: f.Join}
			echoes[i].hello.ClusterID, echoes[i].hello.Phase = f.Identity.joinedAs()
			continue
		}
		wg.Go(func() { echoes[i].hello, echoes[i].err = f.Mux.Hello(ctx, address, "") })
	}
	wg.Wait()
	return echoes
}

// step does what the echoes allow. It wants to be called again at once when this node
// has minted: the next round is the one in which the others adopt.
func (f *formation) step(echoes []echo) (again bool, err error) {
	if f.Identity.Phase() == PhaseFresh {
		if found, err := f.adopt(echoes); found || err != nil {
			return false, err
		}
	}
	if faults := f.faults(echoes); len(faults) > 0 {
		f.say("waiting for peers: " + strings.Join(faults, "; "))
		return false, nil
	}
	switch {
	case f.Identity.Phase() == PhaseForming:
		return false, f.decide(echoes)
	case f.Expect == 0:
		f.say("no cluster at " + strings.Join(f.Join, ", ") + " yet; without --bootstrap-expect this node only joins one that exists")
		return false, nil
	case f.Join[0] != f.Address:
		f.say("all nodes are here; waiting for " + f.Join[0] + ", which sorts first, to begin the cluster")
		return false, nil
	}
	err = f.Identity.mint()
	if errors.Is(err, errAdopted) {
		return false, nil // a member has greeted this node since the others were asked
	}
	return true, err
}

// adopt takes the cluster id of the first node in the list that has one. A cluster that
// already has a configuration has it without this node, which only its members can
// change.
func (f *formation) adopt(echoes []echo) (found bool, err error) {
	for _, e := range echoes {
		if e.err != nil || e.hello.ClusterID == "" {
			continue
		}
		if err := f.Identity.Adopt(e.hello.ClusterID); err != nil {
			return false, err
		}
		if e.hello.Phase == PhaseForming {
			f.Logger.Info("adopted the cluster id", "cluster", e.hello.ClusterID, "from", e.address)
			return true, nil
		}
		f.Logger.Warn("cluster exists already: this node begins none and waits to be added to it: "+
			"coordctl member add "+f.Address, "cluster", e.hello.ClusterID, "found_at", e.address)
		return true, nil
	}
	return false, nil
}

// decide fixes the configuration of this node's cluster, of nodes that have all adopted
// its id: this is the one place where a configuration comes from (invariant 5).
func (f *formation) decide(echoes []echo) error {
	var servers []raftstore.Member
	for _, e := range echoes {
		servers = append(servers, raftstore.Member{ID: e.hello.NodeID, Address: e.address, Voter: true})
	}
	if err := f.Identity.decide(servers); err != nil {
		return err
	}
	f.Logger.Info("cluster formed", "cluster", f.Identity.ClusterID(), "nodes", f.Join)
	return nil
}

// faults lists what keeps these echoes from being those of one cluster's nodes, by
// address.
func (f *formation) faults(echoes []echo) []string {
	var faults []string
	at := make(map[string]string, len(echoes)) // node id -> address
	for _, e := range echoes {
		if fault := f.fault(e, at); fault != "" {
			faults = append(faults, e.address+": "+fault)
		}
		at[e.hello.NodeID] = e.address
	}
	return faults
}

func (f *formation) fault(e echo, at map[string]string) string {
	cluster, phase := f.Identity.joinedAs()
	h := e.hello
	switch {
	case e.err != nil:
		return unreachable(e.err)
	case at[h.NodeID] != "":
		return "is the same node as " + at[h.NodeID]
	case h.PeerAddress != e.address:
		return "calls itself " + h.PeerAddress + "; use one name for it, in its --advertise-peer and in every --join"
	case f.Expect > 0 && !slices.Equal(h.Join, f.Join):
		return "has another --join (" + strings.Join(h.Join, ",") + "); it must be the same on every node"
	case phase == PhaseForming && h.ClusterID != cluster:
		return "has not adopted the cluster id"
	case phase == PhaseForming && e.address != f.Address && h.Phase != PhaseAdopted:
		return "is past adopting (" + string(h.Phase) + "): this node's directory is an old copy; wipe it and add the node anew"
	}
	return ""
}

// unreachable is the error without what the line says already.
func unreachable(err error) string {
	var op *net.OpError
	var refused *RefusedError
	switch {
	case errors.Is(err, ErrWrongCluster):
		return err.Error() + "; wipe the data directory of the node that is in the wrong one"
	case errors.As(err, &refused):
		return "refuses: " + refused.Text
	case errors.As(err, &op):
		return "not reachable: " + op.Err.Error()
	default:
		return err.Error()
	}
}

// say tells what Form waits for: to Progress each time, to the log now and then.
func (f *formation) say(reason string) {
	f.Progress(reason)
	if now := time.Now(); now.Sub(f.said) >= narrate {
		f.Logger.Info(reason)
		f.said = now
	}
}
