package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/batch"
	"tandem/internal/drill/compare"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/stream"
)

const readBytes = 1 << 20 // of a fetch

// logReader reads a partition as a consumer does, up to an end.
type logReader struct {
	wire      *kafka.Wire
	partition stream.Partition
	start     int64
	next, end int64
	committed bool // without the records of aborted transactions
	shaper    *batch.Shaper
	buffer    []compare.Record
	quiet     int // answers in a row without records
	failures  int // in a row
}

func newLogReader(wire *kafka.Wire, p stream.Partition, start, from, end int64, committed bool) *logReader {
	return &logReader{wire: wire, partition: p, start: start, next: max(start, from), end: end, committed: committed, shaper: batch.NewShaper()}
}

// Start is where the log begins, as of the last look.
func (l *logReader) Start() int64 { return l.start }

// End is where it is read to.
func (l *logReader) End() int64 { return l.end }

// Next is the next record; false at the end.
func (l *logReader) Next(ctx context.Context) (compare.Record, bool, error) {
	for len(l.buffer) == 0 {
		if l.next >= l.end {
			return compare.Record{}, false, nil
		}
		if err := l.fetch(ctx); err != nil {
			return compare.Record{}, false, fmt.Errorf("read %s at %d: %w", l.partition, l.next, err)
		}
	}
	r := l.buffer[0]
	l.buffer = l.buffer[1:]
	return r, true, nil
}

// fetch reads on. What passes is tried again for some seconds.
func (l *logReader) fetch(ctx context.Context) error {
	f, err := l.wire.Read(ctx, l.partition, l.next, readBytes, l.committed)
	if code, ok := stream.CodeOf(err); ok && code == stream.CodeOffsetOutOfRange {
		return l.outOfRange(ctx)
	}
	if err != nil {
		kind := kafka.Classify(err)
		if l.failures++; l.failures > 20 || ctx.Err() != nil || kind != kafka.Retriable && kind != kafka.Unreachable {
			return err
		}
		pause(ctx, 250*time.Millisecond)
		return ctx.Err()
	}
	l.failures = 0
	before := l.next
	if err := l.take(f); err != nil {
		return err
	}
	if l.next > before {
		l.quiet = 0
		return nil
	}
	// Behind what compaction left there may be nothing up to the end.
	if l.quiet++; l.quiet > 2 {
		l.next = l.end
	}
	return nil
}

// outOfRange goes on where retention has moved the beginning to.
func (l *logReader) outOfRange(ctx context.Context) error {
	starts, failed, err := l.wire.Offsets(ctx, []stream.Partition{l.partition}, stream.Earliest)
	if err = errors.Join(err, anyOf(failed)); err != nil {
		return err
	}
	if start := starts[l.partition]; start > l.next {
		l.start, l.next = start, start
		return nil
	}
	return errors.New("the log is shorter than it was")
}

func (l *logReader) take(f stream.Fetched) error {
	aborted := newAborted(f.Aborted)
	for raw := f.Records; len(raw) > 0; {
		v, rest, err := batch.Next(raw)
		if errors.Is(err, batch.ErrTruncated) {
			return nil
		}
		if err == nil {
			err = v.Verify()
		}
		if err != nil {
			return err
		}
		raw = rest
		keep, err := aborted.keeps(v)
		if err != nil {
			return err
		}
		if v.LastOffset() < l.next {
			continue
		}
		if keep {
			err = l.shaper.Records(v, func(r batch.Record) error { return l.add(r) })
		}
		if err != nil {
			return err
		}
		l.next = v.LastOffset() + 1
	}
	return nil
}

// add keeps a copy: the bytes are good until the next batch.
func (l *logReader) add(r batch.Record) error {
	if r.Offset < l.next || r.Offset >= l.end {
		return nil
	}
	key, value, headers, err := r.Split()
	if err != nil {
		return err
	}
	out := compare.Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: bytes.Clone(key), Value: bytes.Clone(value)}
	for _, h := range headers {
		out.Headers = append(out.Headers, compare.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	l.buffer = append(l.buffer, out)
	return nil
}

// aborted are the transactions of an answer that came to nothing: a producer named in the list is out from its first aborted offset to its
// next abort marker.
type aborted struct {
	coming []stream.AbortedTransaction // by first offset
	out    map[int64]bool
}

func newAborted(list []stream.AbortedTransaction) *aborted {
	coming := slices.Clone(list)
	slices.SortFunc(coming, func(a, b stream.AbortedTransaction) int { return int(a.First - b.First) })
	return &aborted{coming, make(map[int64]bool)}
}

func (a *aborted) keeps(v batch.View) (bool, error) {
	for len(a.coming) > 0 && int64(a.coming[0].First) <= v.LastOffset() {
		a.out[a.coming[0].ProducerID] = true
		a.coming = a.coming[1:]
	}
	if !v.Control() {
		return !v.Transactional() || !a.out[v.ProducerID()], nil
	}
	if len(a.out) > 0 {
		abort, err := v.Aborts()
		if err != nil {
			return false, err
		}
		if abort {
			delete(a.out, v.ProducerID())
		}
	}
	return false, nil
}

// exactPlaces are what the map of offsets says of one partition.
type exactPlaces struct {
	offsets *offsetsync.Map
	remote  stream.Partition
}

// Down finds a record of the source on the target. That the map's place is really the record's, and not that of one behind it, is seen on
// the way back.
func (e exactPlaces) Down(ctx context.Context, up int64) (down int64, copied, known bool, err error) {
	end, _, ok := e.offsets.Covered(e.remote)
	if !ok || up >= int64(end) {
		return -1, false, false, nil
	}
	t, err := e.offsets.Translate(ctx, e.remote, stream.Upstream(up))
	if err != nil || t.Class != stream.Exact {
		return -1, false, false, err
	}
	back, err := e.offsets.Return(ctx, e.remote, t.Offset)
	if err != nil || back.Class != stream.Exact {
		return -1, false, false, err
	}
	return int64(t.Offset), int64(back.Offset) == up, true, nil
}

// Up finds which record of the source stands at an offset of the target.
func (e exactPlaces) Up(ctx context.Context, down int64) (up int64, ours, known bool, err error) {
	_, end, ok := e.offsets.Covered(e.remote)
	if !ok || down >= int64(end) {
		return -1, false, true, nil
	}
	back, err := e.offsets.Return(ctx, e.remote, stream.Downstream(down))
	if err != nil || back.Class != stream.Exact {
		return -1, false, false, err
	}
	t, err := e.offsets.Translate(ctx, e.remote, back.Offset)
	if err != nil || t.Class != stream.Exact {
		return -1, false, false, err
	}
	if int64(t.Offset) != down {
		return -1, false, true, nil
	}
	return int64(back.Offset), true, true, nil
}
