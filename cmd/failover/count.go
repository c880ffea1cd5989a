package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

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
	for _, f := range []struct {
		flow         *config.Flow
		noted, other *noted
		leave        func() (gapFilter, error)
	}{
		{s.flow, s.forward, s.back, func() (gapFilter, error) { return s.wantForward(ctx) }},
		{s.home, s.back, s.forward, func() (gapFilter, error) { return s.wantHome(ctx) }},
	} {
		if f.flow == nil || f.noted == nil {
			continue
		}
		wanted, err := f.leave()
		if err != nil {
			return err
		}
		if err := s.fill(limit, f.flow, f.noted, f.other, wanted); err != nil {
			return err
		}
	}
	if s.lossCounted && s.flow != nil {
		s.passMarkers(limit)
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
		if _, behind := s.behind(l); behind && s.lossCounted {
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

// behind says that the source may have records that are not on the target, and from where on: each record on the target that the
// map does not know has at least an offset of its own.
func (s *scene) behind(l failover.Leg) (mirrored int64, behind bool) {
	end, known := s.From.Ends[l.From]
	up, down, ok := s.forward.offsets.Covered(l.To)
	if l.Way != failover.Mirrored || !known || !ok || !s.has(l) {
		return 0, false
	}
	mirrored = max(int64(end.Acked), int64(up)+max(0, s.To.Ends[l.To]-int64(down)))
	return mirrored, mirrored < int64(end.End)
}

// passMarkers finds the partitions in which nothing but markers of transactions, which are not copied, stands behind what is
// mirrored: nothing of them is missing. Those that cannot be read count as behind.
func (s *scene) passMarkers(ctx context.Context) {
	ends := make([]stream.SourceEnd, len(s.Legs))
	var readers errgroup.Group
	readers.SetLimit(16)
	for i, l := range s.Legs {
		ends[i] = s.From.Ends[l.From]
		mirrored, behind := s.behind(l)
		if !behind {
			continue
		}
		readers.Go(func() error {
			next, err := s.fromAdmin.ReadFrom(ctx, l.From.Topic, l.From.Number, mirrored, s.flow.IsolationLevel == "read_committed",
				func(stream.Record) error { return errEnough })
			if err == nil { // next is before a transaction that is still open
				ends[i].Acked = max(ends[i].Acked, stream.Upstream(next))
			}
			return nil
		})
	}
	_ = readers.Wait() // none has an error of its own
	for i, l := range s.Legs {
		if _, known := s.From.Ends[l.From]; known {
			s.From.Ends[l.From] = ends[i]
		}
	}
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

// fill counts until nothing more can be: what was found in one gap may leave narrower ones.
func (s *scene) fill(ctx context.Context, flow *config.Flow, n, other *noted, wanted gapFilter) error {
	choose := func(g stream.Gap) bool { return wanted[g.Remote] }
	open := func() (gaps int) {
		for _, g := range n.offsets.Gaps() {
			if g.Wanted >= 0 && choose(g) {
				gaps++
			}
		}
		return gaps
	}
	if open() == 0 {
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
			s.line.show("counting what the map of %s lacks: %d partitions, %d MB read", flow.Flow, len(wanted), read>>20)
		}}
	if flow.TwoWay { // others write to the same partitions, and some of the source's records are copies
		recounter.Ours = n.origins
		recounter.Origins = replicate.NewOrigins(func(context.Context) ([]int64, error) {
			if other == nil {
				return nil, nil
			}
			return other.origins, nil
		})
	}
	var failed error
	counter := placing.Counter{Map: n.offsets, Recount: recounter.Recount, Earliest: recounter.Earliest,
		Hopeless: func(err error) bool { return errors.Is(err, replicate.ErrAmbiguous) },
		Failed:   func(_ stream.Gap, err error, _ bool) { failed = err },
	}
	for round := true; round && ctx.Err() == nil; {
		round = counter.Round(ctx, choose) > 0
	}
	s.line.clear()
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
