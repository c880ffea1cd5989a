package position

import (
	"context"
	"maps"
	"slices"
	"sync"

	"tandem/internal/stream"
)

// Log is a compacted topic of the target cluster.
type Log interface {
	// ReadAll calls each for every record from the beginning of all partitions to what was their end when the call
	// began, in offset order within a partition, never concurrently; with committed it leaves out records of open and
	// aborted transactions. It stops at the first error that each returns, and returns that. A topic that does not exist
	// is an error.
	ReadAll(ctx context.Context, topic string, committed bool, each func(stream.Record) error) error
	// Append returns nil once all the records are appended with acks=all, each to the partition that it names and in
	// this order within a partition. A zero Timestamp stands for the time of sending. After an error any of the records
	// may or may not have been appended.
	Append(ctx context.Context, topic string, records []stream.Record) error
}

// batchSize is how many records one Append takes.
const batchSize = 500

// ledger holds what was set and what of it is known to be stored.
type ledger[K, V comparable] struct {
	flushing sync.Mutex // held by one load or flush at a time; taken before mu

	mu      sync.Mutex // guards the maps
	current map[K]V
	stored  map[K]V
}

func newLedger[K, V comparable]() *ledger[K, V] {
	return &ledger[K, V]{current: map[K]V{}, stored: map[K]V{}}
}

func (l *ledger[K, V]) set(k K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current[k] = v
}

func (l *ledger[K, V]) forget(k K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.current, k)
	delete(l.stored, k) // someone else will store other values
}

// load replaces what is known to be stored.
func (l *ledger[K, V]) load(read func() (map[K]V, error)) (map[K]V, error) {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	found, err := read()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored = maps.Clone(found)
	return found, nil
}

// flush hands what changed to write, in the order of compare. A batch that was written counts as stored even when a
// later one fails, and a value set meanwhile stays for the next flush.
func (l *ledger[K, V]) flush(compare func(a, b K) int, write func(keys []K, values map[K]V) error) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	changed := l.changed()
	for keys := range slices.Chunk(slices.SortedFunc(maps.Keys(changed), compare), batchSize) {
		l.unstore(keys) // until write returns nil, what the topic holds of them is unknown
		if err := write(keys, changed); err != nil {
			return err
		}
		l.store(keys, changed)
	}
	return nil
}

func (l *ledger[K, V]) unstore(keys []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		delete(l.stored, k)
	}
}

func (l *ledger[K, V]) store(keys []K, values map[K]V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		if _, ours := l.current[k]; ours {
			l.stored[k] = values[k]
		}
	}
}

func (l *ledger[K, V]) changed() map[K]V {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := map[K]V{}
	for k, v := range l.current {
		if was, known := l.stored[k]; !known || was != v {
			changed[k] = v
		}
	}
	return changed
}
