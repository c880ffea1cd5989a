package position

import (
	"context"
	"fmt"

	"tandem/internal/stream"
)

// Anchors is what the anchors topic of a flow says.
type Anchors struct {
	Producer   *Producer // nil when none was ever stored
	Partitions map[stream.Partition]Anchor
}

// AnchorStore keeps a flow's producer id and anchors in Tandem's own topic. Its methods may be called concurrently.
type AnchorStore struct {
	log       Log
	topic     string
	flow      stream.Flow
	producer  *ledger[struct{}, Producer]
	positions *ledger[stream.Partition, Anchor]
}

// NewAnchorStore makes an AnchorStore over topic, which has one partition.
func NewAnchorStore(log Log, topic string, flow stream.Flow) *AnchorStore {
	return &AnchorStore{log: log, topic: topic, flow: flow,
		producer: newLedger[struct{}, Producer](), positions: newLedger[stream.Partition, Anchor]()}
}

// Load reads the topic. A damaged record is an error, and so is one of a newer version.
func (s *AnchorStore) Load(ctx context.Context) (Anchors, error) {
	producers := map[struct{}]Producer{}
	anchors, err := s.positions.load(func() (map[stream.Partition]Anchor, error) {
		anchors := map[stream.Partition]Anchor{}
		return anchors, s.log.ReadAll(ctx, s.topic, true, func(r stream.Record) error {
			if err := read(r, producers, anchors); err != nil {
				return fmt.Errorf("record at offset %d: %w", r.Offset, err)
			}
			return nil
		})
	})
	if err == nil {
		_, err = s.producer.load(func() (map[struct{}]Producer, error) { return producers, nil })
	}
	if err != nil {
		return Anchors{}, fmt.Errorf("load anchors of %s from %s: %w", s.flow, s.topic, err)
	}
	found := Anchors{Partitions: anchors}
	if p, ok := producers[struct{}{}]; ok {
		found.Producer = &p
	}
	return found, nil
}

// read takes one record in; a tombstone takes back what its key had.
func read(r stream.Record, producers map[struct{}]Producer, anchors map[stream.Partition]Anchor) error {
	kind, err := kindOf(r.Key)
	if err != nil {
		return err
	}
	switch kind {
	case kindProducer:
		if r.Value == nil {
			clear(producers)
			return nil
		}
		p, err := decodeProducer(r)
		if err != nil {
			return fmt.Errorf("decode producer: %w", err)
		}
		producers[struct{}{}] = p
	case kindAnchor:
		remote, err := decodeAnchorKey(r.Key)
		if err != nil {
			return fmt.Errorf("decode anchor: %w", err)
		}
		if r.Value == nil {
			delete(anchors, remote)
			return nil
		}
		a, err := decodeAnchorValue(r.Value)
		if err != nil {
			return fmt.Errorf("decode anchor of %s: %w", remote, err)
		}
		anchors[remote] = a
	}
	return nil
}

// SetProducer remembers the producer id with which the flow appends.
func (s *AnchorStore) SetProducer(p Producer) { s.producer.set(struct{}{}, p) }

// Set remembers the anchor of a remote partition.
func (s *AnchorStore) Set(remote stream.Partition, a Anchor) { s.positions.set(remote, a) }

// Forget drops what was set of a remote partition that is no longer ours, so that no later Flush overwrites what its new
// owner stores. To leave without loss, Flush before; a Flush under way is not waited for.
func (s *AnchorStore) Forget(remote stream.Partition) { s.positions.forget(remote) }

// Flush stores what changed since it was last stored, the producer id first: an anchor's sequence number means nothing
// under another id.
func (s *AnchorStore) Flush(ctx context.Context) error {
	one := func(a, b struct{}) int { return 0 }
	err := s.producer.flush(one, func(keys []struct{}, values map[struct{}]Producer) error {
		return s.log.Append(ctx, s.topic, []stream.Record{encodeProducer(values[keys[0]])})
	})
	if err == nil {
		err = s.positions.flush(comparePartitions, func(keys []stream.Partition, values map[stream.Partition]Anchor) error {
			records := make([]stream.Record, len(keys))
			for i, p := range keys {
				records[i] = encodeAnchor(p, values[p])
			}
			return s.log.Append(ctx, s.topic, records)
		})
	}
	if err != nil {
		return fmt.Errorf("flush anchors of %s to %s: %w", s.flow, s.topic, err)
	}
	return nil
}
