package stage_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, func() { os.Exit(stage.Run(play())) }) }

func play() stage.Play {
	return stage.Play{
		Name:   "greeting",
		Story:  story,
		Roles:  map[string]stage.Role{"greeter": greet},
		Leaves: []client.Ref{{Kind: client.KindChan, Name: "greetings"}, {Kind: client.KindMap, Name: "never made"}},
	}
}

// story has one process that ends, one that is killed, and one that is left to Run.
func story(ctx context.Context, s *stage.Stage) error {
	var all []*stage.Process
	for _, name := range []string{"ann", "bob", "eve"} {
		p, err := s.Start(ctx, "greeter", name, "good", "day")
		if err != nil {
			return err
		}
		if _, err := p.Await(ctx, "waits"); err != nil {
			return err
		}
		all = append(all, p)
	}
	err := all[1].Kill()
	if err == nil && all[1].Wait() == nil {
		err = errors.New("bob was killed and has succeeded")
	}
	if _, unsaid := all[1].Await(ctx, "waits"); unsaid == nil {
		err = errors.Join(err, errors.New("bob waits twice"))
	}
	if err := errors.Join(err, all[0].Signal(syscall.SIGTERM), all[0].Wait()); err != nil {
		return err
	}
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for range all {
		text, _, err := client.NewChan[string](c, s.Object("greetings"), client.AnyCapacity).RecvContext(ctx)
		if err != nil {
			return err
		}
		s.Say("heard %s", text)
	}
	return nil
}

func greet(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	ch := client.NewChan[string](c, p.Object("greetings"), 9)
	if err := ch.SendContext(ctx, p.Name+" "+strings.Join(p.Args, " ")); err != nil {
		return err
	}
	p.Say("waits")
	<-ctx.Done()
	p.Say("ends")
	return context.Cause(ctx)
}

func TestRun(t *testing.T) {
	const want = `ann: waits
bob: waits
eve: waits
ann: ends
heard ann good day
heard bob good day
heard eve good day
eve: ends
`
	if got := stagetest.Play(t); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
}
