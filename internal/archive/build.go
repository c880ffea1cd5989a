package archive

import (
	"fmt"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// builder puts what was taken from the queue into a bundle. After each partition the ledger is where its chunks end.
type builder struct {
	writer *bundle.Writer
	ledger ledger
	gone   map[*track]bool           // were given up before the queue was cut
	refuse func(bundle.Event, error) // is told of an event that the bundle does not take
}

// all adds the items, chunks of one partition side by side.
func (b *builder) all(items []*item) error {
	order, groups := []*track(nil), make(map[*track][]*item)
	for _, i := range items {
		if i.track == nil {
			b.event(i.event)
			continue
		}
		if groups[i.track] == nil {
			order = append(order, i.track)
		}
		groups[i.track] = append(groups[i.track], i)
	}
	for _, t := range order {
		if err := b.partition(t, groups[t]); err != nil {
			return fmt.Errorf("add %s: %w", t.source, err)
		}
	}
	return nil
}

func (b *builder) event(e *bundle.Event) {
	if err := b.writer.Event(e.At, e.Body); err != nil {
		b.refuse(*e, err)
	}
}

// partition adds what there is of one. What does not follow on what was added before would be a hole that nobody sees.
func (b *builder) partition(t *track, items []*item) error {
	pos := &t.built
	var run []*item
	size := 0
	flush := func() (err error) {
		if len(run) > 0 {
			err = b.chunk(pos, t.unsure, run)
			t.unsure = false
		}
		run, size = run[:0], 0
		return err
	}
	for _, i := range items {
		if i.fresh || len(run) > 0 && (run[0].committed != i.committed || size+len(i.batches) > chunkBytes) {
			if err := flush(); err != nil {
				return err
			}
		}
		if i.fresh {
			if i.event != nil {
				b.event(i.event)
			}
			pos.Next, pos.LeaderEpoch, pos.Open = i.next, i.epoch, nil
			t.unsure = true
			continue
		}
		run = append(run, i)
		size += len(i.batches)
	}
	if err := flush(); err != nil {
		return err
	}
	b.ledger.settle(t, b.gone[t])
	return nil
}

// chunk adds one, and lets go of the memory of its pieces.
func (b *builder) chunk(pos *bundle.Position, begins bool, run []*item) error {
	c := bundle.Chunk{
		Topic: pos.Topic, Partition: pos.Partition, LeaderEpoch: pos.LeaderEpoch, First: pos.Next,
		Open: pos.Open, Begins: begins, Committed: run[0].committed,
	}
	at := pos.Next
	batches := make([][]byte, 0, len(run))
	for _, i := range run {
		if i.from != at {
			return fmt.Errorf("what follows on %d begins at %d", at, i.from)
		}
		at = i.next
		batches = append(batches, i.batches)
		c.Aborted = append(c.Aborted, i.aborted...)
	}
	c.Next = at
	e, err := b.writer.Append(c, batches...)
	if err != nil {
		return err
	}
	for _, i := range run {
		i.batches = nil
	}
	pos.Next, pos.LeaderEpoch, pos.Open = at, run[len(run)-1].epoch, e.Open
	return nil
}

// durable are the positions of the partitions of which something was taken and that were not given up.
func (b *builder) durable(items []*item) map[stream.Partition]stream.Upstream {
	out := make(map[stream.Partition]stream.Upstream)
	for _, i := range items {
		if i.track != nil && !b.gone[i.track] {
			out[i.track.source] = i.track.built.Next
		}
	}
	return out
}
