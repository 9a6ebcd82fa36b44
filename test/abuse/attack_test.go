package abuse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// preface is what begins HTTP/2, with an empty SETTINGS frame: the handshake is over with it.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// An attack is under way until close.
type attack struct {
	ctx  context.Context
	stop context.CancelFunc
	busy sync.WaitGroup

	refused atomic.Int64 // streams that were ended, with a reason
	waits   atomic.Int64 // waits asked for
	answers atomic.Int64 // of those, answered at once
}

func newAttack() *attack {
	a := new(attack)
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

func (a *attack) close() {
	a.stop()
	a.busy.Wait()
}

// silent opens connections that say nothing after their greeting, which may be none, and
// keeps them until they are hung up on or the attack ends.
func (a *attack) silent(n int, address, greeting string) error {
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, greeting); err != nil {
			_ = conn.Close() // it was hung up on at once, which is an answer too
			continue
		}
		a.busy.Go(func() {
			end := context.AfterFunc(a.ctx, func() { _ = conn.Close() })
			defer end()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		})
	}
	return nil
}

// dial connects as a client that is sent little that it does not read.
func (a *attack) dial(address string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		return nil, err
	}
	a.busy.Go(func() {
		<-a.ctx.Done()
		_ = conn.Close()
	})
	return conn, nil
}

// open opens a session of its own on a stream.
func (a *attack) open(conn *grpc.ClientConn) (grpc.BidiStreamingClient[coordv1.AttachRequest, coordv1.AttachResponse], error) {
	stream, err := coordv1.NewSessionServiceClient(conn).Attach(a.ctx)
	if err != nil {
		return nil, err
	}
	instance, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	err = stream.Send(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Attach{Attach: &coordv1.Attach{
		Secret: secret, Instance: instance.Uint64(), Epoch: 1, Ttl: durationpb.New(time.Hour), Who: &coordv1.Who{Name: "abuser"},
	}}})
	if err != nil {
		return nil, err
	}
	_, err = stream.Recv()
	return stream, err
}

// unread asks on each of n streams for as much as it is let, and reads none of it.
func (a *attack) unread(n int, address string) error {
	const name = "abuse-unread"
	var opening sync.WaitGroup
	for range n {
		conn, err := a.dial(address)
		if err != nil {
			return err
		}
		opening.Add(1)
		a.busy.Go(func() {
			stream, err := a.open(conn)
			opening.Done()
			for seq := uint64(1); err == nil; {
				ops := make([]*coordv1.Op, 0, 256)
				for range cap(ops) {
					on := &coordv1.Describe{Kind: coordv1.Kind_KIND_LOCK, Name: name}
					ops = append(ops, &coordv1.Op{Seq: seq, Op: &coordv1.Op_Describe{Describe: on}})
					seq++
				}
				err = stream.Send(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Ops{Ops: &coordv1.Ops{Ops: ops}}})
			}
			if a.ctx.Err() == nil {
				a.refused.Add(1)
			}
		})
	}
	opening.Wait()
	return nil
}

// crowd has n waits asked for, of as many sessions and objects as that takes, and returns once
// all were sent. Their answers are read and counted: who waits gets none.
func (a *attack) crowd(n int, address string) error {
	const each, frame = 60_000, 500
	var sending sync.WaitGroup
	for s := range (n + each - 1) / each {
		conn, err := a.dial(address)
		if err != nil {
			return err
		}
		stream, err := a.open(conn)
		if err != nil {
			return fmt.Errorf("open a session for waits: %w", err)
		}
		a.busy.Go(func() { a.count(stream) })
		sending.Go(func() {
			todo := min(each, n-s*each)
			for seq := 1; seq <= todo; {
				var ops []*coordv1.Op
				for ; seq <= todo && len(ops) < frame; seq++ {
					arm := &coordv1.Arm{Kind: coordv1.Kind_KIND_LOCK, Name: fmt.Sprintf("abuse-crowd-%d", s)}
					ops = append(ops, &coordv1.Op{Seq: uint64(seq), Op: &coordv1.Op_Wait{Wait: &coordv1.Wait{Arms: []*coordv1.Arm{arm}}}})
				}
				if stream.Send(&coordv1.AttachRequest{Frame: &coordv1.AttachRequest_Ops{Ops: &coordv1.Ops{Ops: ops}}}) != nil {
					a.refused.Add(1)
					return
				}
				a.waits.Add(int64(len(ops)))
			}
		})
	}
	sending.Wait()
	return nil
}

func (a *attack) count(stream grpc.BidiStreamingClient[coordv1.AttachRequest, coordv1.AttachResponse]) {
	for {
		r, err := stream.Recv()
		if err != nil {
			return
		}
		a.answers.Add(int64(len(r.GetOutcomes().GetOutcomes())))
	}
}

// large sends messages beyond what is taken.
func (a *attack) large(n int, address string) error {
	conn, err := a.dial(address)
	if err != nil {
		return err
	}
	big := &coordv1.LockRequest{RequestId: strings.Repeat("x", 2<<20)}
	for range n {
		_, err := coordv1.NewLockServiceClient(conn).Lock(a.ctx, big)
		if err == nil {
			return errors.New("a message of 2 MiB was taken")
		}
	}
	return nil
}

// hasty opens streams and resets them at once.
func (a *attack) hasty(n int, address string) error {
	conn, err := a.dial(address)
	if err != nil {
		return err
	}
	for range n {
		ctx, cancel := context.WithCancel(a.ctx)
		_, _ = coordv1.NewSessionServiceClient(conn).Attach(ctx) // refused or not, it costs the node something
		cancel()
	}
	return nil
}

// run does all of it, a part of full size, and says what it does; then it goes on until it
// reads an end.
func run(scale int, client, peer string, in io.Reader, out io.Writer) error {
	a := newAttack()
	defer a.close()
	for _, phase := range []struct {
		n    int
		what string
		do   func(n int) error
	}{
		{4_000, "connections that say nothing", func(n int) error { return a.silent(n, client, "") }},
		{1_000, "that say nothing after their greeting", func(n int) error { return a.silent(n, client, preface) }},
		{1_000, "on the peer port", func(n int) error { return a.silent(n, peer, "") }},
		{200, "streams of which nothing is read", func(n int) error { return a.unread(n, client) }},
		{100, "messages of 2 MiB", func(n int) error { return a.large(n, client) }},
		{10_000, "streams that are reset at once", func(n int) error { return a.hasty(n, client) }},
		{1_000_000, "waits asked for", func(n int) error { return a.crowd(n, client) }},
	} {
		began := time.Now()
		if err := phase.do(phase.n / scale); err != nil {
			return fmt.Errorf("%s: %w", phase.what, err)
		}
		fmt.Fprintf(out, "%d %s: %v\n", phase.n/scale, phase.what, time.Since(began).Round(time.Millisecond))
	}
	fmt.Fprintf(out, "%d waits sent\n%s\n", a.waits.Load(), allSent)
	_, err := io.Copy(io.Discard, in)
	fmt.Fprintf(out, "%d waits were answered at once, %d streams were cut\n", a.answers.Load(), a.refused.Load())
	return err
}

// allSent is what run says when all is under way.
const allSent = "all sent"
