package batch

// viewID tells views apart well enough to know again the one that was loaded last, even when the memory that it was
// fetched into has been used for another since.
type viewID struct {
	at   *byte
	size int
	base int64
	crc  uint32
}

func idOf(v View) viewID {
	at := atCRC
	if v.Magic() < 2 {
		at = legacyCRC
	}
	return viewID{at: &v.raw[0], size: len(v.raw), base: v.base, crc: v.u32(at)}
}

// load makes v's records readable. Loading the view that was loaded last costs nothing, so splitting one batch into many
// decompresses once, and so does coming back to a view that did not fit.
func (s *Shaper) load(v View) (*recordSet, error) {
	if s.loaded.at == &v.raw[0] && s.loaded == idOf(v) {
		return &s.set, nil
	}
	s.loaded = viewID{}
	var err error
	switch {
	case v.Magic() < 2:
		s.plain, s.converted = release(s.plain), release(s.converted)
		s.set, s.plain, s.converted, err = s.codecs.loadLegacy(v, s.plain, s.converted)
	case v.Codec() == None:
		s.set = v.records(v.raw[HeaderSize:])
		return &s.set, nil // read where it is: worth recognising only when it gets split
	default:
		s.plain = release(s.plain)
		if s.plain, err = s.codecs.decompress(s.plain, v.Codec(), v.raw[HeaderSize:]); err != nil {
			err = corrupt("decompress", v.base, "%s: %v", v.Codec(), err)
		}
		s.set = v.records(s.plain)
	}
	if err != nil {
		return nil, err
	}
	s.loaded = idOf(v)
	return &s.set, nil
}

// records are the records of a v2 batch, given decompressed.
func (v View) records(data []byte) recordSet {
	return recordSet{
		data: data, count: v.Records(), first: v.base, base: v.base, time: v.BaseTimestamp(), last: v.LastOffset(),
		appended: v.LogAppendTime(), appendTime: v.MaxTimestamp(), prev: -1,
	}
}
