package position

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"tandem/internal/stream"
)

// Anchors is what the anchors topic of a flow says.
type Anchors struct {
	Producer   *Producer // nil when none was ever stored
	Origins    []int64   // every producer id with which the flow has ever written, in order; that of Producer too
	Partitions map[stream.Partition]Anchor
}

// AnchorStore keeps a flow's producer id and anchors in Tandem's own topic. Its methods may be called concurrently.
type AnchorStore struct {
	log       Log
	topic     string
	flow      stream.Flow
	producer  *ledger[struct{}, Producer]
	origins   *ledger[int64, struct{}]
	positions *ledger[stream.Partition, Anchor]
}

// NewAnchorStore makes an AnchorStore over topic, which has one partition.
func NewAnchorStore(log Log, topic string, flow stream.Flow) *AnchorStore {
	return &AnchorStore{log: log, topic: topic, flow: flow,
		producer: newLedger[struct{}, Producer](), origins: newLedger[int64, struct{}](), positions: newLedger[stream.Partition, Anchor]()}
}

// contents is what the records of the topic add up to.
type contents struct {
	producers map[struct{}]Producer
	noted     map[int64]struct{} // as origins
	used      map[int64]struct{} // as producers, at any time: older versions noted no origins
	anchors   map[stream.Partition]Anchor
}

// Load reads the topic. A damaged record is an error, and so is one of a newer version.
func (s *AnchorStore) Load(ctx context.Context) (Anchors, error) {
	var c contents
	anchors, err := s.positions.load(func() (map[stream.Partition]Anchor, error) {
		c = contents{map[struct{}]Producer{}, map[int64]struct{}{}, map[int64]struct{}{}, map[stream.Partition]Anchor{}}
		return c.anchors, s.log.ReadAll(ctx, s.topic, true, func(r stream.Record) error {
			if err := c.read(r); err != nil {
				return fmt.Errorf("record at offset %d: %w", r.Offset, err)
			}
			return nil
		})
	})
	if err == nil {
		_, err = s.producer.load(func() (map[struct{}]Producer, error) { return c.producers, nil })
	}
	if err == nil {
		_, err = s.origins.load(func() (map[int64]struct{}, error) { return c.noted, nil })
	}
	if err != nil {
		return Anchors{}, fmt.Errorf("load anchors of %s from %s: %w", s.flow, s.topic, err)
	}
	for id := range c.used {
		s.origins.set(id, struct{}{}) // the record of a producer is overwritten by the next one's
	}
	found := Anchors{Partitions: anchors}
	if p, ok := c.producers[struct{}{}]; ok {
		found.Producer = &p
	}
	maps.Copy(c.used, c.noted)
	found.Origins = slices.Sorted(maps.Keys(c.used))
	return found, nil
}

// read takes one record in; a tombstone takes back what its key had.
func (c *contents) read(r stream.Record) error {
	kind, err := kindOf(r.Key)
	if err != nil {
		return err
	}
	switch kind {
	case kindProducer:
		if r.Value == nil {
			clear(c.producers)
			return nil
		}
		p, err := decodeProducer(r)
		if err != nil {
			return fmt.Errorf("decode producer: %w", err)
		}
		c.producers[struct{}{}], c.used[p.ID] = p, struct{}{}
	case kindOrigin:
		id, err := decodeOriginKey(r.Key)
		if err != nil {
			return fmt.Errorf("decode origin: %w", err)
		}
		if r.Value == nil {
			delete(c.noted, id)
			return nil
		}
		if err := checkValue(r.Value, originValueLen); err != nil {
			return fmt.Errorf("decode origin %d: %w", id, err)
		}
		c.noted[id] = struct{}{}
	case kindAnchor:
		return c.readAnchor(r)
	}
	return nil
}

func (c *contents) readAnchor(r stream.Record) error {
	remote, err := decodeAnchorKey(r.Key)
	if err != nil {
		return fmt.Errorf("decode anchor: %w", err)
	}
	if r.Value == nil {
		delete(c.anchors, remote)
		return nil
	}
	a, err := decodeAnchorValue(r.Value)
	if err != nil {
		return fmt.Errorf("decode anchor of %s: %w", remote, err)
	}
	c.anchors[remote] = a
	return nil
}

// SetProducer remembers the producer id with which the flow appends, and for ever that it has: flows that read what was
// written with it know it by that. Flush before the first record is written with it.
func (s *AnchorStore) SetProducer(p Producer) {
	s.origins.set(p.ID, struct{}{})
	s.producer.set(struct{}{}, p)
}

// AddOrigin remembers for ever that the flow has a producer id. Flush before the first record is written with it.
func (s *AnchorStore) AddOrigin(id int64) { s.origins.set(id, struct{}{}) }

// Set remembers the anchor of a remote partition.
func (s *AnchorStore) Set(remote stream.Partition, a Anchor) { s.positions.set(remote, a) }

// Forget drops what was set of a remote partition that is no longer ours, so that no later Flush overwrites what its new
// owner stores. To leave without loss, Flush before; a Flush under way is not waited for.
func (s *AnchorStore) Forget(remote stream.Partition) { s.positions.forget(remote) }

// Flush stores what changed since it was last stored: that a producer id is the flow's before it becomes the one to write
// with, and that before the anchors, whose sequence numbers mean nothing under another id.
func (s *AnchorStore) Flush(ctx context.Context) error {
	err := s.origins.flush(cmp.Compare[int64], func(keys []int64, _ map[int64]struct{}) error {
		records := make([]stream.Record, len(keys))
		for i, id := range keys {
			records[i] = encodeOrigin(id)
		}
		return s.log.Append(ctx, s.topic, records)
	})
	if err == nil {
		one := func(a, b struct{}) int { return 0 }
		err = s.producer.flush(one, func(keys []struct{}, values map[struct{}]Producer) error {
			return s.log.Append(ctx, s.topic, []stream.Record{encodeProducer(values[keys[0]])})
		})
	}
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

// Noted is what one record of the topic says of who writes to the target, and where it goes on.
type Noted struct {
	Origin   int64     // a producer id of the flow
	Origins  bool      // there is one
	Producer *Producer // the id to write with from here on, or nil
	Anchored bool      // the flow has written, or was about to
	Remote   stream.Partition
	Anchor   Anchor // of Remote, with Anchored
}

// ReadNoted reads one record of the topic, as for a reader that follows it. What is taken back again stays noted.
func ReadNoted(r stream.Record) (Noted, error) {
	c := contents{map[struct{}]Producer{}, map[int64]struct{}{}, map[int64]struct{}{}, map[stream.Partition]Anchor{}}
	if err := c.read(r); err != nil {
		return Noted{}, fmt.Errorf("record at offset %d: %w", r.Offset, err)
	}
	n := Noted{Anchored: len(c.anchors) > 0}
	maps.Copy(c.noted, c.used)
	for id := range c.noted {
		n.Origin, n.Origins = id, true
	}
	for _, p := range c.producers {
		n.Producer = &p
	}
	for remote, a := range c.anchors {
		n.Remote, n.Anchor = remote, a
	}
	return n, nil
}
