// Cronleader runs a job every so often on one of its replicas: on the leader.
//
//	make run                          # a cluster
//	go run ./examples/cronleader      # in two terminals, or more
//
// Interrupt the leader with ^C or SIGTERM: it finishes the job in hand and resigns, and
// another leads at once. Kill it with SIGKILL: another leads when its lease is over, 5 s
// after the last renewal. Stop it with SIGSTOP for longer than that and continue it: its
// job knows that it is not the leader any more, and a write that it makes all the same
// has an old term.
//
// What is yours to copy is in replica.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cronleader: %v\n", err)
		os.Exit(1)
	}
}

// start is a replica against a cluster, until ctx ends.
func start(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	name := flag.String("name", fmt.Sprintf("%s pid %d", host, os.Getpid()), "what the others see of this replica")
	every := flag.Duration("every", 2*time.Second, "how often the job is run")
	takes := flag.Duration("takes", time.Second, "how long it takes")
	ttl := flag.Duration("ttl", 5*time.Second, "how soon another replica goes on if this machine dies")
	flag.Parse()

	c, err := client.Dial(ctx, "", client.WithTTL(*ttl), client.WithName("cronleader"))
	if err != nil {
		return err
	}
	defer c.Close()
	r := &replica{name: *name, every: *every, say: func(s string) { fmt.Println(s) }}
	r.job = func(ctx context.Context, term client.Token) error { return count(ctx, *takes, term, r.say) }
	return r.run(ctx, c)
}

// count stands for real work: it takes its time, and stops when it has to.
func count(ctx context.Context, takes time.Duration, term client.Token, say func(string)) error {
	say("job begins, term " + term.String())
	err := stage.Work(ctx, takes)
	if err == nil {
		say("job done")
	}
	return err
}
