package batch

// Single makes a batch of one record: the first of a view at or above from. It serves to find out which record of a batch
// a broker refuses, and so knows no limit. used is 0 while records of the view remain; a view without a record at or
// above from is consumed with Records 0.
func (s *Shaper) Single(dst []byte, v View, from int64, codec Codec) (out Shaped, used int, err error) {
	set, err := s.load(v)
	if err != nil {
		return Shaped{}, 0, err
	}
	if codec == KeepCodec {
		codec = v.Codec()
	}
	g := group{builder: s.begin(dst, nil, Limits{}, codec), used: 1, joined: 1, next: v.LastOffset() + 1}
	more, err := g.add(set, from, noLimit, 1)
	if err != nil {
		return Shaped{}, 0, err
	}
	if g.count == 0 {
		return Shaped{Next: g.next}, 1, nil
	}
	if more {
		g.used, g.next = 0, set.prev+1
		s.loaded = idOf(v) // the next call goes on where this one stopped
	}
	raw, err := s.finish(dst, &g.builder, codec)
	if err != nil {
		return Shaped{}, 0, err
	}
	return s.shaped(raw, &g, v, Limits{Max: noLimit}), g.used, nil
}
