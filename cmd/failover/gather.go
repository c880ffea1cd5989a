package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

const (
	answerWait = 15 * time.Second // for the first answer of a cluster that is needed
	stepWait   = 60 * time.Second // for all answers of one that has answered
)

// choice is what the arguments choose.
type choice struct {
	kind         failover.Kind
	mode         failover.Mode
	groups       *policy.Filter // nil: all that the flow's settings choose
	topics       *policy.Filter // nil: all
	allowUnknown bool
	align        bool
	alignAt      time.Time
}

// scene is a look at both clusters. It is gathered anew for each plan.
type scene struct {
	*pair
	choice
	failover.Situation

	forward *noted // of the flow from->to, on to; nil where there is none
	back    *noted // of the flow to->from, on from; nil where there is none, or where from does not answer

	fromTopics []stream.Topic
	listed     map[string]stream.Group // groups of from, by name
}

// gather asks both clusters for all that a plan is made from. An error means that a cluster is needed and does not answer, or
// that what is noted there cannot be read.
func gather(ctx context.Context, p *pair, c choice) (*scene, error) {
	s := &scene{pair: p, choice: c}
	s.Situation = failover.Situation{Now: time.Now(), Config: p.conf.Path, Kind: c.kind, Mode: c.mode,
		AllowUnknown: c.allowUnknown, Align: c.align, AlignAt: c.alignAt}
	together, ctx2 := errgroup.WithContext(ctx)
	together.Go(func() error { return s.target(ctx2) })
	together.Go(func() error { return s.source(ctx2) })
	if err := together.Wait(); err != nil {
		return nil, err
	}
	if s.From.Live && s.From.ClusterID == s.To.ClusterID {
		return nil, fmt.Errorf("%s and %s are one cluster (id %s); correct their bootstrap.servers in %s", p.from, p.to, s.To.ClusterID, p.conf.Path)
	}
	s.maps()
	s.rules()
	for _, step := range []func(context.Context) error{s.groups, s.ends, s.targetGroups} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if c.kind == failover.Back {
		if err := s.divergence(ctx); err != nil {
			return nil, err
		}
	}
	s.Times = times{clock{p.toAdmin}}
	return s, nil
}

// target asks the cluster that groups go to, and reads what is noted there. It must answer.
func (s *scene) target(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	id, err := s.toAdmin.ClusterID(first)
	if err != nil {
		return s.away(s.to, err)
	}
	s.To.ClusterID = id
	step, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	listed, err := s.toAdmin.Topics(step)
	if err != nil {
		return s.away(s.to, err)
	}
	s.To.Topics = make(map[string]stream.Topic, len(listed))
	for _, t := range listed {
		s.To.Topics[t.Name] = t
	}
	if s.flow == nil {
		return nil
	}
	if s.forward, err = readNoted(step, s.toAdmin, s.from); err != nil {
		return s.away(s.to, err)
	}
	if err := s.forward.readCheckpoints(step, s.toAdmin, s.flow.Policy.CheckpointsTopic(s.from)); err != nil {
		return s.away(s.to, err)
	}
	return nil
}

func (s *scene) away(alias string, err error) error {
	return fmt.Errorf("cluster %s: %s", alias, kafka.Explain(err))
}

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
	if s.home != nil {
		s.back, err = readNoted(step, s.fromAdmin, s.to)
	}
	return err
}

// maps puts what was noted into the situation.
func (s *scene) maps() {
	s.Checkpoints = make(map[failover.CheckpointKey]stream.Checkpoint)
	if s.forward != nil {
		s.Map = s.forward.offsets
		s.Notes = append(s.Notes, s.forward.warnings...)
		for group, positions := range s.forward.known.Checkpoints {
			for p, c := range positions {
				s.Checkpoints[failover.CheckpointKey{Group: group, Remote: p}] = c
			}
		}
		if !s.forward.there {
			s.Notes = append(s.Notes, fmt.Sprintf("%s has no topic %s: mirror never ran there, and only MirrorMaker 2's checkpoints are known", s.to, tandemTopic(s.from)))
		}
	}
	if s.back != nil {
		s.Home = s.back.offsets
		s.Notes = append(s.Notes, s.back.warnings...)
	}
	switch {
	case s.kind == failover.Back && s.back != nil:
		s.Failovers = s.back.records.All()
	case s.kind == failover.Over && s.forward != nil:
		s.Failovers = s.forward.records.All()
	}
}

