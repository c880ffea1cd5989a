package batch

import "math"

const (
	// recodeWhole is how many bytes of records may be tried as one compressed batch. Beyond it a batch is cut at the
	// limit as if compression gained nothing.
	recodeWhole = 64 << 20

	// noLimit lets add take all that a set has.
	noLimit    = math.MaxInt
	allRecords = math.MaxInt32
)

// group is a batch being built of several views.
type group struct {
	builder
	used   int   // views wholly consumed
	joined int   // views that gave records
	next   int64 // first source offset not covered
}

// rebuild makes a batch of views[0] and what of the views after it may join.
func (s *Shaper) rebuild(dst []byte, views []View, from int64, lim Limits, codec Codec) (Shaped, int, error) {
	first, as := views[0], codec
	if codec == KeepCodec {
		as = first.Codec()
	}
	// Cutting by uncompressed size is safe but makes many batches of one that compresses well, so a batch that was small
	// enough before is first tried whole.
	if as != None && len(first.raw) <= lim.Max {
		out, used, err := s.try(dst, views, from, lim, codec, as, noLimit)
		if err != nil || len(out.Raw) <= lim.Max {
			return out, used, err
		}
	}
	return s.try(dst, views, from, lim, codec, as, lim.Max)
}

// try is rebuild with as the codec and views[0] cut at limit. The result is larger than lim.Max only if limit is.
func (s *Shaper) try(dst []byte, views []View, from int64, lim Limits, codec, as Codec, limit int) (Shaped, int, error) {
	first := views[0]
	set, err := s.load(first)
	if err != nil {
		return Shaped{}, 0, err
	}
	if len(set.data) > recodeWhole {
		limit = lim.Max
	}
	g := group{builder: s.begin(dst, views, lim, as), used: 1, joined: 1, next: first.LastOffset() + 1}
	more, err := g.add(set, from, limit, allRecords)
	switch {
	case err != nil:
		return Shaped{}, 0, err
	case more && lim.stampable(first, from):
		return s.stamp(first, g.next), 1, nil // it only fits compressed, as it is
	case more && g.count == 0:
		return s.alone(dst, first, set, from, lim, as)
	case g.count == 0:
		return Shaped{Next: g.next}, 1, nil
	case more:
		g.used, g.next = 0, set.prev+1
		s.loaded = idOf(first) // of an uncompressed view too: the next call goes on where this one stopped
	default:
		s.join(&g, views, from, lim, codec)
	}
	if g.joined == 1 && lim.stampable(first, from) {
		return s.stamp(first, g.next), g.used, nil // nothing joined: the fetched bytes are the cheaper batch
	}
	raw, err := s.finish(dst, &g.builder, as)
	if err != nil {
		return Shaped{}, 0, err
	}
	return s.shaped(raw, &g, first, lim), g.used, nil
}

// join adds the views after the first for as long as each fits whole. One that cannot be read is left for the next
// call, which will say so.
func (s *Shaper) join(g *group, views []View, from int64, lim Limits, codec Codec) {
	for g.used < len(views) {
		v := views[g.used]
		if !isEmpty(v, from) {
			if !lim.mayJoin(views[0], v, from, codec) || payload(v) > lim.MergeUpTo-len(g.buf) {
				return
			}
			set, err := s.load(v)
			if err != nil {
				return
			}
			before := g.builder
			more, err := g.add(set, from, lim.MergeUpTo, allRecords)
			if err != nil || more {
				before.buf = g.buf[:len(before.buf)] // the same bytes, with the room that adding made
				g.builder = before
				return
			}
			if g.count > before.count {
				g.joined++
			}
		}
		g.used++
		g.next = v.LastOffset() + 1
	}
}

// alone makes a batch of the one record that does not fit uncompressed: with the codec asked for, then with gzip, which
// every version of Kafka reads.
func (s *Shaper) alone(dst []byte, v View, set *recordSet, from int64, lim Limits, as Codec) (Shaped, int, error) {
	g := group{builder: newBuilder(s.build, s.runs), used: 1, joined: 1, next: v.LastOffset() + 1}
	more, err := g.add(set, from, noLimit, 1)
	if err != nil {
		return Shaped{}, 0, err
	}
	s.build = release(g.buf)
	if more {
		g.used, g.next = 0, set.prev+1
	}
	smallest := len(g.buf)
	for _, c := range [...]Codec{as, Gzip} {
		if c == None {
			continue
		}
		raw, err := s.compress(dst, &g.builder, c)
		if err != nil {
			return Shaped{}, 0, err
		}
		if len(raw) <= lim.Max {
			return s.shaped(raw, &g, v, lim), g.used, nil
		}
		smallest = min(smallest, len(raw))
	}
	return Shaped{}, 0, &TooLargeError{Offset: g.run.First, Size: smallest, Max: lim.Max}
}

// begin starts a batch: an uncompressed one grows in dst itself, any other in scratch.
func (s *Shaper) begin(dst []byte, views []View, lim Limits, as Codec) builder {
	if as == None {
		return newBuilder(room(dst, views, lim), s.runs)
	}
	return newBuilder(room(s.build, views, lim), s.runs)
}

// finish makes the batch that was begun with codec as.
func (s *Shaper) finish(dst []byte, b *builder, as Codec) ([]byte, error) {
	if as == None {
		b.header(b.buf, None)
		return b.buf, nil
	}
	s.build = release(b.buf)
	return s.compress(dst, b, as)
}

// compress writes the batch into dst, its records compressed where that gains something.
func (s *Shaper) compress(dst []byte, b *builder, as Codec) ([]byte, error) {
	raw, err := s.codecs.compress(append(dst[:0], b.buf[:HeaderSize]...), as, b.buf[HeaderSize:])
	if err != nil {
		return nil, err
	}
	if len(raw) >= len(b.buf) {
		raw, as = append(raw[:0], b.buf...), None
	}
	b.header(raw, as)
	return raw, nil
}

func (s *Shaper) shaped(raw []byte, g *group, first View, lim Limits) Shaped {
	runs := append(g.runs, g.run)
	s.runs = runs[:0]
	out := Shaped{Raw: raw, Records: g.count, Runs: s.keep(runs), Next: g.next}
	switch {
	case g.joined > 1:
		out.Form = FormMerge
	case g.used == 0 || len(first.raw) > lim.Max:
		out.Form = FormSplit
	default:
		out.Form = FormRecode
	}
	return out
}
