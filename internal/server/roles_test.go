package server_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The methods by what they need of "team/x", written down apart from the server's table.
func methodsByNeed() map[string]string {
	return map[string]string{
		"open": "grpc.health.v1.Health/Check grpc.health.v1.Health/List grpc.health.v1.Health/Watch",
		"known": "grpc.reflection.v1.ServerReflection/ServerReflectionInfo " +
			"SessionService/Attach SessionService/Renew SessionService/OpenSession SessionService/CloseSession SessionService/CancelCall " +
			"LockService/Unlock SemaphoreService/Release ElectionService/Proclaim ElectionService/Resign ElectionService/TransferLeadership " +
			"ChannelService/Acknowledge ChannelService/GiveBack OnceService/Complete OnceService/Abandon ClusterService/Status",
		"read": "ElectionService/GetLeader MapService/Load MapService/Range InspectService/ListObjects InspectService/DescribeObject " +
			"InspectService/ExplainObject InspectService/GetHistory InspectService/Watch",
		"read all": "InspectService/GetWaitGraph",
		"sessions": "SessionService/ListSessions",
		"acquire": "LockService/Lock SemaphoreService/Acquire ElectionService/Campaign ChannelService/Send ChannelService/Receive " +
			"ChannelService/CloseChannel WaitGroupService/Add WaitGroupService/Wait OnceService/Begin CondService/AwaitSignal " +
			"CondService/Signal CondService/Broadcast MapService/Update SelectService/Select SelectService/LockAll",
		"admin": "SemaphoreService/Resize ObjectService/DeleteObject",
		"administer": "SessionService/RevokeSession ClusterService/AddMember ClusterService/RemoveMember ClusterService/TransferLeader " +
			"ClusterService/SaveSnapshot ClusterService/RestoreSnapshot",
	}
}

// Every RPC for every role.
func TestEveryCallOfEveryRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired := strings.Replace(principalOf("expired", rule("*", "*", "admin", "")), `"}]`, `","expires":"1999-01-01T00:00:00Z"}]`, 1)
		n := leadingFor(t,
			principalOf("reader", rule("*", "team/*", "read", "")),
			principalOf("acquirer", rule("*", "team/*", "acquire", "")),
			principalOf("admin", rule("*", "*", "admin", "")),
			principalOf("denied", rule("*", "*", "admin", "")+","+rule("*", "team/*", "read acquire admin", `,"deny":true`)),
			principalOf("nothing", ""), expired)
		may := map[string]string{
			"reader": "known read", "acquirer": "known acquire", "nothing": "known",
			"admin":  "known read sessions acquire admin administer read_all",
			"denied": "known administer",
		}
		count := 0
		for need, methods := range methodsByNeed() {
			for _, method := range strings.Fields(methods) {
				count++
				if !strings.HasPrefix(method, "grpc.") {
					method = "coord.v1." + method
				}
				for _, role := range []string{"reader", "acquirer", "admin", "denied", "nothing", "expired", "wrong", ""} {
					conn := n.as(role)
					if role == "" {
						conn = n.conn
					}
					got := reasonOfCall(t, conn, method)
					refused := got == "FORBIDDEN" || got == "UNAUTHENTICATED"
					allowed, known := may[role]
					switch {
					case need == "open" && refused, need != "open" && !known && got != "UNAUTHENTICATED":
						t.Errorf("%s for %q: %q", method, role, got)
					case need != "open" && known && slices.Contains(strings.Fields(allowed), strings.ReplaceAll(need, " ", "_")) == (got == "FORBIDDEN"):
						t.Errorf("%s for %q, which may %s, and needs %s: %q", method, role, allowed, need, got)
					}
				}
			}
		}
		if all := methodsServed(t); count != all {
			t.Errorf("%d methods are tried, and %d are served", count, all)
		}
	})
}

// methodsServed is how many methods there are, reflection's twin of an older version apart.
func methodsServed(t *testing.T) (count int) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		switch f.Package() {
		case "coord.v1", "grpc.health.v1", "grpc.reflection.v1":
			for i := range f.Services().Len() {
				count += f.Services().Get(i).Methods().Len()
			}
		}
		return true
	})
	return count
}

// reasonOfCall makes a call about "team/x", and says why it was refused.
func reasonOfCall(t *testing.T, conn grpc.ClientConnInterface, method string) string {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method, "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	m := found.(protoreflect.MethodDescriptor)
	message := func(d protoreflect.MessageDescriptor) proto.Message {
		typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
		if err != nil {
			t.Fatal(err)
		}
		return typ.New().Interface()
	}
	in, out := message(m.Input()), message(m.Output())
	fill(in.ProtoReflect())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return infoOf(conn.Invoke(ctx, "/"+method, in, out)).GetReason()
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+method)
	if err != nil {
		return infoOf(err).GetReason()
	}
	_ = stream.SendMsg(in) // RecvMsg says why not
	_ = stream.CloseSend()
	return infoOf(stream.RecvMsg(out)).GetReason()
}

// fill has a request name locks, and objects, of team/x.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	text := protoreflect.ValueOfString("team/x")
	for _, name := range []protoreflect.Name{"name", "prefix", "lock"} {
		if f := fields.ByName(name); f != nil {
			m.Set(f, text)
		}
	}
	if f := fields.ByName("names"); f != nil {
		m.Mutable(f).List().Append(text)
	}
	if f := fields.ByName("kind"); f != nil {
		m.Set(f, protoreflect.ValueOfEnum(1))
	}
	if f := fields.ByName("arms"); f != nil {
		list := m.Mutable(f).List()
		fill(list.AppendMutable().Message())
	}
	if f := fields.ByName("op"); f != nil && f.Message() != nil {
		fill(m.Mutable(f).Message())
	}
}
