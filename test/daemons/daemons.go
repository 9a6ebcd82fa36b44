// Package daemons runs clusters of real coordd processes on loopback, for end-to-end
// tests and measurements: it starts them, kills them with SIGKILL, stops them with
// SIGSTOP, starts them again with the same command line, and ends what it started.
package daemons

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/test/ports"
)

const (
	readyLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
	askEvery   = 50 * time.Millisecond // a process says in no other way that it is ready
	askLimit   = time.Second
)

// A Cluster is some coordd processes. Its methods are for one goroutine.
type Cluster struct {
	nodes  []*Node
	ports  []*ports.Block // none after Stop
	binary string
	dir    string
	flags  []string
}

// A Node is one coordd process, or where one was.
type Node struct {
	Name   string
	Client string // host:port of its client port
	Admin  string // of its admin port
	Peer   string // of its peer port
	Data   string // its data directory

	binary string
	args   []string
	env    []string // besides this process' own
	tls    *tls.Config
	log    string // file that its output is appended to
	cmd    *exec.Cmd
}

// Build builds a command of this module into dir, with go build's flags, and returns the
// binary's path.
func Build(ctx context.Context, pkg, dir string, flags ...string) (string, error) {
	out := filepath.Join(dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", out}, flags, []string{pkg})...)
	if b, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return out, nil
}

// New makes a cluster of n nodes, up to five, with their data below dir, and the flags
// besides those that make it one. None is started.
func New(binary, dir string, n int, flags ...string) (*Cluster, error) {
	block, err := ports.Reserve(3 * n)
	if err != nil {
		return nil, fmt.Errorf("make a cluster: %w", err)
	}
	c := &Cluster{ports: []*ports.Block{block}, binary: binary, dir: dir, flags: flags}
	addresses := block.Addresses()
	peers := addresses[:n]
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		node := &Node{
			Name: name, Client: addresses[n+i], Peer: peers[i], Admin: addresses[2*n+i],
			Data: filepath.Join(dir, name), binary: binary, log: filepath.Join(dir, name+".log"),
		}
		node.args = []string{
			"serve", "--name", name, "--data-dir", node.Data,
			"--listen-client", node.Client, "--listen-peer", node.Peer, "--listen-admin", node.Admin,
			"--join", strings.Join(peers, ","), "--bootstrap-expect", fmt.Sprint(n),
		}
		node.args = append(node.args, flags...)
		c.nodes = append(c.nodes, node)
	}
	return c, nil
}

// Start makes a cluster, as New does, starts it and waits until every node is ready.
func Start(ctx context.Context, binary, dir string, n int, flags ...string) (*Cluster, error) {
	c, err := New(binary, dir, n, flags...)
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Add makes a node that joins the cluster and waits to be added to it. It is not started.
func (c *Cluster) Add(name string) (*Node, error) {
	block, err := ports.Reserve(3)
	if err != nil {
		return nil, fmt.Errorf("make node %s: %w", name, err)
	}
	c.ports = append(c.ports, block)
	at := block.Addresses()
	node := &Node{
		Name: name, Client: at[0], Peer: at[1], Admin: at[2],
		Data: filepath.Join(c.dir, name), binary: c.binary, log: filepath.Join(c.dir, name+".log"),
	}
	var peers []string
	for _, n := range c.nodes {
		peers = append(peers, n.Peer)
	}
	node.args = append([]string{
		"serve", "--name", name, "--data-dir", node.Data,
		"--listen-client", node.Client, "--listen-peer", node.Peer, "--listen-admin", node.Admin,
		"--join", strings.Join(peers, ","),
	}, c.flags...)
	c.nodes = append(c.nodes, node)
	return node, nil
}

// Drop forgets a node that is stopped.
func (c *Cluster) Drop(node *Node) {
	c.nodes = slices.DeleteFunc(c.nodes, func(n *Node) bool { return n == node })
}

// Setenv gives environment to the processes that are started from now on, besides this
// one's.
func (c *Cluster) Setenv(env ...string) {
	for _, node := range c.nodes {
		node.env = env
	}
}

// Secure has the nodes asked over TLS: their flags make them want it.
func (c *Cluster) Secure(conf *tls.Config) {
	for _, node := range c.nodes {
		node.tls = conf
	}
}

// Start starts every node and waits until all are ready. If one is not, all are stopped.
func (c *Cluster) Start(ctx context.Context) error {
	for _, node := range c.nodes {
		if err := node.Start(); err != nil {
			return errors.Join(err, c.Stop())
		}
	}
	for _, node := range c.nodes {
		if err := node.AwaitReady(ctx); err != nil {
			return errors.Join(err, c.Stop())
		}
	}
	return nil
}

// Nodes are the cluster's, in order.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Target is the endpoints of all nodes, as COORD_ENDPOINTS has them.
func (c *Cluster) Target() string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.Client)
	}
	return strings.Join(addrs, ",")
}

