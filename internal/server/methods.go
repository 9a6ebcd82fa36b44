package server

import (
	"maps"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha" // clients ask for it still

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/park"
	"coordd.dev/internal/rights"
)

// This file is the one table of what each method needs. A method that is not in it is refused,
// and a test fails.

// A need is a right that a call must have.
type need struct {
	verb rights.Verb
	on   rights.Resource
}

// A row is what one method needs: nothing of anybody if it is open, else a principal, and
// besides what fixed and of say. Of of's needs there must be one at least.
type row struct {
	open  bool
	fixed []need
	of    func(req any) []need
	opens bool // a session: that is told in the audit log
	free  bool // it renews, lets go, or says how the node is: never refused for load (SEMANTICS H1)
}

// known is the row of what every principal may do. Most of these are about a session's own
// calls: they need its secret, which is bound to the principal that opened it.
func known() row { return row{} }

// free is known of what is never refused for load.
func free() row { return row{free: true} }

// exempt says that a call is not refused for load, as urgencyOfOp says it of the ops of streams.
func exempt(row row, req any) bool {
	add, ok := req.(*coordv1.AddRequest)
	return row.free || ok && add.GetDelta() <= 0
}

// one is the row of a method about the object that its request names.
func one(v rights.Verb, k rights.Kind) row {
	return row{of: func(req any) []need {
		r, ok := req.(interface{ GetName() string })
		if !ok {
			return nil
		}
		return []need{{v, resource(k, r.GetName())}}
	}}
}

// each is the row of a method about the object whose kind and name its request has.
func each(v rights.Verb) row {
	return row{of: func(req any) []need {
		r, ok := req.(interface {
			GetKind() coordv1.Kind
			GetName() string
		})
		if !ok {
			return nil
		}
		return []need{{v, resource(kindFor(r.GetKind()), r.GetName())}}
	}}
}

// arms is the row of a method that waits for one of several objects, or for all.
func arms() row {
	return row{of: func(req any) []need {
		r, ok := req.(interface{ GetArms() []*coordv1.Arm })
		if !ok {
			return nil
		}
		var out []need
		for _, a := range r.GetArms() {
			out = append(out, need{rights.Acquire, resource(kindFor(a.GetKind()), a.GetName())})
		}
		return out
	}}
}

// request is the row of a method whose request is an R.
func request[R any](of func(R) []need) row {
	return row{of: func(req any) []need {
		r, ok := req.(R)
		if !ok {
			return nil
		}
		return of(r)
	}}
}

// onCluster is the row of what changes the cluster, or takes all that it has.
func onCluster() row {
	return row{fixed: []need{{rights.Admin, rights.Resource{Kind: rights.Cluster}}}}
}

// kindFor is the kind of a wire's kind, 0 if there is none: only a rule for all kinds is about
// that, and the call is refused as invalid then.
func kindFor(k coordv1.Kind) rights.Kind { return rights.Kind(kindOf(k)) }

// resource is one object. What is too long to be a name is cut, as in the log.
func resource(k rights.Kind, name string) rights.Resource {
	return rights.Resource{Kind: k, Name: clip(name, park.MaxName)}
}

// under is all objects of a kind, or of all kinds, whose names begin with prefix.
func under(k coordv1.Kind, prefix string) rights.Resource {
	if k == coordv1.Kind_KIND_UNSPECIFIED {
		return rights.Resource{Kind: rights.AnyKind, Name: clip(prefix, park.MaxName), Prefix: true}
	}
	return rights.Resource{Kind: kindFor(k), Name: clip(prefix, park.MaxName), Prefix: true}
}

// methodTable is the table.
func methodTable() map[string]row {
	table := objectMethods()
	maps.Copy(table, otherMethods())
	return table
}

// otherMethods are those about sessions, the cluster and the node.
func otherMethods() map[string]row {
	return map[string]row{
		healthv1.Health_Check_FullMethodName: {open: true, free: true},
		healthv1.Health_Watch_FullMethodName: {open: true},
		healthv1.Health_List_FullMethodName:  {open: true, free: true},

		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      known(),
		reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: known(),

		coordv1.SessionService_Attach_FullMethodName:        known(), // attach.go asks for each op
		coordv1.SessionService_Renew_FullMethodName:         free(),
		coordv1.SessionService_OpenSession_FullMethodName:   {opens: true},
		coordv1.SessionService_CloseSession_FullMethodName:  free(),
		coordv1.SessionService_CancelCall_FullMethodName:    free(),
		coordv1.SessionService_ListSessions_FullMethodName:  {fixed: []need{{rights.Read, rights.All(rights.Session)}}},
		coordv1.SessionService_RevokeSession_FullMethodName: request(revokes),

		coordv1.ClusterService_Status_FullMethodName:          free(),
		coordv1.ClusterService_AddMember_FullMethodName:       onCluster(),
		coordv1.ClusterService_RemoveMember_FullMethodName:    onCluster(),
		coordv1.ClusterService_TransferLeader_FullMethodName:  onCluster(),
		coordv1.ClusterService_SaveSnapshot_FullMethodName:    onCluster(),
		coordv1.ClusterService_RestoreSnapshot_FullMethodName: onCluster(),
	}
}

