package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"coordd.dev/client"
)

// A worker is killed between its receives and their acknowledgement. When its lease has run
// out its elements go to another, which waits already, in their order, before what was sent
// later, and each once.
func TestWorkerKilledBeforeItAcknowledges(t *testing.T) {
	t.Parallel() // it waits more than it does
	ctx := bounded(t)
	c := cluster(ctx, t)
	out, err := client.Dial(ctx, c.Target(), client.WithTTL(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	jobs := client.NewChan[int](out, "jobs", 3)
	for i := range 3 {
		if err := jobs.SendContext(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	first := startRole(ctx, t, c, "consume", "E2E_TTL=5s", "E2E_COUNT=3")
	for i := range 3 {
		first.expect(fmt.Sprintf("%d, attempt 1", i))
	}
	sent := make(chan error, 1)
	go func() { sent <- jobs.SendContext(ctx, 3) }() // full of what is not acknowledged
	awaitWaiters(ctx, t, c, 1)
	second := startRole(ctx, t, c, "consume", "E2E_TTL=1m", "E2E_COUNT=0")
	awaitWaiters(ctx, t, c, 2)

	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = first.cmd.Wait() // it says only that it was killed
	killLeader(ctx, t, c)
	for i := range 3 {
		second.expect(fmt.Sprintf("%d, attempt 2", i))
		if i == 0 {
			t.Logf("delivered again %v after the kill, with a TTL of 5s", time.Since(killed).Round(time.Millisecond))
		}
	}
	second.expect("3, attempt 1")
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if err := jobs.CloseContext(ctx); err != nil {
		t.Error(err)
	}
	second.expect("drained")
	if err := second.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(ctx, t, c)
}

// consume receives so many jobs, acknowledges none and waits to be killed; or, if that is none,
// it receives all and acknowledges each.
func consume(ctx context.Context) error {
	ttl, err := time.ParseDuration(os.Getenv("E2E_TTL"))
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(os.Getenv("E2E_COUNT"))
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "", client.WithTTL(ttl), client.WithName("consume"))
	if err != nil {
		return err
	}
	jobs := client.NewChan[int](c, "jobs", 3)
	for range count {
		d, err := jobs.RecvAck(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%d, attempt %d\n", d.Value, d.Attempt)
	}
	if count > 0 {
		bufio.NewScanner(os.Stdin).Scan()
	}
	for d, err := range jobs.Deliveries(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%d, attempt %d\n", d.Value, d.Attempt)
		if err := d.Ack(ctx); err != nil {
			return err
		}
	}
	fmt.Println("drained")
	return c.Close()
}
