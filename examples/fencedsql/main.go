// Fencedsql shows a late write to a SQL database, and the fence that refuses it.
//
//	go run ./examples/fencedsql
//	go run ./examples/fencedsql -unfenced    # what happens without
//
// It starts a coordd of its own (go build, then coordd dev) and two writers, processes
// of this program. Writer A takes the lock, checks that it holds it, and is stopped with
// SIGSTOP before it writes, past the end of its lease. Writer B gets the lock and writes.
// A goes on where it was and writes too: it had checked. The token that came with its
// lock is smaller than B's, and the database refuses it.
//
// What is yours to copy is in writer.go. It needs a C compiler, for SQLite.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// role is set for a process that is a writer.
const role = "FENCEDSQL_WRITER"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	unfenced := flag.Bool("unfenced", false, "write without the fence")
	flag.Parse()
	var err error
	if name := os.Getenv(role); name != "" {
		err = write(ctx, name, *unfenced)
	} else {
		err = tell(ctx, os.Stdout, *unfenced)
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "fencedsql: %v\n", err)
		os.Exit(1)
	}
}
