package main

import (
	"context"
	"fmt"

	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// source asks the cluster that groups leave. When it does not answer in time, that is a finding; on the way back it must.
func (s *scene) source(ctx context.Context) error {
	err := s.askSource(ctx)
	switch {
	case err == nil:
		s.From.Live = true
	case ctx.Err() != nil:
		return ctx.Err()
	case s.kind == failover.Back:
		return fmt.Errorf("%w; groups return when both clusters answer", s.away(s.from, err))
	default:
		s.lose(err)
	}
	return nil
}

// lose takes the source for dead: only what its last answers left on the target counts.
func (s *scene) lose(err error) {
	if s.From.ClusterID != "" {
		err = fmt.Errorf("it answers in part: %w", err)
	}
	s.From.Live, s.From.Away = false, kafka.Explain(err)
	s.From.States, s.From.Starts, s.fromTopics, s.back = nil, nil, nil, nil
}

func (s *scene) askSource(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, s.sourceWait)
	defer cancel()
	id, err := s.fromAdmin.ClusterID(first)
	if err != nil {
		return err
	}
	s.From.ClusterID = id
	step, cancel := context.WithTimeout(ctx, max(s.sourceWait, stepWait))
	defer cancel()
	if s.fromTopics, err = s.fromAdmin.Topics(step); err != nil {
		return err
	}
	groups, err := s.fromAdmin.Groups(step)
	if err != nil {
		return err
	}
	s.listed = make(map[string]stream.Group, len(groups))
	for _, g := range groups {
		s.listed[g.ID] = g
	}
	if s.flow != nil && s.flow.OffsetSyncs.Location != "target" {
		if s.mm2, err = readSyncs(step, s.fromAdmin, s.flow.Policy.OffsetSyncsTopic(s.to)); err != nil {
			return err
		}
	}
	if s.home != nil {
		s.back, err = readNoted(step, s.fromAdmin, s.home.Flow, "")
	}
	return err
}
