package restore

import (
	"context"
	"slices"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// LeftOut counts records that are archived and not restored.
type LeftOut struct {
	Aborted   int64 // of aborted transactions
	Undecided int64 // of transactions that were open at the cut, or were committed behind it
	Later     int64 // whose timestamp is behind the moment
	Earlier   int64 // whose timestamp is before the first one that is wanted
}

func (o *LeftOut) add(p LeftOut) {
	o.Aborted += p.Aborted
	o.Undecided += p.Undecided
	o.Later += p.Later
	o.Earlier += p.Earlier
}

// page is what a reader sees of a span: batches one behind the other, in pieces of whole batches.
type page struct {
	pieces [][]byte
	left   LeftOut
}

// shapers are those that nobody uses: what decodes batches is large, and a few are enough.
var shapers = make(chan *batch.Shaper, lanes)

func borrow() *batch.Shaper {
	select {
	case s := <-shapers:
		return s
	default:
		return batch.NewShaper()
	}
}

func giveBack(s *batch.Shaper) {
	select {
	case shapers <- s:
	default:
	}
}

// pager makes a page.
type pager struct {
	log  *Log
	i    int
	raw  []byte // the chunk
	from stream.Upstream
	page page

	begin   int             // of the bytes that go out as they are, up to where it stands
	covered stream.Upstream // what went out covers the offsets below
	shaper  *batch.Shaper   // lent
	first   bool            // no batch was looked at yet
}

// page makes the page of span i from an offset on. raw is its chunk; a span that is wholly out needs none. Its pieces cover all offsets up
// to the end of the span.
func (l *Log) page(ctx context.Context, i int, from stream.Upstream, raw []byte) (page, error) {
	s := &l.spans[i]
	p := &pager{log: l, i: i, raw: raw, from: max(from, s.From), covered: max(from, s.From), first: true}
	defer func() {
		if p.shaper != nil {
			giveBack(p.shaper)
		}
	}()
	if !s.out {
		if err := p.run(ctx); err != nil {
			return page{}, l.broken(i, err)
		}
	}
	if p.covered < s.To {
		p.page.pieces = append(p.page.pieces, batch.AppendEmpty(nil, int64(p.covered), int64(s.To-1)))
	}
	return p.page, nil
}

func (p *pager) run(ctx context.Context) error {
	s := &p.log.spans[p.i]
	at := 0
	for at < len(p.raw) {
		v, rest, err := batch.Next(p.raw[at:])
		if err != nil {
			return err
		}
		end := len(p.raw) - len(rest)
		if stream.Upstream(v.BaseOffset()) >= s.To {
			if v.Records() < 0 { // a wrapper is named by its last record
				p.flush(at)
				return p.sieve(v)
			}
			break
		}
		if stream.Upstream(v.LastOffset()) < p.from {
			p.begin, at = end, end
			continue
		}
		what, err := p.decide(ctx, v)
		if err != nil {
			return err
		}
		p.first = false
		switch what {
		case verbatim:
			v.ForgetLeader()
			p.covered = stream.Upstream(v.LastOffset()) + 1
		case sieved:
			p.flush(at)
			p.begin = end
			if err := p.sieve(v); err != nil {
				return err
			}
		case left:
			p.flush(at)
			p.begin = end
		}
		at = end
	}
	p.flush(at)
	return nil
}

// flush sends out what is to go out as it is.
func (p *pager) flush(at int) {
	if at > p.begin {
		p.page.pieces = append(p.page.pieces, p.raw[p.begin:at:at])
	}
	p.begin = at
}

// handling is what is done with a batch.
type handling int8

const (
	verbatim handling = iota
	sieved            // some of its records may be out
	left              // all of them are
)

func (p *pager) decide(ctx context.Context, v batch.View) (handling, error) {
	s, cut := &p.log.spans[p.i], &p.log.cut
	if v.Control() { // nobody sends it, and it moves whoever reads
		if stream.Upstream(v.LastOffset()) >= s.To || stream.Upstream(v.BaseOffset()) < s.From {
			return left, nil
		}
		return verbatim, nil
	}
	if v.Transactional() && !s.plain && !cut.Raw {
		f, err := p.log.fate(ctx, p.i, v.ProducerID(), stream.Upstream(v.BaseOffset()), p.raw)
		if err != nil {
			return 0, err
		}
		switch f {
		case aborted:
			p.page.left.Aborted += int64(v.Records())
			return left, nil
		case undecided:
			p.page.left.Undecided += int64(v.Records())
			return left, nil
		case committed:
		}
	}
	wrapped := v.Records() < 0 // only taken apart it tells its first offset
	if stream.Upstream(v.BaseOffset()) < s.From || stream.Upstream(v.LastOffset()) >= s.To || wrapped && p.first && !s.clean {
		return sieved, nil
	}
	if s.clear {
		return verbatim, nil
	}
	return p.byTime(v), nil
}

// byTime decides by the timestamps that the header tells.
func (p *pager) byTime(v batch.View) handling {
	cut, most := &p.log.cut, v.MaxTimestamp()
	one := v.LogAppendTime() || v.Records() == 1 // then most is the timestamp of all
	switch {
	case one && most > cut.Until:
		p.page.left.Later += max(int64(v.Records()), 0)
		return left
	case cut.Since != Always && most < cut.Since:
		p.page.left.Earlier += max(int64(v.Records()), 0)
		return left
	case most <= cut.Until && (cut.Since == Always || one):
		return verbatim
	}
	return sieved
}

// sieve sends out those records of a batch that are in.
func (p *pager) sieve(v batch.View) error {
	if p.shaper == nil {
		p.shaper = borrow()
	}
	s, cut := &p.log.spans[p.i], &p.log.cut
	last := int64(-1)
	raw, _, err := p.shaper.Sieve(v, func(offset, timestamp int64) bool {
		switch {
		case stream.Upstream(offset) < p.from || stream.Upstream(offset) >= s.To:
			return false
		case timestamp > cut.Until:
			p.page.left.Later++
			return false
		case timestamp < cut.Since:
			p.page.left.Earlier++
			return false
		}
		last = offset
		return true
	})
	if raw != nil {
		p.page.pieces = append(p.page.pieces, raw)
		p.covered = stream.Upstream(last) + 1
	}
	return err
}

// size is the bytes of the pieces.
func (p *page) size() int {
	n := 0
	for _, b := range p.pieces {
		n += len(b)
	}
	return n
}

// joined are the pieces as one where that costs little: one piece of many small ones.
func (p *page) joined() [][]byte {
	const small = 16 << 10
	if n := len(p.pieces); n > 1 && p.size() < n*small {
		return [][]byte{slices.Concat(p.pieces...)}
	}
	return p.pieces
}
