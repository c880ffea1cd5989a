package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Recounting: which source offsets the records of a stretch of the target have, where no acknowledgement is left that told.
//
// Records were copied one after the other, so counting is enough if nothing happened since: batch headers tell how many
// records the source has between two known places, and which offsets those have. What may have happened is that either
// side was compacted, that somebody else has written to the target, or that MM2 has repeated some; so a count is believed
// when the producer sequences on the target show one writer and records here and there are equal, or when all are equal.
// Otherwise the records are matched by their contents (match.go).

// ErrAmbiguous is in the error of a gap whose records do not tell which source offsets they have. What is returned with it
// ends before the place where that begins.
var ErrAmbiguous = errors.New("the records do not tell which source offsets they have")

// Recounter finds the runs inside of gaps. It keeps nothing between gaps, and may be used concurrently.
type Recounter struct {
	Source, Remote       Reader
	SourceLog, RemoteLog Log
	Committed            bool     // what a read_committed consumer of the source would not see was not copied
	Origins              *Origins // of the flow that writes into the source topics; nil where none does
	// Ours are the producer ids of the flow where the remote partition has other writers (SharedRemote): only batches with one
	// of them count. Nil counts all.
	Ours []int64
	// Progress is told how many bytes were read, on either side, each time that some were; nil for nobody.
	Progress func(bytes int64)

	window int // for tests: records that match looks at; 0 is matchWindow
}

// survey is one gap on its way.
type survey struct {
	*Recounter
	gap      stream.Gap
	from, to int64 // of the source: what there is to look at
	tail     bool  // to is where the source ends: no known place
	back     bool  // from is no known place: counted from the other end
	first    int64 // log start of the target
	ours     func(batch.View) bool
	shaper   *batch.Shaper
}

// Recount gives the runs inside of a gap, in order. Of a gap that is open at its beginning, it looks at what the source has
// from Wanted on. A surviving source record between two runs, or between a run and a known place, is not on the target any
// more, or never was; what lies before the first run of a gap open at its beginning, or behind the last of one open at its
// end, is not known.
func (r *Recounter) Recount(ctx context.Context, g stream.Gap) ([]stream.Run, error) {
	s, err := r.begin(ctx, g)
	if err != nil {
		return nil, fmt.Errorf("recount %s: %w", g.Source, err)
	}
	runs, err := s.recount(ctx)
	if err != nil {
		return runs, fmt.Errorf("recount %s from %d to %d, which is %s from %d to %d: %w", g.Source, s.from, s.to, g.Remote, g.FromDown, g.ToDown, err)
	}
	return runs, nil
}

// Earliest is where a source partition starts now.
func (r *Recounter) Earliest(ctx context.Context, source stream.Partition) (stream.Upstream, error) {
	at, err := logEnd(ctx, r.SourceLog, source, stream.Earliest)
	return stream.Upstream(at), err
}

// begin finds out what there is to look at.
func (r *Recounter) begin(ctx context.Context, g stream.Gap) (*survey, error) {
	s := &survey{Recounter: r, gap: g, from: int64(g.From), to: int64(g.To), tail: g.To < 0, back: g.From < 0, shaper: batch.NewShaper()}
	earliest, err := logEnd(ctx, r.SourceLog, g.Source, stream.Earliest)
	if err != nil {
		return nil, err
	}
	if s.back {
		s.from = max(int64(g.Wanted), 0)
	}
	if s.from < earliest { // what stood before is gone: the count fits at the other end only
		s.from, s.back = earliest, true
	}
	if s.tail {
		if s.to, err = logEnd(ctx, r.SourceLog, g.Source, stream.Latest); err != nil {
			return nil, err
		}
	}
	if s.first, err = logEnd(ctx, r.RemoteLog, g.Remote, stream.Earliest); err != nil {
		return nil, err
	}
	if len(r.Ours) > 0 {
		s.ours = func(v batch.View) bool { return slices.Contains(r.Ours, v.ProducerID()) }
	}
	return s, nil
}

func (s *survey) recount(ctx context.Context) ([]stream.Run, error) {
	if s.from > int64(s.gap.From) && s.full() { // the source has deleted some since, and is not needed
		if one, err := s.oneWriter(ctx); one || err != nil {
			return []stream.Run{{Up: s.gap.From, Down: s.gap.FromDown, Count: s.gap.Records()}}, err
		}
	}
	if (s.from >= s.to && (!s.tail || s.ours == nil)) || s.gap.Records() <= 0 {
		return nil, nil
	}
	target, copied, one, err := s.targetStretches(ctx)
	if err != nil || copied == 0 && (s.tail || s.ours == nil) {
		return nil, err
	}
	most := int64(-1)
	if s.tail {
		most = copied
	}
	if s.tail && s.ours != nil && s.to < int64(s.gap.From)+copied { // a new leader may not show all at once
		return nil, fmt.Errorf("%d records of %s were copied, and the source ends at %d", copied, s.gap.Remote, s.to)
	}
	source, count, err := s.stretches(ctx, s.source(), s.gap.Source, s.from, s.to, s.Committed, s.Origins, nil, most)
	if err != nil || count == 0 {
		return nil, err
	}
	if copied == 0 { // somebody else may have copied them before
		return nil, ErrAmbiguous
	}
	if runs := s.align(source, target, count, copied); len(runs) > 0 {
		runs, sure, err := s.confirm(ctx, runs, one)
		if err != nil || sure {
			return runs, err
		}
	}
	return s.match(ctx, source[0].first)
}

