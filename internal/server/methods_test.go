package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/internal/rights"
	"coordd.dev/table"
)

// Every method of the protocol, of health and of reflection has a row, and every row is one's.
func TestMethodsHaveRows(t *testing.T) {
	rows := methodTable()
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		ours := f.Package() == "coord.v1" || f.Package() == "grpc.health.v1" || strings.HasPrefix(string(f.Package()), "grpc.reflection.")
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				name := "/" + string(f.Services().Get(i).FullName()) + "/" + string(methods.Get(j).Name())
				if _, ok := rows[name]; ours && !ok {
					t.Errorf("%s has no row: say what it needs", name)
				}
				delete(rows, name)
			}
		}
		return true
	})
	for name := range rows {
		t.Errorf("there is a row of %s, which is no method", name)
	}
}

// Every op that can be in the log has its needs; one that cannot nobody may do.
func TestOpsHaveNeeds(t *testing.T) {
	for do := machine.Do(1); do < 255; do++ {
		op := machine.Op{Do: do, Table: &table.Op{}, Wait: machine.Wait{Arms: []park.Arm{{Value: "lock"}}}}
		needs := needsOf(nil, &op)
		nobody := len(needs) == 1 && needs[0].on.Kind == nothing
		if known := encodes(&op); known == nobody {
			t.Errorf("op %d is known: %v, and nobody may do it: %v", do, known, nobody)
		}
	}
}

func encodes(op *machine.Op) (ok bool) {
	defer func() { ok = recover() == nil }()
	machine.AppendCommand(nil, &machine.Frame{Ops: []machine.Op{*op}})
	return true
}

// The kinds of rules are those of objects by number.
func TestKindsOfRules(t *testing.T) {
	for kind, want := range map[park.Kind]rights.Kind{
		park.KindLock: rights.Lock, park.KindSemaphore: rights.Semaphore, park.KindElection: rights.Election,
		park.KindWaitGroup: rights.WaitGroup, park.KindOnce: rights.Once, park.KindCond: rights.Cond,
		park.KindMap: rights.Map, park.KindChan: rights.Channel,
	} {
		if rights.Kind(kind) != want {
			t.Errorf("kind %d is %v, not %v", kind, rights.Kind(kind), want)
		}
	}
}

// What may be asked of a cluster that waits for a backup is known by name: a method that is new
// may not, unless it says that it only reads.
func TestMethodsMeanwhile(t *testing.T) {
	s := &Server{cfg: Config{AwaitRestore: true, Replica: NewReplica()}}
	var allowed []string
	for name := range methodTable() {
		if s.awaited(name) == nil && strings.HasPrefix(name, protocolPrefix) {
			allowed = append(allowed, name)
		}
	}
	slices.Sort(allowed)
	want := []string{
		coordv1.ClusterService_AddMember_FullMethodName,
		coordv1.ClusterService_RemoveMember_FullMethodName,
		coordv1.ClusterService_RestoreSnapshot_FullMethodName,
		coordv1.ClusterService_SaveSnapshot_FullMethodName,
		coordv1.ClusterService_Status_FullMethodName,
		coordv1.ClusterService_TransferLeader_FullMethodName,
		coordv1.ElectionService_GetLeader_FullMethodName,
		coordv1.InspectService_DescribeObject_FullMethodName,
		coordv1.InspectService_ExplainObject_FullMethodName,
		coordv1.InspectService_GetHistory_FullMethodName,
		coordv1.InspectService_GetWaitGraph_FullMethodName,
		coordv1.InspectService_ListObjects_FullMethodName,
		coordv1.InspectService_Watch_FullMethodName,
		coordv1.MapService_Load_FullMethodName,
		coordv1.MapService_Range_FullMethodName,
		coordv1.SessionService_ListSessions_FullMethodName,
		coordv1.SessionService_RevokeSession_FullMethodName,
	}
	if diff := cmp.Diff(want, allowed); diff != "" {
		t.Error(diff)
	}
}
