package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/server"
	"coordd.dev/raftstore"
)

// BenchmarkStreams is what the shell and the machine cost: eight streams over loopback,
// a log that commits at once, each op a lock that is free or the end of one.
func BenchmarkStreams(b *testing.B) {
	for _, ops := range []int{2, 16, 128} {
		b.Run(fmt.Sprintf("ops=%d", ops), func(b *testing.B) { benchStreams(b, ops) })
	}
}

const benchStreamCount = 8

func benchStreams(b *testing.B, ops int) {
	replica := server.NewReplica()
	e := &discardEngine{engine: newEngine(replica)}
	log := raftstore.NewLog(e, raftstore.Config{})
	s, err := server.New(server.Config{
		Replica: replica, Log: log, NodeID: "n1", ClusterID: "c1",
		Locate: func(context.Context, string) (string, error) { return "", errors.New("alone") },
		Dial:   func(context.Context, string) (net.Conn, error) { return nil, errors.New("alone") },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	e.lead()
	streams := make([]*benchStream, benchStreamCount)
	for i := range streams {
		streams[i] = newBenchStream(b, lis.Addr().String(), uint64(i)+1)
	}
	b.ResetTimer()
	var group sync.WaitGroup
	for _, st := range streams {
		group.Go(func() { st.run(b, b.N/benchStreamCount+1, ops) })
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	for _, st := range streams {
		_ = st.conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		b.Error(err)
	}
	if err := errors.Join(<-served, log.Close()); err != nil {
		b.Error(err)
	}
}

// discardEngine keeps no entries.
type discardEngine struct{ *engine }

func (e *discardEngine) Append(ctx context.Context, data []byte) (uint64, []any, error) {
	index, results, err := e.engine.Append(ctx, data)
	e.mu.Lock()
	e.entries = e.entries[:0]
	e.mu.Unlock()
	return index, results, err
}

type benchStream struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[coordv1.AttachRequest, coordv1.AttachResponse]
	id     uint64
}

func newBenchStream(b *testing.B, addr string, instance uint64) *benchStream {
	b.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	stream, err := coordv1.NewSessionServiceClient(conn).Attach(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	err = stream.Send(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Attach{Attach: &coordv1.Attach{
		Secret: make([]byte, 16), Instance: instance, Epoch: 1, Ttl: durationpb.New(time.Hour),
	}}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		b.Fatal(err)
	}
	return &benchStream{conn: conn, stream: stream, id: instance}
}

// run sends n ops at least, ops to a frame, with eight frames on the way.
func (st *benchStream) run(b *testing.B, n, ops int) {
	window := make(chan struct{}, 8*ops)
	var sending sync.WaitGroup
	frames := (n + ops - 1) / ops
	sending.Go(func() {
		seq := uint64(0)
		for range frames {
			f := make([]*coordv1.Op, 0, ops)
			for range ops {
				window <- struct{}{}
				seq++
				op := lockOp(fmt.Sprintf("bench/%d", st.id))
				if seq%2 == 0 {
					op = endOp(seq - 1)
				}
				op.Seq = seq
				f = append(f, op)
			}
			if err := st.stream.Send(frame(f...)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	for got := 0; got < frames*ops; {
		response, err := st.stream.Recv()
		if err != nil {
			b.Error(err)
			break
		}
		for range response.GetOutcomes().GetOutcomes() {
			<-window
			got++
		}
	}
	sending.Wait()
}
