package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

const (
	// stopLimit is how long a stop may take in all. A disk that hangs would otherwise
	// keep the process, and with it the directory's lock, for ever.
	stopLimit = 20 * time.Second

	// failLimit is the same for a node that cannot go on. A leader whose disk hangs
	// still sends heartbeats until its process ends, and nobody else can lead.
	failLimit = time.Second
)

func serveCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a node",
		Long:    "Run a node.\n\n" + settingsHelp,
		Example: serveExample,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			warnings, err := merge(cmd.Flags(), environ)
			if err != nil {
				return &usageError{err}
			}
			if err := cfg.validate(); err != nil {
				return &usageError{err}
			}
			for _, w := range warnings {
				cfg.logger(cmd.ErrOrStderr()).Warn(w)
			}
			return run(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cfg.flags(cmd.Flags())
	return cmd
}

// run is a node's process, less the process: the end of ctx is SIGTERM.
func run(ctx context.Context, cfg Config, _, stderr io.Writer) error {
	ports, err := cfg.listen()
	if err != nil {
		return err
	}
	logger := cfg.logger(stderr)
	logTelemetry(logger)
	n, err := newNode(cfg, ports, logger)
	if err != nil {
		return errors.Join(err, ports.close())
	}
	return n.runBounded(ctx)
}

// runBounded is run that returns even if the stop hangs; the process is to exit then.
func (n *node) runBounded(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() { stopped <- n.run(ctx) }()
	var err error
	select {
	case err = <-stopped:
	case <-ctx.Done():
		err = bound(stopped, stopLimit)
	case <-n.stopping:
		limit := stopLimit
		if n.cause != nil {
			limit = failLimit
		}
		if err = bound(stopped, limit); errors.Is(err, errLeft) {
			err = errors.Join(n.cause, err)
		}
	}
	if err == nil {
		n.logger.Info("stopped")
	}
	return err
}

// errLeft says that a stop took too long.
var errLeft = errors.New("the stop hangs; left it")

// bound waits for a stop, but not for ever.
func bound(stopped <-chan error, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-stopped:
		return err
	case <-t.C:
		return fmt.Errorf("stop node: %w after %v", errLeft, limit)
	}
}
