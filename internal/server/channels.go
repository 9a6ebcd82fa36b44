package server

import (
	"context"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/machine"
	"coordd.dev/internal/park"
)

// channels implements coordv1.ChannelServiceServer, on the leader only.
type channels struct {
	coordv1.UnimplementedChannelServiceServer
	*Server
}

// Send implements coordv1.ChannelServiceServer.
func (s *channels) Send(ctx context.Context, req *coordv1.SendRequest) (*coordv1.SendResponse, error) {
	what := about("send to", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arm, err := channelArm(what, req.GetName(), park.Send, req.Capacity, req.GetCodec())
	if err != nil {
		return nil, err
	}
	if err := checkChannelArm(what, req.GetElement(), &arm); err != nil {
		return nil, err
	}
	arm.Value = string(req.GetElement())
	if c.Op, err = waitOf(ctx, what, req, nil, arm); err != nil {
		return nil, err
	}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.SendResponse{}, nil
}

// Receive implements coordv1.ChannelServiceServer.
func (s *channels) Receive(ctx context.Context, req *coordv1.ReceiveRequest) (*coordv1.ReceiveResponse, error) {
	what := about("receive from", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arm, err := channelArm(what, req.GetName(), park.Recv, req.Capacity, req.GetCodec())
	if err != nil {
		return nil, err
	}
	comesTo := park.Done
	if arm.Ack = req.GetAcknowledge(); arm.Ack {
		comesTo = park.Granted
	}
	if err := checkChannelArm(what, nil, &arm); err != nil {
		return nil, err
	}
	if c.Op, err = waitOf(ctx, what, req, nil, arm); err != nil {
		return nil, err
	}
	o, err := s.expect(ctx, what, c, comesTo)
	if err != nil {
		return nil, err
	}
	return &coordv1.ReceiveResponse{Element: []byte(o.data), Token: uint64(o.token), Attempt: o.value}, nil
}

// Acknowledge implements coordv1.ChannelServiceServer.
func (s *channels) Acknowledge(ctx context.Context, req *coordv1.AcknowledgeRequest) (*coordv1.AcknowledgeResponse, error) {
	const what = "acknowledge"
	c, err := aboutOf(what, req.GetLease(), req.GetRequestId(), "delivery", req.GetDelivery())
	if err != nil {
		return nil, err
	}
	c.Op.Do = machine.DoAck
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.AcknowledgeResponse{}, nil
}

// GiveBack implements coordv1.ChannelServiceServer.
func (s *channels) GiveBack(ctx context.Context, req *coordv1.GiveBackRequest) (*coordv1.GiveBackResponse, error) {
	if err := s.endCall(ctx, "give back", req.GetLease(), "delivery", req.GetDelivery()); err != nil {
		return nil, err
	}
	return &coordv1.GiveBackResponse{}, nil
}

// CloseChannel implements coordv1.ChannelServiceServer.
func (s *channels) CloseChannel(ctx context.Context, req *coordv1.CloseChannelRequest) (*coordv1.CloseChannelResponse, error) {
	what := about("close channel", req.GetName())
	c, err := callOf(what, req.GetLease(), req.GetRequestId())
	if err != nil {
		return nil, err
	}
	arm, err := channelArm(what, req.GetName(), park.Recv, req.Capacity, req.GetCodec())
	if err != nil {
		return nil, err
	}
	c.Op = machine.Op{Do: machine.DoClose, On: arm.On, N: arm.Limit, Codec: arm.Codec}
	if err := s.change(ctx, what, c); err != nil {
		return nil, err
	}
	return &coordv1.CloseChannelResponse{}, nil
}
