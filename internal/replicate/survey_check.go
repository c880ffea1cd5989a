package replicate

import (
	"context"
	"fmt"
	"slices"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Whether a count is to be believed.

const (
	samples       = 9        // places at which records are held against each other, the ends among them
	sampleRecords = 16       // at each
	sampleBytes   = 64 << 10 // read for that
)

// confirm says whether runs that were counted are so, and cuts off what is not shown by any record. one says that the target's
// records are each another record of the source, in order.
func (s *survey) confirm(ctx context.Context, runs []stream.Run, one bool) ([]stream.Run, bool, error) {
	last := runs[len(runs)-1]
	begin, end := runs[0].Down, last.Down+stream.Downstream(last.Count)
	if one {
		h, err := s.sample(ctx, runs, begin, end)
		if err != nil {
			return nil, false, err
		}
		switch {
		case h.differs:
			return nil, false, nil
		case !s.back && !s.tail: // as many as were copied
			return runs, true, nil
		case s.back && h.equal > 0 && h.first < begin+sampleRecords:
			return s.certain(ctx, runs, h)
		case s.tail && h.last >= end-sampleRecords:
			return s.certain(ctx, runs, h)
		}
	}
	h, err := s.hold(ctx, runs, 0)
	if err != nil || h.differs || h.equal == 0 || s.tail && h.last < end-sampleRecords {
		return nil, false, err
	}
	if s.back || s.tail {
		return s.certain(ctx, runs, h)
	}
	return runs, true, nil
}

// certain cuts runs that were counted from one known place off behind the last record at the other end that stands where it
// was counted beyond doubt: then all between were counted right. Had the source lost records since, each one there would be
// counted beside its place and could still be equal to the record at that place, so it must be the only one of its kind as
// far as offsets were lost at most. (Of two equal records, the same millisecond among what is equal, the source may have lost
// one that nothing tells of any more; the other then passes for it.)
func (s *survey) certain(ctx context.Context, runs []stream.Run, h agreement) ([]stream.Run, bool, error) {
	near := cut(runs, h.first, sampleRecords)
	if s.tail {
		near = until(cut(runs, max(h.last+1-sampleRecords, runs[0].Down), -1), h.last+1)
	}
	first, last := near[0], near[len(near)-1]
	target := s.targetCursor(max(int64(first.Down), s.first), int64(last.Down)+last.Count)
	var side *cursor
	if s.tail { // a record's own offset is at least as far from the known place as its copy
		side = s.sourceCursor(max(s.from, s.from+int64(first.Down-s.gap.FromDown)), int64(last.Up)+last.Count)
		if s.ours != nil {
			side.at = s.from
		}
	} else {
		side = s.targetCursor(max(int64(s.gap.ToDown)-(s.to-int64(first.Up)), int64(s.gap.FromDown), s.first), target.end)
		if s.ours != nil {
			side.at = max(int64(s.gap.FromDown), s.first)
		}
	}
	var candidates []mark
	alone := make(map[uint64]int64)  // where a digest was seen first
	copies := make(map[uint64]int64) // how many there are up to the end of the target
	for {
		m, ok, err := target.next(ctx)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		candidates, alone[m.digest] = append(candidates, m), -1
		copies[m.digest]++
	}
	for {
		m, ok, err := side.next(ctx)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		if at, of := alone[m.digest]; of && at < 0 {
			alone[m.digest] = m.offset
		}
	}
	if s.tail {
		slices.Reverse(candidates)
	}
	for _, c := range candidates {
		own := cut(near, stream.Downstream(c.offset), 1)
		if len(own) == 0 || own[0].Down != stream.Downstream(c.offset) {
			continue
		}
		if s.tail && copies[c.digest] == 1 && alone[c.digest] == int64(own[0].Up) {
			return until(runs, own[0].Down+1), true, nil
		}
		if !s.tail && alone[c.digest] == c.offset {
			return cut(runs, own[0].Down, -1), true, nil
		}
	}
	return nil, false, nil
}

// agreement is what came out of holding records of the target against those of the source that they are to be.
type agreement struct {
	equal   int64
	differs bool
	first   stream.Downstream // the first that is equal
	last    stream.Downstream // and the last; -1 without any
}

// sample holds some records against each other, here and there.
func (s *survey) sample(ctx context.Context, runs []stream.Run, begin, end stream.Downstream) (agreement, error) {
	all := agreement{first: -1, last: -1}
	for i := range stream.Downstream(samples) {
		at := begin + (max(end-sampleRecords, begin)-begin)*i/(samples-1)
		h, err := s.hold(ctx, cut(runs, at, sampleRecords), sampleBytes)
		if err != nil {
			return all, err
		}
		if all.equal == 0 {
			all.first = h.first
		}
		all.equal += h.equal
		all.last = max(all.last, h.last)
		if h.differs {
			all.differs = true
			break
		}
	}
	return all, nil
}

// hold holds the records that the target still has of runs against the source's.
func (s *survey) hold(ctx context.Context, runs []stream.Run, size int32) (agreement, error) {
	h := agreement{first: -1, last: -1}
	if len(runs) == 0 {
		return h, nil
	}
	end := runs[len(runs)-1]
	source := s.sourceCursor(int64(runs[0].Up), int64(end.Up)+end.Count)
	target := s.targetCursor(max(int64(runs[0].Down), s.first), int64(end.Down)+end.Count)
	source.size, target.size = size, size
	theirs := mark{offset: -1}
	for {
		m, ok, err := target.next(ctx)
		if err != nil {
			return h, err
		}
		if !ok {
			return h, target.short()
		}
		for len(runs) > 0 && int64(runs[0].Down)+runs[0].Count <= m.offset {
			runs = runs[1:]
		}
		if len(runs) == 0 || int64(runs[0].Down) > m.offset {
			continue
		}
		up := int64(runs[0].Up) + m.offset - int64(runs[0].Down)
		for theirs.offset < up {
			if theirs, ok, err = source.next(ctx); err != nil {
				return h, err
			}
			if !ok { // compacted in this moment
				h.differs = true
				return h, nil
			}
		}
		if theirs.offset != up || theirs.digest != m.digest {
			h.differs = true
			return h, nil
		}
		if h.equal == 0 {
			h.first = stream.Downstream(m.offset)
		}
		h.equal, h.last = h.equal+1, stream.Downstream(m.offset)
	}
}

// provenAtOnce is how many records are proven by the sequence numbers at their ends: less than half of the circle.
const provenAtOnce = 1 << 29

// oneWriter says that one producer has written all records of the gap: the sequence numbers at its ends are as far apart as
// the offsets.
func (s *survey) oneWriter(ctx context.Context) (bool, error) {
	at, last := int64(s.gap.FromDown), int64(s.gap.ToDown)-1
	if at < s.first {
		return false, nil
	}
	before, ok, err := s.batchAt(ctx, at)
	for at < last && ok && err == nil {
		next := min(at+provenAtOnce, last)
		var v batch.View
		if v, ok, err = s.batchAt(ctx, next); ok {
			ok = sameProducer(before, v) && following(sequenceAt(before, at), next-at) == sequenceAt(v, next)
		}
		at, before = next, v
	}
	return ok && err == nil && before.ProducerID() >= 0 && before.BaseSequence() >= 0, err
}

// batchAt is the batch of the target that holds an offset; not ok if the cleaner has taken it.
func (s *survey) batchAt(ctx context.Context, offset int64) (v batch.View, ok bool, err error) {
	f, err := s.remote().Read(ctx, s.gap.Remote, offset, sampleBytes, false)
	if err != nil {
		return v, false, fmt.Errorf("read %s at %d: %w", s.gap.Remote, offset, err)
	}
	r, err := route(ctx, f, stream.Upstream(offset), Epoch{}, nil)
	if err != nil || len(r.views) == 0 || r.views[0].BaseOffset() > offset {
		return v, false, err
	}
	return r.views[0], true, nil
}

func sameProducer(a, b batch.View) bool {
	return a.ProducerID() == b.ProducerID() && a.ProducerEpoch() == b.ProducerEpoch()
}

// sequenceAt is the sequence number of the record at an offset of a batch.
func sequenceAt(v batch.View, offset int64) int32 {
	return following(v.BaseSequence(), offset-v.BaseOffset())
}

func (s *survey) sourceCursor(at, end int64) *cursor {
	return &cursor{from: s.source(), partition: s.gap.Source, committed: s.Committed, at: at, end: end, shaper: batch.NewShaper(), origins: s.Origins}
}

func (s *survey) targetCursor(at, end int64) *cursor {
	return &cursor{from: s.remote(), partition: s.gap.Remote, committed: true, at: at, end: end, shaper: batch.NewShaper(), keeps: s.ours}
}

// watchedReader tells of what is read.
type watchedReader struct {
	Reader
	progress func(bytes int64)
}

// Read implements Reader.
func (w watchedReader) Read(ctx context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error) {
	f, err := w.Reader.Read(ctx, p, offset, maxBytes, committed)
	if w.progress != nil {
		w.progress(int64(len(f.Records)))
	}
	return f, err
}

func (s *survey) source() Reader { return watchedReader{s.Source, s.Progress} }
func (s *survey) remote() Reader { return watchedReader{s.Remote, s.Progress} }

// logEnd is one end of one partition.
func logEnd(ctx context.Context, of Log, p stream.Partition, at int64) (int64, error) {
	offsets, failed, err := of.Offsets(ctx, []stream.Partition{p}, at)
	if err == nil {
		err = failed[p]
	}
	offset, ok := offsets[p]
	if err == nil && !ok {
		err = fmt.Errorf("no answer")
	}
	if err != nil {
		return 0, fmt.Errorf("find the ends of %s: %w", p, err)
	}
	return offset, nil
}
