// Package stage is what the examples share that are about several processes: a cluster to
// play on, and the processes that play.
//
// A [Play] is an example. Who runs it gets its Story, which starts the program again, once
// for each part in it, as processes of their own that can be killed and stopped like any.
// What they print is printed with their name before it, as it comes. The cluster is the one
// that COORD_ENDPOINTS names or, without it, a coordd dev of a single node, built and started
// for the run (go build needs to be within the module) and ended after it. It is not a
// coordtest cluster in the process, although that starts sooner: that one belongs to a test,
// and here a reader sees the same daemon and the same Dial that a program of theirs has.
//
// Tests play the same parts as functions, against coordtest in a synctest bubble, where
// they need nothing of this package but a [Part]; package stagetest runs the whole program.
//
// What is always so:
//
//  1. A run's objects have names of its own (Part.Object), so that two runs on one cluster
//     do not meet. What the run leaves there (Play.Leaves) is deleted at its end.
//  2. Run returns when every process has ended that it started: the parts before the
//     cluster, so that they can say goodbye to it.
//  3. SIGINT and SIGTERM end a story's ctx, and so every part's, which closes its client.
package stage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"coordd.dev/client"
)

// farewell is how long the cluster is asked to delete what a run leaves.
const farewell = 5 * time.Second

// Environment of a process that plays a part.
const (
	envRole = "STAGE_ROLE"
	envName = "STAGE_NAME"
	envRun  = "STAGE_RUN"
)

// A Role is what a process does. ctx ends when it is to stop; to return ctx's error then
// is no failure.
type Role func(ctx context.Context, p Part) error

// A Play is an example.
type Play struct {
	Name string
	// Story starts the parts, and tells what there is to see.
	Story func(ctx context.Context, s *Stage) error
	Roles map[string]Role
	// Leaves are the objects, by the names that Part.Object is given, that stay on the
	// cluster after their users, as a closed channel and a map do.
	Leaves []client.Ref
}

// A Part is what a process knows of itself.
type Part struct {
	Name string                           // unlike every other part's
	Run  string                           // this run's, unlike every other run's
	Args []string                         // as Start was given
	Say  func(format string, args ...any) // prints a line
}

// Object is the name of an object of this run.
func (p Part) Object(name string) string { return p.Run + "/" + name }

// A Stage is where a story takes place. Its methods are for the goroutine of the story.
type Stage struct {
	Part

	endpoints string
	out       *output
	processes []*Process
}

// Run plays p, or the part in it that this process was started for, and returns the
// process's exit code. It reads the command line, the environment and signals, so it is
// for main.
func Run(p Play) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &output{w: os.Stdout}
	part := Part{Name: p.Name, Args: os.Args[1:], Say: out.say}
	var err error
	if role := os.Getenv(envRole); role != "" {
		part.Name, part.Run = os.Getenv(envName), os.Getenv(envRun)
		err = p.play(ctx, role, part)
	} else {
		part.Run = p.Name + "-" + rand.Text()[:8]
		err = p.tell(ctx, &Stage{Part: part, out: out})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", part.Name, err)
		return 1
	}
	return 0
}

func (p Play) play(ctx context.Context, role string, part Part) error {
	play, ok := p.Roles[role]
	if !ok {
		return fmt.Errorf("no role is named %q", role)
	}
	err := play(ctx, part)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it was told to stop
	}
	return err
}

func (p Play) tell(ctx context.Context, s *Stage) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.endpoints = os.Getenv("COORD_ENDPOINTS")
	if s.endpoints == "" {
		s.Say("building and starting coordd ...")
		cluster, err := StartCluster(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Stop()) }()
		s.endpoints = cluster.Endpoints
	}
	err = p.Story(ctx, s)
	stop()
	for _, process := range s.processes {
		<-process.done
	}
	return errors.Join(err, p.clear(context.WithoutCancel(ctx), s))
}

// clear deletes what the run leaves on the cluster.
func (p Play) clear(ctx context.Context, s *Stage) error {
	if len(p.Leaves) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var errs []error
	for _, ref := range p.Leaves {
		if err := c.Delete(ctx, ref.Kind, s.Object(ref.Name)); err != nil && !errors.Is(err, client.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Dial is for a story that has a part itself. The parts dial by themselves, with "".
func (s *Stage) Dial(ctx context.Context, opts ...client.Option) (*client.Client, error) {
	return client.Dial(ctx, s.endpoints, append([]client.Option{client.WithName(s.Name)}, opts...)...)
}

// Start starts a process that plays role under a name of its own. It is told to stop with
// SIGTERM when ctx ends, and killed if it does not.
func (s *Stage) Start(ctx context.Context, role, name string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := start(ctx, self, name, s.out, args,
		"COORD_ENDPOINTS="+s.endpoints, envRole+"="+role, envName+"="+name, envRun+"="+s.Run)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// Work stands for work that takes d, and stops when it has to.
func Work(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An output is written to line by line.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, format+"\n", args...)
}
