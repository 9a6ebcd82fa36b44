package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	devPort  = 7600 // of the first node's clients
	devStep  = 10   // from one node's ports to the next's
	devTries = 100  // of ports, for each node
	devMost  = 7    // nodes

	// devStall is for how long a disk may not answer. One process is all nodes, so that its
	// end would help nobody, and a laptop's disk has other work.
	devStall = 10 * time.Second
)

// A devConfig is the command line of dev.
type devConfig struct {
	nodes    int
	dataDir  string // empty: a temporary one
	port     int
	logLevel slog.Level
	program  string // as it was called
}

func devCommand(program string) *cobra.Command {
	cfg := devConfig{program: program, logLevel: slog.LevelError}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster in one process, for development",
		Long: `Run a whole cluster in one process, for development: real nodes, on loopback,
without TLS. Its data are removed when it ends, unless --data-dir says where to keep
them.`,
		Example: "  coordd dev\n  coordd dev --nodes 1\n  coordd dev --data-dir ./dev",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.nodes < 1 || cfg.nodes > devMost {
				return &usageError{fmt.Errorf("--nodes %d: must be from 1 to %d", cfg.nodes, devMost)}
			}
			if last := cfg.port + devStep*(cfg.nodes-1) + 2; cfg.port < 1 || last > 65535 {
				return &usageError{fmt.Errorf("--port %d: there must be room for %d nodes above it", cfg.port, cfg.nodes)}
			}
			return dev(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&cfg.nodes, "nodes", 3, "how `many` nodes")
	f.StringVar(&cfg.dataDir, "data-dir", "", "`directory` to keep the data in; the ports are then as said, not the next free ones")
	f.IntVar(&cfg.port, "port", devPort, "client `port` of the first node; the others are ten apart")
	f.Var(&levelFlag{&cfg.logLevel}, "log-level", "`debug|info|warn|error`")
	return cmd
}

// dev runs the nodes until ctx ends or one of them does.
func dev(ctx context.Context, cfg devConfig, stdout, stderr io.Writer) (err error) {
	dir, kept, err := devDir(cfg)
	if err != nil {
		return err
	}
	if !kept {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	nodes, err := devNodes(cfg, dir, kept, stderr)
	if err != nil {
		return err
	}
	logTelemetry(nodes[0].logger)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	ended := make(chan error, len(nodes))
	for _, n := range nodes {
		running.Go(func() {
			if err := n.runBounded(ctx); err != nil {
				ended <- fmt.Errorf("node %s: %w", n.cfg.Name, err)
			}
			stop() // a cluster that lost a node is not what was asked for
		})
	}
	if allReady(ctx, nodes) {
		err = devWelcome(stdout, cfg, nodes, dir, kept)
	}
	if err == nil {
		<-ctx.Done()
	}
	stop()
	running.Wait()
	close(ended)
	for e := range ended {
		err = errors.Join(err, e)
	}
	return err
}

// devDir is where the data are, and whether they are to be kept. A kept directory has
// one subdirectory a node, and goes with the number of nodes it began with: the
// cluster's configuration is in it.
func devDir(cfg devConfig) (dir string, kept bool, err error) {
	if cfg.dataDir == "" {
		dir, err = os.MkdirTemp("", "coordd-dev-")
		if err != nil {
			return "", false, fmt.Errorf("make data directory: %w", err)
		}
		return dir, false, nil
	}
	entries, err := os.ReadDir(cfg.dataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("read data directory: %w", err)
	}
	if n := len(entries); n > 0 && n != cfg.nodes {
		return "", false, &usageError{fmt.Errorf("--data-dir %s: has the data of %d nodes, not of %d: say --nodes %d, or choose another",
			cfg.dataDir, n, cfg.nodes, n)}
	}
	return cfg.dataDir, true, nil
}

// devNodes opens all ports before it makes the nodes, whose join lists name them.
func devNodes(cfg devConfig, dir string, kept bool, stderr io.Writer) (nodes []*node, err error) {
	configs := make([]Config, cfg.nodes)
	ports := make([]*listeners, 0, cfg.nodes)
	defer func() {
		if err != nil {
			for _, p := range ports {
				err = errors.Join(err, p.close())
			}
		}
	}()
	var join []string
	port := cfg.port
	for i := range configs {
		tries := devTries
		if kept {
			tries = 1 // the addresses are in the data
		}
		configs[i], port, err = devListen(&ports, port, tries)
		if err != nil {
			return nil, err
		}
		join = append(join, configs[i].ListenPeer)
	}
	for i, c := range configs {
		c.Name = fmt.Sprintf("n%d", i+1)
		c.DataDir = filepath.Join(dir, c.Name)
		c.Join, c.BootstrapExpect = join, cfg.nodes
		c.LogFormat, c.LogLevel = "text", cfg.logLevel
		c.DiskStallLimit = devStall
		n, err := newNode(c, ports[i], c.logger(stderr).With("node", c.Name))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// devListen opens the ports of one node, the first free of so many tries, and says
// where to look for the next node's.
func devListen(ports *[]*listeners, port, tries int) (Config, int, error) {
	for {
		at := func(offset int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(port+offset)) }
		c := Config{ListenClient: at(0), ListenPeer: at(1), ListenAdmin: at(2)}
		l, err := c.listen()
		port, tries = port+devStep, tries-1
		if err == nil {
			*ports = append(*ports, l)
			return c, port, nil
		}
		if tries == 0 || port+2 > 65535 || !errors.Is(err, syscall.EADDRINUSE) {
			return Config{}, 0, fmt.Errorf("open ports (choose others with --port): %w", err)
		}
	}
}

// allReady waits for all nodes, and is false if ctx ended first.
func allReady(ctx context.Context, nodes []*node) bool {
	for _, n := range nodes {
		select {
		case <-n.ready:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// devWelcome says what there is and what to type next.
func devWelcome(w io.Writer, cfg devConfig, nodes []*node, dir string, kept bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\ncoordd dev: %d node(s) in one process. FOR DEVELOPMENT ONLY: one crash takes all, no TLS.\n\n", len(nodes))
	fmt.Fprintf(&b, "  %-6s%-18s%-18s%s\n", "node", "clients", "peers", "admin")
	var endpoints []string
	for _, n := range nodes {
		fmt.Fprintf(&b, "  %-6s%-18s%-18shttp://%s\n", n.cfg.Name, n.clientAddress, n.peerAddress, n.cfg.ListenAdmin)
		endpoints = append(endpoints, n.clientAddress)
	}
	fate := "removed at exit"
	if kept {
		fate = "kept"
	}
	coordctl := "coordctl"
	if d := filepath.Dir(cfg.program); d != "." {
		coordctl = filepath.Join(d, coordctl)
	}
	fmt.Fprintf(&b, "\n  data: %s (%s)\n\nIn another terminal:\n\n", dir, fate)
	fmt.Fprintf(&b, "  export COORD_ENDPOINTS=%s\n", strings.Join(endpoints, ","))
	fmt.Fprintf(&b, "  %s lock demo -- sh -c 'printenv COORD_FENCING_TOKEN; sleep 30'\n\n", coordctl)
	fmt.Fprintf(&b, "and meanwhile in a third, which says who holds it:\n\n  export COORD_ENDPOINTS=%s\n", strings.Join(endpoints, ","))
	fmt.Fprintf(&b, "  %s lock -w 1s demo -- true\n\nCtrl-C stops it.\n", coordctl)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write what to type next: %w", err)
	}
	return nil
}
