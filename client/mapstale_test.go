package client_test

import (
	"context"
	"testing"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
)

// A node answers from its own state, with the revision of that, also without a majority.
func TestMapLoadStale(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, cluster *coordtest.Cluster) {
		c := cluster.Dial()
		m := client.NewMap[string, []int](c, "m")
		if v, ok, at, err := m.LoadStale(t.Context(), "k"); err != nil || ok || at != 0 {
			t.Errorf("at first: %v %v at %d: %v", v, ok, at, err)
		}
		m.Store("k", []int{7})
		m.Store("l", nil)
		time.Sleep(time.Second) // for the others to have it
		cluster.KillLeader()    // which is the node in use
		cluster.Leader().Kill() // and with this one the majority
		v, ok, at, err := m.LoadStale(t.Context(), "k")
		if err != nil || !ok || len(v) != 1 || v[0] != 7 || at != 2 {
			t.Errorf("without a majority: %v %v at %d: %v", v, ok, at, err)
		}
		if v, ok, at, err := m.LoadStale(t.Context(), "other"); err != nil || ok || at != 2 {
			t.Errorf("of no entry: %v %v at %d: %v", v, ok, at, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = m.LoadContext(ctx, "k")
		wantErr(t, err, context.DeadlineExceeded)
		_, _, _, err = client.NewMap[string, []byte](c, "m", client.WithCodec(client.Raw())).LoadStale(t.Context(), "k")
		wantErr(t, err, client.ErrMismatch)
		_, _, _, err = client.NewMap[string, string](c, "m").LoadStale(t.Context(), "k")
		if err == nil {
			t.Error("a number is a string")
		}
		_, _, _, err = client.NewMap[string, int](c, "").LoadStale(t.Context(), "k")
		wantErr(t, err, client.ErrInvalid)
		_, _, _, err = m.LoadStale(t.Context(), "")
		wantErr(t, err, client.ErrInvalid)
		for i := range 3 {
			cluster.Node(i).Pause()
		}
		_, _, _, err = m.LoadStale(t.Context(), "k")
		wantErr(t, err, client.ErrUnavailable)
		_ = c.Close()
		_, _, _, err = m.LoadStale(t.Context(), "k")
		wantErr(t, err, client.ErrClientClosed)
	})
}
