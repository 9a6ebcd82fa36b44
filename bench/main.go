package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/daemons"
)

// settings are the flags.
type settings struct {
	warm, measure time.Duration
	rounds        int
	dir, json     string
	daemon        string
	scale         scale
}

// A report is what -json writes.
type report struct {
	Floor  floor    `json:"floor"`
	Points []result `json:"points"`

	Scale *scaleReport `json:"scale,omitempty"`
}

type floor struct {
	Sync      time.Duration `json:"f_ns"`
	RoundTrip time.Duration `json:"r_ns"`
	GRPC      time.Duration `json:"g_ns"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) > 0 && args[0] == commandHold {
		return hold(ctx, args[1:], os.Stdin, out)
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "coordd-bench-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.daemon == "" {
		if s.daemon, err = daemons.Build(ctx, "coordd.dev/cmd/coordd", dir); err != nil {
			return err
		}
	}
	if s.scale.on {
		r, err := s.scale.run(ctx, s.daemon, dir, out)
		if err != nil {
			return err
		}
		return s.write(report{Scale: r})
	}
	return s.measureAll(ctx, dir, out)
}

func parse(args []string) (settings, error) {
	s := settings{warm: time.Second, measure: 10 * time.Second, rounds: 5}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := f.Bool("quick", false, "two rounds of three seconds a point")
	c := &s.scale
	f.BoolVar(&c.on, "scale", false, "measure many locks and sessions on one node instead")
	f.IntVar(&c.locks, "locks", 1_000_000, "with -scale: how many are held")
	f.IntVar(&c.sessions, "sessions", 100_000, "with -scale: how many renew, and die")
	f.IntVar(&c.connections, "connections", 100, "with -scale: that the sessions share")
	f.IntVar(&c.rounds, "snapshots", 12, "with -scale: how many are measured")
	f.IntVar(&c.acquirers, "acquirers", 16, "with -scale: goroutines that acquire")
	f.DurationVar(&c.every, "snapshot-interval", 5*time.Second, "with -scale: the node's")
	f.DurationVar(&c.watch, "watch", 20*time.Second, "with -scale: how long renewals are watched")
	f.DurationVar(&c.ttl, "ttl", 10*time.Second, "with -scale: of the sessions that renew")
	f.StringVar(&s.dir, "dir", ".", "where the nodes keep their data: the disk that is measured")
	f.StringVar(&s.json, "json", "", "write all points to this file")
	f.StringVar(&s.daemon, "coordd", "", "the daemon's binary; default: built from this tree")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if *quick {
		s.warm, s.measure, s.rounds = 500*time.Millisecond, 3*time.Second, 2
	}
	dir, err := filepath.Abs(s.dir)
	s.dir = dir
	return s, err
}

func (s settings) measureAll(ctx context.Context, dir string, out io.Writer) (err error) {
	e, err := startEngines(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	d, err := daemons.Start(ctx, s.daemon, dir, nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	l, err := dialLockers(ctx, d.Target())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	var r report
	if r.Floor, err = measureFloor(ctx, dir, d.Nodes()[0].Client); err != nil {
		return err
	}
	fmt.Fprintf(out, "floor: F (synced write) %v, R (loopback round trip) %v, G (gRPC round trip) %v\n\n",
		r.Floor.Sync, r.Floor.RoundTrip, r.Floor.GRPC)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "goroutines\tpairs/s\tp50 Lock\tp99\traw commits/s\tp50\tp99\tops/raw\tx floor\t")
	for _, n := range []int{1, 8, 64, 256, 1024} {
		points, err := s.point(ctx, n, e, l)
		if err != nil {
			return err
		}
		r.Points = append(r.Points, points.raw...)
		r.Points = append(r.Points, points.pairs...)
		raw, pairs := median(points.raw), median(points.pairs)
		fmt.Fprintf(w, "%d\t%.0f\t%v\t%v\t%.0f\t%v\t%v\t%.2f\t%.1f\t\n", n,
			pairs.PerSecond, round(pairs.P50), round(pairs.P99),
			raw.PerSecond, round(raw.P50), round(raw.P99), 2*pairs.PerSecond/raw.PerSecond,
			float64(pairs.P50)/float64(r.Floor.Sync+r.Floor.RoundTrip+r.Floor.GRPC))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	fmt.Fprintf(out, "\npairs: Lock and Unlock, both committed, a lock a goroutine, %d clients, %d processes; medians of %d rounds\n",
		dialed, nodes, s.rounds)
	if broken := l.broken.Load(); broken > 0 {
		return fmt.Errorf("the checker found %d holds that overlap or tokens that do not rise", broken)
	}
	return s.write(r)
}

type points struct{ raw, pairs []result }

// point measures both systems at one number of goroutines, in turn.
func (s settings) point(ctx context.Context, n int, e *engines, l *lockers) (p points, err error) {
	for i := range s.rounds {
		raw, err := e.commits(ctx, n, s.warm, s.measure)
		if err != nil {
			return p, fmt.Errorf("raw commits, %d goroutines: %w", n, err)
		}
		pairs, err := l.pairs(ctx, n, s.warm, s.measure)
		if err != nil {
			return p, fmt.Errorf("pairs, %d goroutines: %w", n, err)
		}
		raw.System, raw.Goroutines, raw.Round = "engine", n, i
		pairs.System, pairs.Goroutines, pairs.Round = "coordd", n, i
		p.raw, p.pairs = append(p.raw, raw), append(p.pairs, pairs)
	}
	return p, nil
}

func measureFloor(ctx context.Context, dir, endpoint string) (f floor, err error) {
	if f.Sync, err = floorSync(dir); err != nil {
		return f, err
	}
	if f.RoundTrip, err = floorRoundTrip(); err != nil {
		return f, err
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return f, fmt.Errorf("measure gRPC: %w", err)
	}
	status := coordv1.NewClusterServiceClient(conn)
	f.GRPC, err = medianOf(floorTries, func(int) error {
		_, err := status.Status(ctx, &coordv1.StatusRequest{})
		return err
	})
	return f, errors.Join(err, conn.Close())
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func (s settings) write(r report) error {
	if s.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(s.json, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write points: %w", err)
	}
	return nil
}
