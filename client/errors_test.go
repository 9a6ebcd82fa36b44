package client_test

import (
	"errors"
	"testing"
	"time"

	"coordd.dev/client"
)

// The texts that people read.
func TestErrorTexts(t *testing.T) {
	billing := client.Holder{
		Session: "000000000000002a", Name: "billing", For: 2*time.Minute + 300*time.Millisecond,
		Metadata: map[string]string{"host": "host-a", "pid": "812"},
	}
	nobody := client.Holder{Session: "000000000000002b", For: 1500 * time.Millisecond}
	for _, tc := range []struct {
		err  error
		is   error
		want string
	}{
		{
			&client.BusyError{Kind: client.KindLock, Name: "deploy", Holders: []client.Holder{billing}, Waiting: 3},
			client.ErrBusy, "lock deploy: would wait: held 2m by host-a pid 812 (billing), 3 ahead",
		},
		{
			&client.BusyError{Kind: client.KindSemaphore, Name: "pool", Holders: []client.Holder{nobody, billing}},
			client.ErrBusy, "semaphore pool: would wait: held 1.5s by session 000000000000002b and 2m by host-a pid 812 (billing)",
		},
		{
			&client.BusyError{Kind: client.KindSemaphore, Name: "pool", Holders: []client.Holder{nobody, nobody, nobody, nobody, nobody}},
			client.ErrBusy, "semaphore pool: would wait: held 1.5s by session 000000000000002b and 1.5s by session 000000000000002b and 1.5s by session 000000000000002b and 2 more",
		},
		{
			&client.BusyError{Kind: client.KindLock, Name: "deploy", Waiting: 1},
			client.ErrBusy, "lock deploy: would wait, 1 ahead",
		},
		{
			&client.LostError{Kind: client.KindLock, Name: "orders/42", Token: 7, Reason: client.ReasonExpired, Held: 3 * time.Minute},
			client.ErrLost, "lock orders/42: lost after 3m: lease expired (token 7)",
		},
		{
			&client.LostError{Kind: client.KindSemaphore, Name: "pool", Reason: client.ReasonRevoked, Detail: "for maintenance", Held: 90 * time.Minute},
			client.ErrLost, "semaphore pool: lost after 1h30m: revoked by an operator: for maintenance",
		},
		{
			&client.LostError{Reason: client.ReasonPaused, Held: 2 * time.Hour},
			client.ErrLost, "session: lost after 2h: process paused past its lease",
		},
		{
			&client.LostError{Reason: client.ReasonClosed, Held: 12340 * time.Microsecond},
			client.ErrLost, "session: lost after 12ms: client closed",
		},
		{
			&client.DeadlockError{Cycle: []client.Wait{
				{
					Who: billing, Holds: []client.Ref{{Kind: client.KindLock, Name: "a", At: "pay.go:12"}, {Kind: client.KindLock, Name: "c"}},
					Wants: client.Ref{Kind: client.KindLock, Name: "b"},
				},
				{Who: nobody, Holds: []client.Ref{{Kind: client.KindLock, Name: "b"}}, Wants: client.Ref{Kind: client.KindLock, Name: "a"}},
			}},
			client.ErrDeadlock, "deadlock:" +
				"\n\thost-a pid 812 (billing) holds lock a (pay.go:12), lock c and waits for lock b" +
				"\n\tsession 000000000000002b holds lock b and waits for lock a",
		},
		{
			&client.DeadlockError{Cycle: []client.Wait{{Who: nobody, Holds: []client.Ref{{}}, Wants: client.Ref{}}}},
			client.ErrDeadlock, "deadlock:\n\tsession 000000000000002b holds an object that you may not read and waits for an object that you may not read",
		},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
		wantErr(t, tc.err, tc.is)
		if errors.Is(tc.err, client.ErrReleased) {
			t.Errorf("%v is everything", tc.err)
		}
	}
}