// rules follow from the flows. With the source dead and no flow towards it, its checkpoints still tell which of its topics are
// copies from the target.
func (s *scene) rules() {
	r := failover.Rules{From: s.from, To: s.to}
	if s.flow != nil {
		r.Policy, r.Replicates = s.flow.Policy, s.flow.Topics.Replicates
		homes := make(map[string]bool)
		for key := range s.Checkpoints {
			homes[key.Remote.Topic] = true
		}
		r.HomePolicy = s.flow.Policy
		r.HomeReplicates = func(topic string) bool { return homes[topic] }
	}
	if s.home != nil {
		r.HomePolicy, r.HomeReplicates = s.home.Policy, s.home.Topics.Replicates
	}
	if s.topics != nil {
		r.Chosen = func(topic string) bool {
			return s.topics.Accepts(topic) || s.topics.Accepts(r.HomePolicy.OriginalTopic(topic))
		}
	}
	s.Rules = r
}

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
	if s.choice.groups != nil && !s.choice.groups.Accepts(group) {
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

// ends finds the legs, and where their logs begin and end on both sides.
func (s *scene) ends(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	known := make(map[stream.Partition]stream.SourceEnd)
	if s.forward != nil {
		known = s.forward.known.Ends()
	}
	var partitions []stream.Partition
	for _, t := range s.fromTopics {
		for n := range t.Partitions {
			partitions = append(partitions, stream.Partition{Topic: t.Name, Number: n})
		}
	}
	if !s.From.Live {
		for p := range known {
			partitions = append(partitions, p)
		}
	}
	for _, g := range s.From.Groups {
		for p := range g.Offsets {
			partitions = append(partitions, p)
		}
	}
	s.Legs = s.Rules.Legs(partitions)
	var there []stream.Partition
	for _, l := range s.Legs {
		if s.To.Topics[l.To.Topic].Partitions > l.To.Number {
			there = append(there, l.To)
		}
	}
	var err error
	if s.To.Starts, s.To.Ends, err = bounds(ctx, s.toAdmin, there); err != nil {
		return s.away(s.to, err)
	}
	s.From.Ends = known
	if s.From.Live {
		if err := s.liveEnds(ctx, known); err != nil {
			if s.kind == failover.Back {
				return s.away(s.from, err)
			}
			s.lose(err)
			s.Legs = s.Rules.Legs(partitions)
		}
	}
	s.stand()
	return nil
}

// bounds are the starts and ends of logs.
func bounds(ctx context.Context, admin *kafka.Admin, partitions []stream.Partition) (starts, ends map[stream.Partition]int64, err error) {
	starts, failed, err := admin.Offsets(ctx, partitions, stream.Earliest)
	if err = errors.Join(err, anyOf(failed)); err != nil {
		return nil, nil, err
	}
	ends, failed, err = admin.Offsets(ctx, partitions, stream.Latest)
	return starts, ends, errors.Join(err, anyOf(failed))
}

// liveEnds replaces what was seen of the source by what it says now.
func (s *scene) liveEnds(ctx context.Context, known map[stream.Partition]stream.SourceEnd) error {
	there := make(map[string]int32, len(s.fromTopics))
	for _, t := range s.fromTopics {
		there[t.Name] = t.Partitions
	}
	var partitions []stream.Partition
	for _, l := range s.Legs {
		if there[l.From.Topic] > l.From.Number {
			partitions = append(partitions, l.From)
		}
	}
	now := time.Now()
	starts, ends, err := bounds(ctx, s.fromAdmin, partitions)
	if err != nil {
		return err
	}
	s.From.Starts = starts
	s.From.Ends = make(map[stream.Partition]stream.SourceEnd, len(ends))
	for p, end := range ends {
		seen := known[p]
		s.From.Ends[p] = stream.SourceEnd{End: stream.Upstream(end), Acked: seen.Acked, Newest: seen.Newest, At: now}
	}
	return nil
}

// stand tells the maps where the logs of remote partitions are, so that they know of records behind their ends. Not where
// others write to the same partitions: records there may be anybody's.
func (s *scene) stand() {
	for _, l := range s.Legs {
		switch l.Way {
		case failover.Mirrored:
			if end, ok := s.To.Ends[l.To]; ok && s.forward != nil {
				s.forward.offsets.Stands(l.To, l.From, stream.Downstream(s.To.Starts[l.To]), stream.Downstream(end))
			}
		case failover.Home:
			if end, ok := s.From.Ends[l.From]; ok && s.back != nil && s.From.Live && l.From.Topic != l.To.Topic {
				s.back.offsets.Stands(l.From, l.To, stream.Downstream(s.From.Starts[l.From]), stream.Downstream(end.End))
			}
		case failover.Both:
		}
	}
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

// divergence reads what only the cluster that groups return to holds.
func (s *scene) divergence(ctx context.Context) error {
	beyond, unknown := s.Diverged()
	for _, p := range unknown {
		s.Notes = append(s.Notes, fmt.Sprintf("how much of %s of %s ever reached %s is not known: what only %s holds of it cannot be listed", p, s.to, s.from, s.to))
	}
	for _, x := range beyond {
		d := failover.Divergence{Topic: x.Topic, Number: x.Number, From: x.From, To: x.To}
		_, err := s.toAdmin.ReadFrom(ctx, x.Topic, x.Number, x.From, s.home.IsolationLevel == "read_committed", func(r stream.Record) error {
			if d.Records++; d.Records == 1 {
				d.First = r.Timestamp.UTC()
			}
			d.Last = r.Timestamp.UTC()
			return nil
		})
		if err != nil {
			return s.away(s.to, err)
		}
		if d.Records > 0 { // a transaction marker is no record
			s.Divergence = append(s.Divergence, d)
		}
	}
	return nil
}

// times are asked for side by side.
type times struct{ clock }

func (t times) Timestamps(ctx context.Context, at []failover.Place) ([]time.Time, error) {
	found := make([]time.Time, len(at))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, p := range at {
		group.Go(func() (err error) {
			found[i], err = t.timestamp(ctx, p.Partition, p.Offset)
			return err
		})
	}
	return found, group.Wait()
}
