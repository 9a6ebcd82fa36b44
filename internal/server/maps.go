package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
	"coordd.dev/table"
)

// tables implements coordv1.MapServiceServer: what changes a map on the leader only, stale
// reads on every node.
type tables struct {
	coordv1.UnimplementedMapServiceServer
	*Server
}

// Load implements coordv1.MapServiceServer.
func (s *tables) Load(ctx context.Context, req *coordv1.LoadRequest) (*coordv1.LoadResponse, error) {
	op := &coordv1.MapOp{Name: req.GetName(), Verb: coordv1.MapVerb_MAP_VERB_LOAD, Key: req.GetKey(), Codec: req.GetCodec()}
	r, err := s.look(ctx, about("load from", req.GetName()), op, req.GetStale())
	if err != nil {
		return nil, err
	}
	return &coordv1.LoadResponse{
		Found: r.Value == 1, Value: []byte(r.Data), Revision: r.Revision, Index: r.Index,
	}, nil
}

// Range implements coordv1.MapServiceServer.
func (s *tables) Range(ctx context.Context, req *coordv1.RangeRequest) (*coordv1.RangeResponse, error) {
	op := &coordv1.MapOp{Name: req.GetName(), Verb: coordv1.MapVerb_MAP_VERB_RANGE, Codec: req.GetCodec()}
	r, err := s.look(ctx, about("range over", req.GetName()), op, req.GetStale())
	if err != nil {
		return nil, err
	}
	entries := entriesOf(&machine.Entries{Revision: r.Revision, Pairs: r.Entries})
	return &coordv1.RangeResponse{Entries: entries.GetEntries(), Revision: r.Revision, Index: r.Index}, nil
}

// look reads a map, through the log or, if it may be stale, as it is here.
func (s *tables) look(ctx context.Context, what string, op *coordv1.MapOp, stale bool) (machine.ReadResult, error) {
	if err := checkMapOp(what, op); err != nil {
		return machine.ReadResult{}, err
	}
	read := &machine.Read{On: named(park.KindMap, op.GetName()), Op: *tableOf(op)}
	var r machine.ReadResult
	if stale {
		r = s.cfg.Replica.read(read)
	} else {
		result, err := s.read(ctx, what, read)
		if err != nil {
			return r, err
		}
		var ok bool
		if r, ok = result.(machine.ReadResult); !ok {
			return r, unexpected(what, result)
		}
	}
	if r.Code != park.Done {
		return r, s.refusedRead(what, read, r)
	}
	return r, nil
}

// Update implements coordv1.MapServiceServer.
func (s *tables) Update(ctx context.Context, req *coordv1.UpdateRequest) (*coordv1.UpdateResponse, error) {
	op := req.GetOp()
	what := about("update", op.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	switch op.GetVerb() {
	case coordv1.MapVerb_MAP_VERB_LOAD, coordv1.MapVerb_MAP_VERB_RANGE:
		return nil, invalid("%s: %v changes nothing; call Load or Range", what, op.GetVerb())
	default:
	}
	if err := checkMapOp(what, op); err != nil {
		return nil, err
	}
	c.Op = machine.Op{Do: machine.DoTable, On: named(park.KindMap, op.GetName()), Table: tableOf(op)}
	o, err := s.expect(ctx, what, c, park.Done)
	if err != nil {
		return nil, err
	}
	if op.GetVerb() == coordv1.MapVerb_MAP_VERB_CLEAR {
		return &coordv1.UpdateResponse{Found: o.value > 0, Cleared: o.value}, nil
	}
	return &coordv1.UpdateResponse{Found: o.value == 1, Previous: []byte(o.data)}, nil
}

// checkMapOp says what is wrong with an op, whatever the map has in it.
func checkMapOp(what string, op *coordv1.MapOp) error {
	if err := checkName(what, op.GetName()); err != nil {
		return err
	}
	verb := op.GetVerb()
	if _, known := coordv1.MapVerb_name[int32(verb)]; !known || verb == coordv1.MapVerb_MAP_VERB_UNSPECIFIED {
		return invalid("%s: verb is %v; choose one that this version knows", what, verb)
	}
	whole := verb == coordv1.MapVerb_MAP_VERB_CLEAR || verb == coordv1.MapVerb_MAP_VERB_RANGE
	if n := len(op.GetKey()); !whole && (n == 0 || n > table.MaxKey) {
		return invalid("%s: key has %d bytes; choose one of 1 to %d", what, n, table.MaxKey)
	}
	if err := checkSize(what, "value", len(op.GetValue()), table.MaxValue); err != nil {
		return err
	}
	if err := checkSize(what, "old", len(op.GetOld()), table.MaxValue); err != nil {
		return err
	}
	return checkCodec(what, op.GetCodec(), table.MaxCodec)
}
