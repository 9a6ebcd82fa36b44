package server_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// callServices are those whose calls this package serves.
func callServices() []protoreflect.ServiceDescriptor {
	var services []protoreflect.ServiceDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		coordv1.File_coord_v1_session_proto, coordv1.File_coord_v1_lock_proto, coordv1.File_coord_v1_semaphore_proto,
		coordv1.File_coord_v1_election_proto, coordv1.File_coord_v1_channel_proto, coordv1.File_coord_v1_waitgroup_proto,
		coordv1.File_coord_v1_once_proto, coordv1.File_coord_v1_cond_proto, coordv1.File_coord_v1_map_proto,
		coordv1.File_coord_v1_select_proto, coordv1.File_coord_v1_object_proto,
	} {
		services = append(services, file.Services().Get(0))
	}
	return services
}

// sentence is what a refusal reads like: what: why; what next.
var sentence = regexp.MustCompile(`^[a-z0-9 ]+: .+; .+[a-z0-9)]+$`)

// wantInvalid wants a refusal that says what is wrong, and that nothing happened.
func (n *node) wantInvalid(what string, err error) {
	n.t.Helper()
	wantReason(n.t, err, coordv1.Reason_REASON_INVALID)
	message := status.Convert(err).Message()
	if !sentence.MatchString(message) || len(message) > 400 {
		n.t.Errorf("%s: says %q", what, message)
	}
	n.t.Logf("%s: %s", what, message)
}

// Every RPC survives a request that says nothing, and says what is missing.
func TestZeroRequests(t *testing.T) {
	fine := map[protoreflect.Name]bool{ // all they need has a default
		"OpenSession": true, "ListSessions": true, "Renew": true,
	}
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		asked := 0
		for _, service := range callServices() {
			for i := range service.Methods().Len() {
				m := service.Methods().Get(i)
				if m.IsStreamingClient() {
					continue
				}
				in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
				err := n.conn.Invoke(t.Context(), "/"+string(service.FullName())+"/"+string(m.Name()), in, out)
				asked++
				if fine[m.Name()] {
					if err != nil {
						t.Errorf("%s: %v", m.Name(), err)
					}
					continue
				}
				n.wantInvalid(string(m.Name()), err)
			}
		}
		if asked < 34 {
			t.Errorf("only %d RPCs were found", asked)
		}
	})
}

// Every RPC that takes a lease refuses those that cannot be, before anything else.
func TestHostileLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		for _, service := range callServices() {
			for i := range service.Methods().Len() {
				m := service.Methods().Get(i)
				field := m.Input().Fields().ByName("lease")
				if field == nil {
					continue
				}
				for what, lease := range map[string]*coordv1.Lease{
					"no session": {Secret: make([]byte, 16)},
					"no secret":  {SessionId: 1},
					"too long":   {SessionId: 1, Secret: make([]byte, 17)},
				} {
					in := dynamicpb.NewMessage(m.Input())
					b, err := proto.Marshal(lease)
					if err != nil {
						t.Fatal(err)
					}
					message := dynamicpb.NewMessage(field.Message())
					if err := proto.Unmarshal(b, message); err != nil {
						t.Fatal(err)
					}
					in.Set(field, protoreflect.ValueOfMessage(message))
					err = n.conn.Invoke(t.Context(), "/"+string(service.FullName())+"/"+string(m.Name()), in, dynamicpb.NewMessage(m.Output()))
					n.wantInvalid(string(m.Name())+" with "+what, err)
				}
			}
		}
	})
}

