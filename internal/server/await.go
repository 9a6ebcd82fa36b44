package server

import (
	"errors"
	"path"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	coordv1 "coordd.dev/api/coord/v1"
)

// awaitDelay is when to ask again a cluster that waits for a backup: a person is at work.
const awaitDelay = time.Second

// errAwaits is why a node that waits for a backup is not ready.
var errAwaits = errors.New("waits for a backup: coordctl snapshot restore FILE")

// awaits says that no backup was restored into this cluster yet, as it is known here, and
// that one is to be. On a leader nothing is newer.
func (s *Server) awaits() bool { return s.cfg.AwaitRestore && !s.cfg.Replica.State().Restored }

// meanwhile says that a method may be used while the cluster waits for a backup: what only
// reads, what is about the nodes, and what takes a session away that should not be there. No
// other, whatever comes later: a session that opens before a restore spoils it, and
// whoever had one would hold what the restored cluster gives to somebody else.
func (s *Server) meanwhile(method string) bool {
	switch {
	case !strings.HasPrefix(method, protocolPrefix),
		strings.HasPrefix(method, "/"+coordv1.ClusterService_ServiceDesc.ServiceName+"/"):
		return true
	}
	switch method {
	case coordv1.InspectService_Watch_FullMethodName, coordv1.SessionService_RevokeSession_FullMethodName:
		return true
	}
	m, err := methodOf(method)
	return err == nil && m.reads
}

// awaited refuses a method for as long as the cluster waits for a backup.
func (s *Server) awaited(method string) error {
	if !s.awaits() || s.meanwhile(method) {
		return nil
	}
	return Error(coordv1.Reason_REASON_RESTORED, path.Base(method)+": the cluster "+errAwaits.Error(), nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(awaitDelay)})
}
