package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/batch"
	"tandem/internal/cli"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
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
	countWait    time.Duration // how long gaps of the maps are counted; 0 is not at all
	lossCounted  bool          // also those that only tell how much would be lost
	drill        bool          // for a drill: of its throw-away groups, which nobody else looks at
	line         *cli.Progress
}

// scene is a look at both clusters. It is gathered anew for each plan.
type scene struct {
	*pair
	choice
	failover.Situation

	forward *noted            // of the flow from->to, on to; nil where there is none
	back    *noted            // of the flow to->from, on from; nil where there is none, or where from does not answer
	mm2     *offsetsync.Store // offset syncs of the flow from->to; nil where they cannot be had

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
	for _, step := range []func(context.Context) error{s.groups, s.ends, s.targetGroups, s.count} {
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
	if s.forward, err = readNoted(step, s.toAdmin, s.flow.Flow, ""); err != nil {
		return s.away(s.to, err)
	}
	if err := s.forward.readCheckpoints(step, s.toAdmin, s.flow.Policy.CheckpointsTopic(s.from)); err != nil {
		return s.away(s.to, err)
	}
	if s.flow.OffsetSyncs.Location == "target" {
		if s.mm2, err = readSyncs(step, s.toAdmin, s.flow.Policy.OffsetSyncsTopic(s.from)); err != nil {
			return s.away(s.to, err)
		}
	}
	return nil
}

func (s *scene) away(alias string, err error) error {
	return fmt.Errorf("cluster %s: %s", alias, kafka.Explain(err))
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
			s.Notes = append(s.Notes, fmt.Sprintf("%s has no topic %s: mirror never ran there, and only MirrorMaker 2's checkpoints are known", s.to, stream.TandemTopic(s.from)))
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
	if !s.drill {
		s.Failovers = slices.DeleteFunc(s.Failovers, func(r failover.Record) bool { return strings.HasPrefix(r.Plan, drillPlan) })
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

// divergence reads what only the cluster that groups return to holds.
func (s *scene) divergence(ctx context.Context) error {
	beyond, unknown := s.Diverged()
	for _, p := range unknown {
		s.Notes = append(s.Notes, fmt.Sprintf("how much of %s of %s ever reached %s is not known: what only %s holds of it cannot be listed", p, s.to, s.from, s.to))
	}
	var own *ownRecords
	if s.home.TwoWay && len(beyond) > 0 {
		var err error
		if own, err = openOwn(s.home, s.forward); err != nil {
			return err
		}
		defer own.wire.Close()
	}
	for _, x := range beyond {
		d := failover.Divergence{Topic: x.Topic, Number: x.Number, From: x.From, To: x.To}
		var err error
		if own != nil {
			_, err = own.each(ctx, x.Partition, x.From, x.To, func(v batch.View) bool {
				count(&d, int64(v.Records()), time.UnixMilli(v.BaseTimestamp()), time.UnixMilli(v.MaxTimestamp()))
				return true
			})
		} else {
			_, err = s.toAdmin.ReadFrom(ctx, x.Topic, x.Number, x.From, s.home.IsolationLevel == "read_committed", func(r stream.Record) error {
				count(&d, 1, r.Timestamp, r.Timestamp)
				return nil
			})
		}
		if err != nil {
			return s.away(s.to, err)
		}
		if d.Records > 0 { // a transaction marker is no record
			s.Divergence = append(s.Divergence, d)
		}
	}
	return nil
}

func count(d *failover.Divergence, records int64, first, last time.Time) {
	if d.Records == 0 {
		d.First = first.UTC()
	}
	d.Records, d.Last = d.Records+records, last.UTC()
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
