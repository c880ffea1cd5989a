package main

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"tandem/internal/batch"
	"tandem/internal/config"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// What stands behind the mirrored end of a source may be nothing that is copied: markers of transactions, and what the opposite
// flow has written under the same name. A mirror that was killed has not noted that it passed them.

// stretch is what a source partition has behind the mirrored end.
type stretch struct {
	source, remote stream.Partition
	from, to       int64
	shared         bool              // the opposite flow writes to it
	whole          bool              // all that the remote partition has is on the map, up to
	down           stream.Downstream // there
}

// passForward moves the mirrored ends of the flow from->to over what is not copied.
func (s *scene) passForward(ctx context.Context) error {
	var list []stretch
	for _, l := range s.Legs {
		end, known := s.From.Ends[l.From]
		up, down, ok := s.forward.offsets.Covered(l.To)
		shared := l.Way == failover.Both
		if l.Way == failover.Home || !known || !ok || !s.has(l) || shared && !toldApart(s.forward, s.back) {
			continue
		}
		x := stretch{source: l.From, remote: l.To, from: int64(up), to: int64(end.End), down: down, shared: shared, whole: int64(down) == s.To.Ends[l.To]}
		switch {
		case x.whole: // the first record that is found is not on the target
		case shared: // whose the others are is not known
			continue
		default: // each record on the target that the map does not know has at least an offset of its own
			x.from = max(int64(end.Acked), int64(up)+max(0, s.To.Ends[l.To]-int64(down)))
		}
		if x.from < x.to {
			list = append(list, x)
		}
	}
	passed, err := s.pass(ctx, list)
	for i, x := range list {
		end := s.From.Ends[x.source]
		end.Acked = max(end.Acked, stream.Upstream(passed[i]))
		s.From.Ends[x.source] = end
	}
	return err
}

// pass finds where the next record to be copied stands, or how far is read if there is none, and tells the map. What cannot be
// read is not passed.
func (s *scene) pass(ctx context.Context, list []stretch) ([]int64, error) {
	passed := make([]int64, len(list))
	var own *ownRecords
	if slices.ContainsFunc(list, func(x stretch) bool { return x.shared }) {
		var err error
		if own, err = openOwn(s.flow, s.back); err != nil {
			return nil, err
		}
		defer own.wire.Close()
	}
	var readers errgroup.Group
	readers.SetLimit(16)
	for i, x := range list {
		readers.Go(func() (err error) {
			var next int64
			if x.shared {
				next, err = own.each(ctx, x.source, x.from, x.to, func(batch.View) bool { return false })
			} else {
				next, err = s.fromAdmin.ReadFrom(ctx, x.source.Topic, x.source.Number, x.from, s.flow.IsolationLevel == "read_committed",
					func(stream.Record) error { return errEnough })
			}
			if err != nil || next <= x.from { // next is before a transaction that is still open
				return nil //nolint:nilerr // then the stretch counts as not copied
			}
			passed[i] = next
			if x.whole {
				s.forward.offsets.Ack(stream.Ack{Source: x.source, Remote: x.remote, Next: stream.Upstream(next), NextDown: x.down})
			}
			return nil
		})
	}
	return passed, readers.Wait()
}

// ownRecords reads what producers of the source itself have written to topics that both directions copy under one name.
type ownRecords struct {
	wire      *kafka.Wire
	committed bool
	copies    map[int64]bool // by these producer ids
}

func openOwn(flow *config.Flow, other *noted) (*ownRecords, error) {
	client, err := kafka.Parse(flow.SourceConsumer)
	if err != nil {
		return nil, err
	}
	o := &ownRecords{committed: flow.IsolationLevel == "read_committed", copies: make(map[int64]bool)}
	if other != nil {
		for _, id := range other.origins {
			o.copies[id] = true
		}
	}
	o.wire, err = kafka.NewWire(client)
	return o, err
}

// each goes through the batches with records that are no copies, until found returns false. next is how far it has come: behind
// the last batch that is none of those, or before the one that found has ended it with.
func (o *ownRecords) each(ctx context.Context, p stream.Partition, from, to int64, found func(batch.View) bool) (next int64, err error) {
	for next = from; next < to; {
		f, err := o.wire.Read(ctx, p, next, 1<<20, o.committed)
		if err = errors.Join(err, f.Err); err != nil {
			return next, err
		}
		before := next
		for raw := f.Records; next < to; {
			v, rest, err := batch.Next(raw)
			if errors.Is(err, batch.ErrTruncated) {
				break
			}
			if err != nil {
				return next, err
			}
			raw = rest
			if v.LastOffset() < next {
				continue
			}
			if v.Records() > 0 && !v.Control() && !o.copies[v.ProducerID()] && !found(v) {
				return next, nil
			}
			next = v.LastOffset() + 1
		}
		if next == before {
			break
		}
	}
	return min(next, to), nil
}
