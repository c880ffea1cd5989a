package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/config"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/placing"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// count fills the gaps of the maps where groups stand, as long as the clusters that records came from answer: a mirror that
// died a moment ago had not stored the last of its map. Nothing of it is stored; the next mirror counts for itself. What
// cannot be counted stays as it was, and its positions stay inexact.
func (s *scene) count(ctx context.Context) error {
	if !s.From.Live || s.countWait <= 0 {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, s.countWait)
	defer cancel()
	if s.flow != nil && s.forward != nil {
		wanted, err := s.wantForward(ctx)
		if err == nil {
			err = s.fill(limit, s.flow, s.forward, s.back, wanted)
		}
		if err == nil {
			err = s.passForward(limit)
		}
		if err != nil {
			return err
		}
	}
	if s.home != nil && s.back != nil {
		wanted, err := s.wantHome(ctx)
		if err == nil {
			err = s.fill(limit, s.home, s.back, s.forward, wanted)
		}
		if err != nil {
			return err
		}
	}
	if ctx.Err() == nil && limit.Err() != nil {
		s.Notes = append(s.Notes, fmt.Sprintf("what the map of offsets lacks was not counted to its end in %s (--count-timeout); places that need it are not exact", s.countWait))
	}
	return ctx.Err()
}

// gapFilter are the remote partitions of a flow whose gaps are needed.
type gapFilter map[stream.Partition]bool

// wantForward asks the map for the places of groups, so that it lists the gaps in which they stand. What is behind the map is
// wanted also where no group stands, if records may be lost: else it is not known how many.
func (s *scene) wantForward(ctx context.Context) (gapFilter, error) {
	wanted := make(gapFilter)
	at := make(map[stream.Partition]failover.Leg)
	for _, l := range s.Legs {
		if l.Way == failover.Home || !s.has(l) {
			continue
		}
		at[l.From] = l
		end, known := s.From.Ends[l.From]
		up, down, ok := s.forward.offsets.Covered(l.To)
		mirrored := max(int64(end.Acked), int64(up))
		if l.Way == failover.Mirrored { // else what the map does not know may be others'
			mirrored = max(mirrored, int64(up)+max(0, s.To.Ends[l.To]-int64(down)))
		}
		if s.lossCounted && ok && known && mirrored < int64(end.End) {
			wanted[l.To] = true
		}
	}
	for _, g := range s.From.Groups {
		for p, c := range g.Offsets {
			l, ok := at[p]
			if !ok {
				continue
			}
			t, err := s.forward.offsets.Translate(ctx, l.To, stream.Upstream(c.Offset))
			if err != nil {
				return nil, s.away(s.to, err)
			}
			if t.Class != stream.Exact {
				wanted[l.To] = true
			}
		}
	}
	return wanted, nil
}

// wantHome is the same for positions in copies of the target's topics.
func (s *scene) wantHome(ctx context.Context) (gapFilter, error) {
	wanted := make(gapFilter)
	at := make(map[stream.Partition]failover.Leg)
	for _, l := range s.Legs {
		if l.Way == failover.Mirrored || !s.has(l) {
			continue
		}
		at[l.From] = l
		if s.kind == failover.Back { // how much came from there says what diverges
			wanted[l.From] = true
		}
	}
	for _, g := range s.From.Groups {
		for p, c := range g.Offsets {
			if _, ok := at[p]; !ok {
				continue
			}
			r, err := s.back.offsets.Return(ctx, p, stream.Downstream(c.Offset))
			if err != nil {
				return nil, s.away(s.from, err)
			}
			if r.Class != stream.Exact {
				wanted[p] = true
			}
		}
	}
	return wanted, nil
}

// has says that the target has the leg's partition.
func (s *scene) has(l failover.Leg) bool {
	_, ok := s.To.Ends[l.To]
	return ok
}

// fill counts until nothing more can be: what was found in one gap may leave narrower ones. Where others write to the same
// partitions, as the opposite flow does, producer ids tell the records apart; without those of both flows nothing is counted.
func (s *scene) fill(ctx context.Context, flow *config.Flow, n, opposite *noted, wanted gapFilter) error {
	choose := func(g stream.Gap) bool { return wanted[g.Remote] }
	open := func() (gaps int) {
		for _, g := range n.offsets.Gaps() {
			if g.Wanted >= 0 && choose(g) {
				gaps++
			}
		}
		return gaps
	}
	if open() == 0 || flow.TwoWay && !toldApart(n, opposite) {
		return nil
	}
	source, remote, err := wires(flow)
	if err != nil {
		return err
	}
	defer source.Close()
	defer remote.Close()
	var read int64
	recounter := &replicate.Recounter{Source: source, SourceLog: source, Remote: remote, RemoteLog: remote,
		Committed: flow.IsolationLevel == "read_committed",
		Progress: func(bytes int64) {
			read += bytes
			s.line.Show("counting what the map of %s lacks: %d partitions, %d MB read", flow.Flow, len(wanted), read>>20)
		}}
	if flow.TwoWay {
		recounter.Ours = n.origins
		recounter.Origins = replicate.NewOrigins(func(context.Context) ([]int64, error) { return opposite.origins, nil })
	}
	var failed error
	counter := placing.Counter{Map: n.offsets, Recount: recounter.Recount, Earliest: recounter.Earliest,
		Hopeless: func(err error) bool { return errors.Is(err, replicate.ErrAmbiguous) },
		Failed:   func(_ stream.Gap, err error, _ bool) { failed = err },
	}
	for round := true; round && ctx.Err() == nil; {
		round = counter.Round(ctx, choose) > 0
	}
	s.line.Clear()
	if left := open(); left > 0 && failed != nil && ctx.Err() == nil { // the positions say that they are not exact, and this is why
		s.Notes = append(s.Notes, fmt.Sprintf("%s: %d gaps of the map of offsets could not be counted, such as: %s", flow.Flow, left, kafka.Explain(failed)))
	}
	return nil
}

// wires are connections that read records, with the rights that the flow itself has.
func wires(flow *config.Flow) (source, remote *kafka.Wire, err error) {
	open := func(alias string, props config.Properties) (*kafka.Wire, error) {
		client, err := kafka.Parse(props)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", alias, err)
		}
		return kafka.NewWire(client)
	}
	if source, err = open(flow.Source, flow.SourceConsumer); err != nil {
		return nil, nil, err
	}
	if remote, err = open(flow.Target, flow.TargetProducer); err != nil {
		source.Close()
	}
	return source, remote, err
}

// place tells a map where a remote partition stands.
func (n *noted) place(source, remote stream.Partition, start, end int64, mm2 *offsetsync.Store) {
	if mm2 != nil {
		n.offsets.Below(remote, mm2.Points(source))
	}
	placing.Begin(n.offsets, source, remote, stream.Downstream(start), stream.Downstream(end), n.anchors[remote])
}

func countFlag(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "count-timeout", 2*time.Minute, "how long records are counted, on both clusters, where the mirror has not noted their places; 0 for not at all")
}
