package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// groups finds the chosen groups and what they have committed on the source.
func (s *scene) groups(ctx context.Context) error {
	if !s.From.Live {
		s.knownGroups()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	var ids []string
	for id := range s.listed {
		if s.chosen(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	err := s.liveGroups(ctx, ids)
	if err == nil || ctx.Err() == nil && s.kind == failover.Back {
		return err
	}
	s.lose(err)
	s.knownGroups()
	return nil
}

// chosen says whether a group is one of the plan's. On the way back these are the groups of the failovers in force, unless the
// arguments name others: the cluster has groups of its own.
func (s *scene) chosen(group string) bool {
	if strings.HasPrefix(group, throwAway) != s.drill || s.choice.groups != nil && !s.choice.groups.Accepts(group) {
		return false
	}
	if s.kind != failover.Back {
		return s.flow.Groups.Accepts(group)
	}
	if s.choice.groups != nil {
		return true
	}
	for _, r := range failover.InForce(s.Failovers) {
		for _, g := range r.Groups {
			if g.Group == group {
				return true
			}
		}
	}
	return false
}

func (s *scene) knownGroups() {
	s.From.Groups = make(map[string]stream.GroupOffsets)
	for id, g := range s.forward.known.Groups {
		if s.chosen(id) {
			s.From.Groups[id] = g
		}
	}
}

func (s *scene) liveGroups(ctx context.Context, ids []string) error {
	asked := ids
	if s.kind == failover.Back {
		s.Returning = failover.InForce(s.Failovers)
		for _, r := range s.Returning {
			for _, g := range r.Groups {
				asked = append(asked, g.Group)
			}
		}
		slices.Sort(asked)
		asked = slices.Compact(asked)
	}
	now := time.Now()
	offsets, failed, err := s.fromAdmin.GroupOffsets(ctx, asked)
	if err != nil {
		return err
	}
	s.From.Groups = make(map[string]stream.GroupOffsets)
	s.Standing = make(map[string]bool)
	for _, id := range asked {
		if err := failed[id]; err != nil {
			s.Standing[id] = true
			s.Obstacles = append(s.Obstacles, fmt.Sprintf("group %s: %s does not tell its offsets (%s): try again", id, s.from, kafka.Explain(err)))
			continue
		}
		s.Standing[id] = len(offsets[id]) > 0
		if len(offsets[id]) > 0 && slices.Contains(ids, id) {
			s.From.Groups[id] = stream.GroupOffsets{Group: id, At: now, Offsets: offsets[id]}
		}
	}
	if s.From.States, err = s.fromAdmin.GroupStates(ctx, ids); len(s.From.States) > 0 {
		err = nil // a group without an answer counts as live
	}
	return err
}

// targetGroups asks the target for the chosen groups.
func (s *scene) targetGroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	var ids []string
	for id := range s.From.Groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	offsets, failed, err := s.toAdmin.GroupOffsets(ctx, ids)
	if err != nil {
		return s.away(s.to, err)
	}
	s.To.Offsets = offsets
	for _, id := range ids {
		if err := failed[id]; err != nil {
			s.Obstacles = append(s.Obstacles, fmt.Sprintf("group %s: %s does not tell its offsets (%s): try again", id, s.to, kafka.Explain(err)))
		}
	}
	s.To.States, err = s.toAdmin.GroupStates(ctx, ids)
	if err != nil && len(s.To.States) == 0 && len(ids) > 0 {
		return s.away(s.to, err)
	}
	for _, id := range ids {
		if _, ok := s.To.States[id]; !ok {
			s.To.States[id] = stream.Group{ID: id} // counts as live
		}
	}
	return nil
}
