package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"coordd.dev/client"
)

// connect opens a session. Nodes that cannot be reached are given up soon; those that answer
// and have no leader are waited for as a queue is, as long as -w says.
func (t *attempt) connect(ctx context.Context) (*client.Client, error) {
	limit := t.patience(dialLimit)
	if t.answer == 0 && t.wait > 0 { // which is about rivals; a cluster that is there may take its second
		limit = min(limit, max(t.wait, quiet))
	}
	begin := time.Now()
	hush := after(quiet, func() {
		t.say("no answer from %s yet; trying for %s", strings.Join(t.targets, ","), short(limit))
	})
	c, err := t.session(ctx, limit)
	hush()
	for told := false; electing(err) && ctx.Err() == nil; told = true {
		left := dialLimit
		if t.wait > 0 {
			left = min(left, t.wait-time.Since(begin))
		}
		if t.try || t.answer != 0 || left <= 0 {
			fail := dialError(t.title(), t.targets, err, limit, exitCoordctl)
			fail.next = "nobody is known to hold " + show(t.want.name) + "; try again"
			return nil, fail
		}
		if !told {
			t.say("waiting for %s: %s", show(t.want.name), err)
		}
		c, err = t.session(ctx, left)
	}
	if err != nil {
		return nil, dialError(t.title(), t.targets, err, limit, exitCoordctl)
	}
	return c, nil
}

func (t *attempt) session(ctx context.Context, limit time.Duration) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return client.Dial(ctx, strings.Join(t.targets, ","), t.dialOptions(filepath.Base(t.argv[0]),
		client.WithTTL(t.ttl), client.WithEndEarly(t.grace))...)
}

// dialOptions are those that every session here has, and more. The name is what others see.
func (a *app) dialOptions(name string, more ...client.Option) []client.Option {
	opts := append([]client.Option{
		client.WithName(strings.ToValidUTF8(name, "\uFFFD")),
		client.WithLogger(slog.New(slog.DiscardHandler)),
	}, more...)
	return append(opts, a.netOptions()...)
}

// electing reports whether nodes answered a dial, and none led, or it opens no sessions yet
// after a restore: that is waited for, as an address at which there is nothing is not.
func electing(err error) bool {
	return errors.Is(err, client.ErrUnavailable) &&
		(strings.HasPrefix(err.Error(), "no leader at ") || strings.Contains(err.Error(), ": the cluster was restored "))
}