// full says that the target has as many records between two known places as the source has offsets. If nobody else has written
// there, and none came twice, each offset has its record.
func (s *survey) full() bool {
	return s.gap.From >= 0 && !s.tail && s.ours == nil && s.gap.Records() == int64(s.gap.To-s.gap.From)
}

// stretch is so many offsets, one after the other, with a record each.
type stretch struct{ first, count int64 }

// stretches lists the offsets that have records; with most >= 0, of so many records.
func (s *survey) stretches(ctx context.Context, from Reader, p stream.Partition, at, end int64, committed bool, origins *Origins,
	keeps func(batch.View) bool, most int64) (list []stretch, total int64, err error) {
	add := func(first, count int64) {
		if most >= 0 {
			count = min(count, most-total)
		}
		if count <= 0 {
			return
		}
		total += count
		if n := len(list); n > 0 && list[n-1].first+list[n-1].count == first {
			list[n-1].count += count
			return
		}
		list = append(list, stretch{first, count})
	}
	reached, err := batchesUpTo(ctx, from, p, at, end, committed, origins, func(v batch.View) (bool, error) {
		if keeps != nil && !keeps(v) {
			return true, nil
		}
		if v.LastOffset()-v.BaseOffset()+1 == int64(v.Records()) {
			first := max(v.BaseOffset(), at)
			add(first, min(v.LastOffset()+1, end)-first)
		} else if err := s.shaper.Offsets(v, at, func(offset int64) bool {
			if offset < end {
				add(offset, 1)
			}
			return offset < end
		}); err != nil {
			return false, fmt.Errorf("read %s: %w", p, err)
		}
		return most < 0 || total < most, nil
	})
	if err == nil && reached < end && (most < 0 || total == 0) { // what is not seen yet is not what is not there
		err = (&cursor{partition: p, at: reached, end: end}).short()
	}
	return list, total, err
}

// targetStretches are the target offsets of the gap at which records of the flow were written, whether or not they are
// still there; one says that sequence numbers show that no record among them is of another producer or came twice.
func (s *survey) targetStretches(ctx context.Context) (list []stretch, count int64, one bool, err error) {
	if s.ours == nil {
		one, err = s.oneWriter(ctx)
		return []stretch{{int64(s.gap.FromDown), s.gap.Records()}}, s.gap.Records(), one, err
	}
	var begun batch.View
	one = true
	keeps := func(v batch.View) bool {
		if !s.ours(v) {
			return false
		}
		if count == 0 {
			begun = v
		}
		first := max(v.BaseOffset(), int64(s.gap.FromDown))
		one = one && sameProducer(begun, v) &&
			following(sequenceAt(begun, max(begun.BaseOffset(), int64(s.gap.FromDown))), count) == sequenceAt(v, first)
		add := min(v.LastOffset()+1, int64(s.gap.ToDown)) - first
		count += add
		if n := len(list); n > 0 && list[n-1].first+list[n-1].count == first {
			list[n-1].count += add
		} else {
			list = append(list, stretch{first, add})
		}
		return false
	}
	_, _, err = s.stretches(ctx, s.remote(), s.gap.Remote, max(int64(s.gap.FromDown), s.first), int64(s.gap.ToDown), false, nil, keeps, -1)
	return list, count, one && s.first <= int64(s.gap.FromDown), err
}

// align lays the source's records beside the target's, from the known place on; nil where the numbers do not fit.
func (s *survey) align(source, target []stretch, count, copied int64) []stream.Run {
	switch {
	case s.back && s.tail, !s.back && count != copied:
		return nil
	case s.back && count > copied:
		source = without(source, count-copied)
	case s.back:
		target = without(target, copied-count)
	}
	var runs []stream.Run
	for len(source) > 0 && len(target) > 0 {
		n := min(source[0].count, target[0].count)
		runs = append(runs, stream.Run{Up: stream.Upstream(source[0].first), Down: stream.Downstream(target[0].first), Count: n})
		source, target = without(source, n), without(target, n)
	}
	if s.back { // where the target has nothing left, nothing can be held against it
		runs = cut(runs, stream.Downstream(s.first), -1)
	}
	return runs
}

// without takes the first n records off.
func without(list []stretch, n int64) []stretch {
	for n > 0 && n >= list[0].count {
		n -= list[0].count
		list = list[1:]
	}
	if n > 0 {
		list = append([]stretch{{list[0].first + n, list[0].count - n}}, list[1:]...)
	}
	return list
}

// cut is what runs have from a target offset on; with most >= 0, of so many records.
func cut(runs []stream.Run, from stream.Downstream, most int64) []stream.Run {
	i := sort.Search(len(runs), func(i int) bool { return runs[i].Down+stream.Downstream(runs[i].Count) > from })
	var list []stream.Run
	for _, r := range runs[i:] {
		if over := int64(from - r.Down); over > 0 {
			r.Up, r.Down, r.Count = r.Up+stream.Upstream(over), from, r.Count-over
		}
		if most >= 0 {
			r.Count = min(r.Count, most)
			most -= r.Count
		}
		if r.Count == 0 {
			break
		}
		list = append(list, r)
	}
	return list
}

// until is what runs have before a target offset.
func until(runs []stream.Run, end stream.Downstream) []stream.Run {
	i := sort.Search(len(runs), func(i int) bool { return runs[i].Down+stream.Downstream(runs[i].Count) >= end })
	if i == len(runs) {
		return runs
	}
	list := slices.Clone(runs[:i+1])
	if list[i].Count = int64(end - list[i].Down); list[i].Count <= 0 {
		return list[:i]
	}
	return list
}
