package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"coordd.dev/client"
)

// Two processes lock A then B and B then A. The second to wait is refused, without a lease
// having to run out, and told which processes are in each other's way and at which lines; it
// lets go, and the other has both.
func TestDeadlockOfProcesses(t *testing.T) {
	ctx := bounded(t)
	c := cluster(ctx, t)
	one := startRole(ctx, t, c, "cross", "E2E_NAME=one", "E2E_FIRST=A", "E2E_SECOND=B")
	two := startRole(ctx, t, c, "cross", "E2E_NAME=two", "E2E_FIRST=B", "E2E_SECOND=A")
	one.expect("holds A")
	two.expect("holds B")
	fmt.Fprintln(one.in)
	awaitWaiters(ctx, t, c, 1)
	fmt.Fprintln(two.in)

	took, err := time.ParseDuration(two.expect("refused after "))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("refused after %v", took.Round(time.Millisecond))
	if took > crossTTL/2 {
		t.Errorf("refused after %v, as by a lease that ran out", took)
	}
	text, err := strconv.Unquote(two.expect(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(text)
	const at = ` \(\S*deadlock_test\.go:\d+\)`
	for _, want := range []string{
		fmt.Sprintf(`pid %d \(one\) holds lock A%s and waits for lock B%s`, one.cmd.Process.Pid, at, at),
		fmt.Sprintf(`pid %d \(two\) holds lock B%s and waits for lock A%s`, two.cmd.Process.Pid, at, at),
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q does not say %s", text, want)
		}
	}
	one.expect("holds both")
	for _, p := range []*process{one, two} {
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	checkNothingLeft(ctx, t, c)
}

// crossTTL is far more than a search for a deadlock takes.
const crossTTL = time.Minute

// cross locks one lock and, when it is told to, another under it.
func cross(ctx context.Context) error {
	c, err := client.Dial(ctx, "", client.WithTTL(crossTTL), client.WithName(os.Getenv("E2E_NAME")))
	if err != nil {
		return err
	}
	first, err := c.Mutex(os.Getenv("E2E_FIRST")).LockContext(ctx)
	if err != nil {
		return err
	}
	fmt.Println("holds", first.Name())
	bufio.NewScanner(os.Stdin).Scan()
	begun := time.Now()
	second, err := c.Mutex(os.Getenv("E2E_SECOND")).LockContext(client.ContextWithHold(ctx, first))
	if dead := (*client.DeadlockError)(nil); errors.As(err, &dead) {
		fmt.Println("refused after", time.Since(begun))
		fmt.Printf("%q\n", dead.Error())
		return errors.Join(first.Unlock(ctx), c.Close())
	}
	if err != nil {
		return err
	}
	fmt.Println("holds both")
	return errors.Join(second.Unlock(ctx), first.Unlock(ctx), c.Close())
}
