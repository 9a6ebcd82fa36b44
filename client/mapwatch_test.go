package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A watch tells what is there, then every change in order, through changes of leaders; and it
// goes on from any revision.
func TestMapWatch(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		m := client.NewMap[string, int](cluster.Dial(client.WithTTL(time.Minute)), "m")
		m.Store("a", 1)
		m.Store("b", 2)
		other := client.NewMap[string, int](cluster.Dial(), "m")
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		var at client.Revision
		ended := make(chan error, 1)
		go func() {
			for ev, err := range other.Watch(ctx, 0) {
				if err != nil {
					ended <- err
					return
				}
				if ev.Type != client.EventStored && ev.Type != client.EventDeleted && ev.Type != client.EventSynced {
					t.Errorf("event %+v", ev)
				}
				told = append(told, fmt.Sprint(ev.Type, ev.Key, ev.Value))
				if len(told) == 4 {
					at = ev.Revision
				}
			}
		}()
		synctest.Wait()
		m.Store("a", 3)
		dead := cluster.KillLeader()
		cluster.Leader()
		m.Delete("b")
		dead.Restart()
		m.Swap("c", 4)
		m.Clear()
		time.Sleep(10 * time.Second)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		want := []string{"1a1", "1b2", "30", "1a3", "2b2", "1c4", "2a3", "2c4"}
		for i := range told { // Sprint puts blanks between operands that are no strings
			told[i] = string(slices.DeleteFunc([]rune(told[i]), func(r rune) bool { return r == ' ' }))
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		var again []string
		for ev, err := range other.Watch(t.Context(), at) {
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, ev.Key)
			if len(again) == 4 {
				break
			}
		}
		if !slices.Equal(again, []string{"b", "c", "a", "c"}) {
			t.Errorf("from %d on: %v", at, again)
		}
	})
}
