package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	coordv1 "coordd.dev/api/coord/v1"
)

// An electorate is a node that answers, and knows no leader.
type electorate struct {
	coordv1.UnimplementedClusterServiceServer
}

func (electorate) Status(context.Context, *coordv1.StatusRequest) (*coordv1.StatusResponse, error) {
	return &coordv1.StatusResponse{ClusterId: "c", NodeId: "n1"}, nil
}

// Where nodes answer and none leads a lock is waited for as long as -w says, and that nobody leads
// is said, not that somebody holds it.
func TestNoLeaderYet(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	coordv1.RegisterClusterServiceServer(s, electorate{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(lis) }) // until Stop
	t.Cleanup(func() { s.Stop(); serving.Wait() })

	var out, errs strings.Builder
	args := []string{"--endpoints", lis.Addr().String(), "lock", "-w", "1100ms", "deploy", "--", "true"}
	code := run(t.Context(), args, strings.NewReader(""), &out, &errs, nil)
	want := "coordctl: no leader at " + lis.Addr().String() + ": no leader known; nobody is known to hold deploy; try again\n"
	if said := slowReports.ReplaceAllString(errs.String(), ""); code != exitCoordctl || said != want {
		t.Errorf("%d %q, should be %q", code, said, want)
	}
}
