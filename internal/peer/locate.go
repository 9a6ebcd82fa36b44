package peer

import (
	"context"
	"fmt"
)

// Locate returns where a member serves clients. That is a flag of its own, so only it
// knows: it is asked each time.
func (m *Mux) Locate(ctx context.Context, nodeID string) (string, error) {
	if nodeID == m.cfg.Identity.NodeID() {
		return m.cfg.Self().ClientAddress, nil
	}
	for _, member := range m.cfg.Members() {
		if member.ID != nodeID {
			continue
		}
		h, err := m.Hello(ctx, member.Address, nodeID)
		if err != nil {
			return "", fmt.Errorf("locate node %s: %w", nodeID, err)
		}
		return h.ClientAddress, nil
	}
	return "", fmt.Errorf("locate node %s: %w", nodeID, ErrNotMember)
}
