package hraft

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// bootstrap writes the first configuration to a log, which is cfg's, if there is no state.
func bootstrap(cfg Config, log raft.LogStore) error {
	if len(cfg.Bootstrap) == 0 {
		return nil
	}
	var first raft.Configuration
	for _, m := range cfg.Bootstrap {
		suffrage := raft.Nonvoter
		if m.Voter {
			suffrage = raft.Voter
		}
		first.Servers = append(first.Servers, raft.Server{
			Suffrage: suffrage,
			ID:       raft.ServerID(m.ID),
			Address:  raft.ServerAddress(m.Address),
		})
	}
	err := raft.BootstrapCluster(cfg.raft(), log, cfg.StableStore, cfg.SnapshotStore, cfg.Transport, first)
	if err == nil {
		return nil
	}
	if !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return finishBootstrap(cfg, log, first)
}

// finishBootstrap writes the configuration of a bootstrap that was killed between its
// two writes: the term is there, and nothing else. A single node would otherwise never
// have a configuration, nor get one.
func finishBootstrap(cfg Config, log raft.LogStore, first raft.Configuration) error {
	last, err := log.LastIndex()
	if err != nil {
		return fmt.Errorf("finish bootstrap: %w", err)
	}
	snapshots, err := cfg.SnapshotStore.List()
	if err != nil {
		return fmt.Errorf("finish bootstrap: %w", err)
	}
	if last > 0 || len(snapshots) > 0 {
		return nil
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(first)}
	if err := log.StoreLog(entry); err != nil {
		return fmt.Errorf("finish bootstrap: %w", err)
	}
	return nil
}
