package checkpoint

import (
	"fmt"

	"tandem/internal/stream"
)

// Known is what the target knows of the source: where its partitions ended, what its groups had committed, and the
// checkpoints. It is filled from the records of two topics, given to it in the order of their logs; the source is not
// needed for it.
//
// A record that cannot be read is passed over, and the error says which: what is known of its key stays what it was.
type Known struct {
	ends map[string]map[int32]stream.SourceEnd // by topic: a record holds all partitions of one

	Groups      map[string]stream.GroupOffsets                    // by group; without those that are gone
	Checkpoints map[string]map[stream.Partition]stream.Checkpoint // by group and partition of the target, the last of each
}

// NewKnown makes a Known that knows nothing.
func NewKnown() *Known {
	return &Known{
		ends:        map[string]map[int32]stream.SourceEnd{},
		Groups:      map[string]stream.GroupOffsets{},
		Checkpoints: map[string]map[stream.Partition]stream.Checkpoint{},
	}
}

// Ends are the ends of all source partitions that are known.
func (k *Known) Ends() map[stream.Partition]stream.SourceEnd {
	ends := map[stream.Partition]stream.SourceEnd{}
	for topic, partitions := range k.ends {
		for number, e := range partitions {
			ends[stream.Partition{Topic: topic, Number: number}] = e
		}
	}
	return ends
}

// TakeTandem takes a record of mm2-tandem.A.internal in; records of other kinds are passed over without an error.
func (k *Known) TakeTandem(r stream.Record) error {
	if len(r.Key) < 2 {
		return nil
	}
	var err error
	switch r.Key[1] {
	case stream.KindEnds:
		err = k.takeEnds(r)
	case stream.KindGroup:
		err = k.takeGroup(r)
	}
	if err != nil {
		return fmt.Errorf("record at offset %d: %w", r.Offset, err)
	}
	return nil
}

func (k *Known) takeEnds(r stream.Record) error {
	topic, err := nameIn(r.Key, stream.KindEnds)
	if err != nil {
		return fmt.Errorf("decode key of ends: %w", err)
	}
	if r.Value == nil {
		delete(k.ends, topic)
		return nil
	}
	ends, err := decodeEnds(r.Value)
	if err != nil {
		return fmt.Errorf("decode ends of topic %s: %w", topic, err)
	}
	k.ends[topic] = ends
	return nil
}

func (k *Known) takeGroup(r stream.Record) error {
	group, err := nameIn(r.Key, stream.KindGroup)
	if err != nil {
		return fmt.Errorf("decode key of a group: %w", err)
	}
	if r.Value == nil {
		delete(k.Groups, group)
		return nil
	}
	offsets, err := decodeGroup(group, r.Value)
	if err != nil {
		return fmt.Errorf("decode offsets of group %s: %w", group, err)
	}
	k.Groups[group] = offsets
	return nil
}

// TakeCheckpoint takes a record of A.checkpoints.internal in. A tombstone, which neither MM2 nor Tandem writes, takes the
// checkpoint of its key back.
func (k *Known) TakeCheckpoint(r stream.Record) error {
	if r.Value == nil {
		c, err := decodeCheckpointKey(r.Key)
		if err != nil {
			return fmt.Errorf("record at offset %d: decode key of checkpoint: %w", r.Offset, err)
		}
		delete(k.Checkpoints[c.Group], c.Remote)
		return nil
	}
	c, err := decodeCheckpoint(r)
	if err != nil {
		return fmt.Errorf("record at offset %d: %w", r.Offset, err)
	}
	if k.Checkpoints[c.Group] == nil {
		k.Checkpoints[c.Group] = map[stream.Partition]stream.Checkpoint{}
	}
	k.Checkpoints[c.Group][c.Remote] = c
	return nil
}