func TestHostileArguments(t *testing.T) {
	long := strings.Repeat("x", 5000)
	tests := map[string]func(p *plain) error{
		"open: ttl short": func(p *plain) error {
			_, err := p.sessions.OpenSession(p.t.Context(), &coordv1.OpenSessionRequest{Ttl: durationpb.New(1)})
			return err
		},
		"open: ttl no duration": func(p *plain) error {
			_, err := p.sessions.OpenSession(p.t.Context(), &coordv1.OpenSessionRequest{Ttl: &durationpb.Duration{Seconds: 1, Nanos: -1}})
			return err
		},
		"open: long who": func(p *plain) error {
			_, err := p.sessions.OpenSession(p.t.Context(), &coordv1.OpenSessionRequest{Who: &coordv1.Who{Name: long}})
			return err
		},
		"cancel: long id": func(p *plain) error {
			_, err := p.sessions.CancelCall(p.t.Context(), &coordv1.CancelCallRequest{Lease: p.lease, RequestId: long})
			return err
		},
		"lock: long id":             lockWith(func(r *coordv1.LockRequest) { r.RequestId = long }),
		"lock: empty name":          lockWith(func(r *coordv1.LockRequest) { r.Names = []string{""} }),
		"lock: long name":           lockWith(func(r *coordv1.LockRequest) { r.Names = []string{long} }),
		"lock: control character":   lockWith(func(r *coordv1.LockRequest) { r.Names = []string{"a\nb"} }),
		"lock: twice":               lockWith(func(r *coordv1.LockRequest) { r.Names = []string{"b", "a", "b"} }),
		"lock: many":                lockWith(func(r *coordv1.LockRequest) { r.Names = make([]string, 1025) }),
		"lock: negative wait limit": lockWith(func(r *coordv1.LockRequest) { r.WaitLimit = durationpb.New(-1) }),
		"lock: endless wait limit":  lockWith(func(r *coordv1.LockRequest) { r.WaitLimit = &durationpb.Duration{Seconds: 1 << 35} }),
		"lock: no duration":         lockWith(func(r *coordv1.LockRequest) { r.WaitLimit = &durationpb.Duration{Nanos: -1 << 31} }),
		"lock: endless delay":       lockWith(func(r *coordv1.LockRequest) { r.LockDelay = &durationpb.Duration{Seconds: 1 << 35} }),
		"lock: long note":           lockWith(func(r *coordv1.LockRequest) { r.Note = long }),
		"acquire: negative count":   acquireWith(func(r *coordv1.AcquireRequest) { r.Count = -1 }),
		"acquire: negative limit":   acquireWith(func(r *coordv1.AcquireRequest) { r.Limit = -1 }),
		"acquire: endless limit":    acquireWith(func(r *coordv1.AcquireRequest) { r.Limit = 1 << 62 }),
		"acquire: above its limit":  acquireWith(func(r *coordv1.AcquireRequest) { r.Count, r.Limit = 1<<62, 5 }),
		"release: negative count":   func(p *plain) error { return p.release("r", "h", -1) },
		"release: no id":            func(p *plain) error { return p.release("", "h", 1) },
		"release: no hold":          func(p *plain) error { return p.release("r", "", 1) },
		"resize: no limit": func(p *plain) error {
			_, err := p.semaphores.Resize(p.t.Context(), &coordv1.ResizeRequest{Lease: p.lease, RequestId: "1", Name: "s"})
			return err
		},
		"campaign: long value": func(p *plain) error {
			_, err := p.campaign(&coordv1.CampaignRequest{RequestId: "1", Value: long})
			return err
		},
		"proclaim: no leadership": func(p *plain) error {
			_, err := p.elections.Proclaim(p.t.Context(), &coordv1.ProclaimRequest{Lease: p.lease, RequestId: "1"})
			return err
		},
		"proclaim: of a lock": func(p *plain) error {
			p.mustLock("held", "held")
			_, err := p.elections.Proclaim(p.t.Context(), &coordv1.ProclaimRequest{Lease: p.lease, Leadership: "held", RequestId: "1"})
			p.mustUnlock("held")
			return err
		},
		"transfer: to nobody": func(p *plain) error {
			_, err := p.elections.TransferLeadership(p.t.Context(),
				&coordv1.TransferLeadershipRequest{Lease: p.lease, Leadership: "l", RequestId: "1"})
			return err
		},
	}
	wantAllInvalid(t, tests)
}

// wantAllInvalid wants each to be refused in words, without an effect.
func wantAllInvalid(t *testing.T, tests map[string]func(p *plain) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := leading(t)
		for what, test := range tests {
			n.wantInvalid(what, test(openPlain(t, n.conn)))
		}
		n.wantCounts(0, 0)
	})
}

func lockWith(change func(*coordv1.LockRequest)) func(*plain) error {
	return func(p *plain) error {
		req := &coordv1.LockRequest{Lease: p.lease, RequestId: "1", Names: []string{"x"}}
		change(req)
		_, err := p.locks.Lock(p.t.Context(), req)
		return err
	}
}

func acquireWith(change func(*coordv1.AcquireRequest)) func(*plain) error {
	return func(p *plain) error {
		req := &coordv1.AcquireRequest{Lease: p.lease, RequestId: "1", Name: "s"}
		change(req)
		_, err := p.semaphores.Acquire(p.t.Context(), req)
		return err
	}
}
