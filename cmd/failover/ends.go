package main

import (
	"context"
	"errors"
	"time"

	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

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

// stand tells the maps where the logs of remote partitions are, so that they know of records behind their ends. Where others
// write to the same partitions it does so only if they will be told apart.
func (s *scene) stand() {
	for _, l := range s.Legs {
		here, live := s.From.Ends[l.From]
		live = live && s.From.Live
		switch l.Way {
		case failover.Mirrored:
			if s.forward != nil && s.has(l) {
				s.forward.place(l.From, l.To, s.To.Starts[l.To], s.To.Ends[l.To], s.mm2)
			}
		case failover.Home:
			if live && s.back != nil && l.From.Topic != l.To.Topic {
				s.back.place(l.To, l.From, s.From.Starts[l.From], int64(here.End), nil)
			}
		case failover.Both:
			if live && s.has(l) && s.countWait > 0 && toldApart(s.forward, s.back) {
				s.forward.place(l.From, l.To, s.To.Starts[l.To], s.To.Ends[l.To], nil)
				s.back.place(l.To, l.From, s.From.Starts[l.From], int64(here.End), nil)
			}
		}
	}
}

// toldApart says that the producer ids of both flows are known.
func toldApart(there, back *noted) bool {
	return there != nil && back != nil && len(there.origins) > 0 && len(back.origins) > 0
}