// objectMethods are those about objects.
func objectMethods() map[string]row {
	acquire := func(k rights.Kind) row { return one(rights.Acquire, k) }
	return map[string]row{
		coordv1.LockService_Lock_FullMethodName:   request(locksOf),
		coordv1.LockService_Unlock_FullMethodName: free(),

		coordv1.SemaphoreService_Acquire_FullMethodName: acquire(rights.Semaphore),
		coordv1.SemaphoreService_Release_FullMethodName: free(),
		coordv1.SemaphoreService_Resize_FullMethodName:  one(rights.Admin, rights.Semaphore),

		coordv1.ElectionService_Campaign_FullMethodName:           acquire(rights.Election),
		coordv1.ElectionService_Proclaim_FullMethodName:           known(),
		coordv1.ElectionService_Resign_FullMethodName:             free(),
		coordv1.ElectionService_TransferLeadership_FullMethodName: free(),
		coordv1.ElectionService_GetLeader_FullMethodName:          one(rights.Read, rights.Election),

		coordv1.ChannelService_Send_FullMethodName:         acquire(rights.Channel),
		coordv1.ChannelService_Receive_FullMethodName:      acquire(rights.Channel),
		coordv1.ChannelService_Acknowledge_FullMethodName:  free(),
		coordv1.ChannelService_GiveBack_FullMethodName:     free(),
		coordv1.ChannelService_CloseChannel_FullMethodName: {of: acquire(rights.Channel).of, free: true},

		coordv1.WaitGroupService_Add_FullMethodName:  acquire(rights.WaitGroup),
		coordv1.WaitGroupService_Wait_FullMethodName: acquire(rights.WaitGroup),

		coordv1.OnceService_Begin_FullMethodName:    acquire(rights.Once),
		coordv1.OnceService_Complete_FullMethodName: free(),
		coordv1.OnceService_Abandon_FullMethodName:  free(),

		coordv1.CondService_AwaitSignal_FullMethodName: request(awaits),
		coordv1.CondService_Signal_FullMethodName:      acquire(rights.Cond),
		coordv1.CondService_Broadcast_FullMethodName:   acquire(rights.Cond),

		coordv1.MapService_Load_FullMethodName:   one(rights.Read, rights.Map),
		coordv1.MapService_Range_FullMethodName:  one(rights.Read, rights.Map),
		coordv1.MapService_Update_FullMethodName: request(updates),

		coordv1.SelectService_Select_FullMethodName:  arms(),
		coordv1.SelectService_LockAll_FullMethodName: arms(),

		coordv1.ObjectService_DeleteObject_FullMethodName: each(rights.Admin),

		coordv1.InspectService_ListObjects_FullMethodName:    request(lists),
		coordv1.InspectService_DescribeObject_FullMethodName: each(rights.Read),
		coordv1.InspectService_ExplainObject_FullMethodName:  each(rights.Read),
		coordv1.InspectService_GetHistory_FullMethodName:     each(rights.Read),
		coordv1.InspectService_GetWaitGraph_FullMethodName:   {fixed: []need{{rights.Read, rights.All(rights.AnyKind)}}},
		coordv1.InspectService_Watch_FullMethodName:          request(watches),
	}
}

func revokes(r *coordv1.RevokeSessionRequest) []need {
	id := park.SessionID(r.GetSessionId()).String()
	return []need{{rights.Admin, rights.Resource{Kind: rights.Session, Name: id}}}
}

func locksOf(r *coordv1.LockRequest) []need {
	var out []need
	for _, name := range r.GetNames() {
		out = append(out, need{rights.Acquire, resource(rights.Lock, name)})
	}
	return out
}

// awaits is of a cond and of its lock, which is had again at the end.
func awaits(r *coordv1.AwaitSignalRequest) []need {
	return []need{
		{rights.Acquire, resource(rights.Cond, r.GetName())},
		{rights.Acquire, resource(rights.Lock, r.GetLock())},
	}
}

func updates(r *coordv1.UpdateRequest) []need {
	return []need{{verbOfMap(r.GetOp().GetVerb()), resource(rights.Map, r.GetOp().GetName())}}
}

func verbOfMap(v coordv1.MapVerb) rights.Verb {
	if v == coordv1.MapVerb_MAP_VERB_LOAD || v == coordv1.MapVerb_MAP_VERB_RANGE {
		return rights.Read
	}
	return rights.Acquire
}

// lists is of all that could be in the list: what is left out of a page would be told by its
// token, and by how many are on it.
func lists(r *coordv1.ListObjectsRequest) []need {
	return []need{{rights.Read, under(r.GetKind(), r.GetPrefix())}}
}

// watches is, of a watch of several objects, of all of them, for the same reason.
func watches(r *coordv1.WatchRequest) []need {
	if r.GetName() == "" {
		return []need{{rights.Read, under(r.GetKind(), "")}}
	}
	return []need{{rights.Read, resource(kindFor(r.GetKind()), r.GetName())}}
}
