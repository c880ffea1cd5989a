package restore

import (
	"context"
	"fmt"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Below is how many records of the log stand below an offset. Chunks of which all records are in are not read for it.
func (l *Log) Below(ctx context.Context, offset stream.Upstream) (int64, error) {
	var n int64
	for i := range l.spans {
		s := &l.spans[i]
		if s.From >= offset {
			break
		}
		if s.To <= offset {
			m, err := l.count(ctx, i)
			if err != nil {
				return 0, err
			}
			n += m
			continue
		}
		err := l.records(ctx, i, func(first, count int64) bool {
			n += max(min(count, int64(offset)-first), 0)
			return first+count < int64(offset)
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// At is where the n-th record stands, counted from 0; End, where there are just n of them.
func (l *Log) At(ctx context.Context, n int64) (stream.Upstream, error) {
	rest := n
	for i := range l.spans {
		m, err := l.count(ctx, i)
		if err != nil {
			return 0, err
		}
		if rest >= m {
			rest -= m
			continue
		}
		at := stream.Upstream(-1)
		err = l.records(ctx, i, func(first, count int64) bool {
			if rest < count {
				at = stream.Upstream(first + rest)
				return false
			}
			rest -= count
			return true
		})
		if err == nil && at < 0 {
			err = l.broken(i, fmt.Errorf("it has fewer records than were counted"))
		}
		return at, err
	}
	if rest > 0 {
		return 0, fmt.Errorf("there are %d records, and %d were asked for", n-rest, n)
	}
	return l.End(), nil
}

// Records is how many records there are, where that is known without reading a chunk.
func (l *Log) Records() (n int64, exact bool) {
	exact = true
	for i := range l.spans {
		m, ok := l.known(i)
		exact = exact && ok
		n += m
	}
	return n, exact
}

// known is how many records of a span are in, if its entry tells; else about how many.
func (l *Log) known(i int) (int64, bool) {
	s := &l.spans[i]
	switch {
	case s.out:
		return 0, true
	case s.Entry.Records < 0 || s.Entry.Records > int64(s.Entry.Next-s.Entry.First):
		return int64(s.To - s.From), false
	case !s.whole():
		return min(s.Entry.Records, int64(s.To-s.From)), false
	}
	return s.Entry.Records, s.clean && s.clear && (s.plain || l.cut.Raw || l.settled(i))
}

// settled says that every transaction with records in a span is known to be committed without a look at its marker.
func (l *Log) settled(i int) bool {
	s := &l.spans[i]
	if l.cut.Until != Never || len(s.Entry.Aborted) > 0 || len(s.Entry.Open) > 0 {
		return false
	}
	for _, list := range l.fates.aborted {
		for _, t := range list {
			if t.first < s.To && t.end > s.From {
				return false
			}
		}
	}
	return true
}

// count is how many records of a span are in.
func (l *Log) count(ctx context.Context, i int) (int64, error) {
	if n, ok := l.known(i); ok {
		return n, nil
	}
	l.mu.Lock()
	n, ok := l.counts[i]
	l.mu.Unlock()
	if ok {
		return n, nil
	}
	err := l.records(ctx, i, func(_, count int64) bool {
		n += count
		return true
	})
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.counts[i] = n
	l.mu.Unlock()
	return n, nil
}

// records tells the offsets of a span's records that are in, in stretches, until each returns false.
func (l *Log) records(ctx context.Context, i int, each func(first, count int64) bool) error {
	s := &l.spans[i]
	if s.out {
		return nil
	}
	raw, err := l.chunk(ctx, i)
	if err != nil {
		return err
	}
	p, err := l.page(ctx, i, s.From, raw)
	if err != nil {
		return err
	}
	shaper := borrow()
	defer giveBack(shaper)
	for _, piece := range p.pieces {
		for len(piece) > 0 {
			v, rest, err := batch.Next(piece)
			if err != nil {
				return l.broken(i, err)
			}
			piece = rest
			more := true
			switch n := int64(v.Records()); {
			case v.Control():
			case n == v.LastOffset()-v.BaseOffset()+1:
				more = each(v.BaseOffset(), n)
			case n != 0:
				err = shaper.Offsets(v, 0, func(offset int64) bool {
					more = each(offset, 1)
					return more
				})
			}
			if err != nil {
				return l.broken(i, err)
			}
			if !more {
				return nil
			}
		}
	}
	return nil
}

// Batches tells what is in, in order, as batches; transaction markers are among them.
func (l *Log) Batches(ctx context.Context, each func(batch.View) error) error {
	for i := range l.spans {
		if l.spans[i].out {
			continue
		}
		raw, err := l.chunk(ctx, i)
		if err != nil {
			return err
		}
		p, err := l.page(ctx, i, l.spans[i].From, raw)
		if err != nil {
			return err
		}
		for _, piece := range p.pieces {
			for len(piece) > 0 {
				v, rest, err := batch.Next(piece)
				if err != nil {
					return l.broken(i, err)
				}
				piece = rest
				if err := each(v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
