package position

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// Store keeps the positions of one flow in MM2's offsets topic. Its methods may be called concurrently.
type Store struct {
	log        Log
	topic      string
	partitions int32
	flow       stream.Flow
	ledger     *ledger[stream.Partition, stream.Upstream]
}

// New makes a Store over topic, which has so many partitions in the target's metadata: at least one, and not necessarily
// as many as offset.storage.partitions asked for when someone else made the topic.
func New(log Log, topic string, partitions int32, flow stream.Flow) *Store {
	return &Store{log: log, topic: topic, partitions: partitions, flow: flow,
		ledger: newLedger[stream.Partition, stream.Upstream]()}
}

// Load reads the positions of the flow: the upstream offset of the last replicated record of each source partition,
// after which replication resumes. A partition without an entry was never replicated. A position that cannot be read is
// an error, since going on without it would replicate its partition all over.
func (s *Store) Load(ctx context.Context) (map[stream.Partition]stream.Upstream, error) {
	positions, err := s.ledger.load(func() (map[stream.Partition]stream.Upstream, error) { return s.read(ctx) })
	if err != nil {
		return nil, fmt.Errorf("load positions of %s from %s: %w", s.flow, s.topic, err)
	}
	return positions, nil
}

// found is the last record of a key in one partition of the topic.
type found struct {
	last stream.Upstream
	at   time.Time
	err  error
}

func (s *Store) read(ctx context.Context) (map[stream.Partition]stream.Upstream, error) {
	// One key stands in several partitions of the topic when it was written with another partitioner or partition count.
	seen := map[stream.Partition]map[int32]found{}
	err := s.log.ReadAll(ctx, s.topic, true, func(r stream.Record) error {
		cluster, p, ok := decodeKey(r.Key)
		if !ok || cluster != s.flow.Source {
			return nil
		}
		last, err := decodeValue(r.Value)
		if err != nil {
			err = fmt.Errorf("position of %s at %s/%d offset %d: %w; write a value like %s, or a tombstone to begin anew",
				p, s.topic, r.Partition, r.Offset, err, encodeValue(12345))
		}
		if seen[p] == nil {
			seen[p] = map[int32]found{}
		}
		seen[p][r.Partition] = found{last: last, at: r.Timestamp, err: err}
		return nil
	})
	if err != nil {
		return nil, err
	}
	positions := map[stream.Partition]stream.Upstream{}
	for p, records := range seen {
		f := latest(records)
		if f.err != nil {
			return nil, f.err
		}
		if f.last != none {
			positions[p] = f.last
		}
	}
	return positions, nil
}

// latest chooses among the last records of one key: the youngest, and of several as young the lowest position, which may
// repeat records but does not lose any.
func latest(records map[int32]found) found {
	var best found
	first := true
	for _, f := range records {
		if order := f.at.Compare(best.at); first || order > 0 || order == 0 && f.last < best.last {
			best, first = f, false
		}
	}
	return best
}

// Set remembers the upstream offset of the last record replicated of a source partition.
func (s *Store) Set(p stream.Partition, last stream.Upstream) { s.ledger.set(p, last) }

// Forget drops what was set of a partition that is no longer ours, so that no later Flush overwrites what its new owner
// stores. To leave without loss, Flush before; a Flush under way is not waited for.
func (s *Store) Forget(p stream.Partition) { s.ledger.forget(p) }

// Flush stores the positions that changed since they were last stored.
func (s *Store) Flush(ctx context.Context) error {
	err := s.ledger.flush(comparePartitions, func(keys []stream.Partition, values map[stream.Partition]stream.Upstream) error {
		records := make([]stream.Record, len(keys))
		for i, p := range keys {
			key := encodeKey(s.flow.Source, p)
			records[i] = stream.Record{Partition: partitionOf(key, s.partitions), Key: key, Value: encodeValue(values[p])}
		}
		return s.log.Append(ctx, s.topic, records)
	})
	if err != nil {
		return fmt.Errorf("flush positions of %s to %s: %w", s.flow, s.topic, err)
	}
	return nil
}

func comparePartitions(a, b stream.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}