// Leader waits for a node that says it leads.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	var found *Node
	err := await(ctx, func() error {
		for _, n := range c.nodes {
			if st, err := n.Status(ctx); err == nil && st.GetLeading() {
				found = n
				return nil
			}
		}
		return errors.New("no node leads")
	})
	return found, err
}

// Stop ends every process that runs: with SIGTERM, and with SIGKILL if that is not
// enough, which is an error. Those that were ended before it leaves alone, so it may be
// called again.
func (c *Cluster) Stop() error {
	var errs []error
	for _, n := range c.nodes {
		if n.cmd != nil {
			errs = append(errs, n.Signal(syscall.SIGCONT), n.Signal(syscall.SIGTERM))
		}
	}
	for _, n := range c.nodes {
		if n.cmd != nil {
			errs = append(errs, n.wait())
		}
	}
	for _, block := range c.ports {
		errs = append(errs, block.Close())
	}
	c.ports = nil
	return errors.Join(errs...)
}

// Use has the node run another binary from its next start on.
func (n *Node) Use(binary string) { n.binary = binary }

// Start starts the node's process, always with the same command line.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(n.binary, n.args...)
	cmd.Env = append(os.Environ(), n.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.cmd = cmd
	return nil
}

// PID is the process' id, 0 if there is none.
func (n *Node) PID() int {
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (n *Node) Kill() error {
	if err := n.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = n.cmd.Wait() // it says only that it was killed
	n.cmd = nil
	return nil
}

// Terminate ends the process with SIGTERM and waits; its exit code must be 0.
func (n *Node) Terminate() error {
	if err := n.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return n.wait()
}

// Ended waits until the process ends by itself, and returns its exit code.
func (n *Node) Ended(ctx context.Context) (int, error) {
	late := context.AfterFunc(ctx, func() { _ = n.cmd.Process.Kill() })
	err := n.cmd.Wait()
	n.cmd = nil
	if !late() {
		return 0, fmt.Errorf("%s did not end: %w; its log is %s", n.Name, context.Cause(ctx), n.log)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("await the end of %s: %w", n.Name, err)
	}
	if exit != nil {
		return exit.ExitCode(), nil
	}
	return 0, nil
}

// Signal sends the process a signal, SIGSTOP and SIGCONT for example.
func (n *Node) Signal(s syscall.Signal) error {
	if err := n.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) wait() error {
	late := time.AfterFunc(stopLimit, func() { _ = n.cmd.Process.Kill() })
	err := n.cmd.Wait()
	late.Stop()
	n.cmd = nil
	if err != nil {
		return fmt.Errorf("stop %s: %w; its log is %s", n.Name, err, n.log)
	}
	return nil
}

// AwaitReady waits until /readyz says so.
func (n *Node) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := await(ctx, func() error { return n.Ready(ctx) }); err != nil {
		return fmt.Errorf("await %s: %w; its log is %s", n.Name, err, n.log)
	}
	return nil
}

// Log is the file that has what the node's processes wrote.
func (n *Node) Log() string { return n.log }

// AwaitServing waits until the node answers, ready or not.
func (n *Node) AwaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	err := await(ctx, func() error {
		_, err := n.Status(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("await %s: %w; its log is %s", n.Name, err, n.log)
	}
	return nil
}

// Ready asks /readyz.
func (n *Node) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	client, scheme := http.DefaultClient, "http://"
	if n.tls != nil {
		scheme = "https://"
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: n.tls.Clone(), DisableKeepAlives: true}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+n.Admin+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", n.Name, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", n.Name, err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("ask %s: %w", n.Name, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", n.Name, res.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// Status asks the node what it knows of the cluster.
func (n *Node) Status(ctx context.Context) (*coordv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	creds := insecure.NewCredentials()
	if n.tls != nil {
		creds = credentials.NewTLS(n.tls)
	}
	conn, err := grpc.NewClient(n.Client, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	st, err := coordv1.NewClusterServiceClient(conn).Status(ctx, &coordv1.StatusRequest{})
	if err := errors.Join(err, conn.Close()); err != nil {
		return nil, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	return st, nil
}

// await asks again and again until the answer is nil or ctx ends.
func await(ctx context.Context, ask func() error) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
