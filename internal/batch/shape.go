package batch

import (
	"fmt"
	"slices"
)

// Form says how a batch came to be: see doc.go.
type Form int8

// The forms, cheapest first.
const (
	FormStamp Form = iota
	FormMerge
	FormRecode
	FormSplit
)

// String is the form's name, as metrics have it.
func (f Form) String() string {
	switch f {
	case FormStamp:
		return "stamp"
	case FormMerge:
		return "merge"
	case FormRecode:
		return "recode"
	case FormSplit:
		return "split"
	}
	return fmt.Sprintf("form(%d)", int8(f))
}

// Shaped is one batch, ready but for Stamp.
type Shaped struct {
	Raw     []byte // nil when Records is 0: there is nothing to send
	Records int32
	Runs    []Run // source offsets of the records, in order; the caller's to keep
	Next    int64 // first source offset that is not covered; holes at the end of a view are covered
	Form    Form
}

// Limits are the sizes that Shape works to, in bytes.
type Limits struct {
	Max                  int // largest batch that the target topic takes, header included: max.message.bytes
	MergeUpTo            int // largest batch that views are merged into, before compression; at most Max
	MergeBelow           int // an uncompressed batch smaller than this is worth merging
	MergeCompressedBelow int // the same for a compressed one
}

// small says that a batch is worth merging.
func (l Limits) small(v View) bool {
	if v.Codec() == None {
		return len(v.raw) < l.MergeBelow
	}
	return len(v.raw) < l.MergeCompressedBelow
}

// stampable says that a broker takes the bytes of v with no more than a new header, and a reader then sees the same.
func (l Limits) stampable(v View, from int64) bool {
	return v.Magic() == 2 && !v.LogAppendTime() && from <= v.base &&
		v.Records() > 0 && v.Records()-1 == v.lastOffsetDelta() && len(v.raw) <= l.Max
}

// Shaper makes batches out of views. It keeps scratch memory and codec state from call to call and is not safe for
// concurrent use.
type Shaper struct {
	codecs codecs

	loaded viewID    // whose records set holds
	set    recordSet // may alias plain, converted or the view itself

	plain     []byte // decompressed records
	converted []byte // legacy messages as v2 records
	build     []byte // records to be compressed
	runs      []Run  // runs of the batch being built
	kept      []Run  // what is left of the block that Shaped.Runs are cut from
}

// keepScratch is the most memory that each scratch buffer keeps when its work is done.
const keepScratch = 32 << 20

// NewShaper makes a Shaper. Codec state is made when first needed. One for each goroutine that shapes is meant, not one
// for each partition: besides its scratch it holds on to the view that it read last.
func NewShaper() *Shaper { return &Shaper{codecs: codecs{most: maxDecompressed}} }

// Shape makes one batch from the front of views, in order: the cheapest correct form. The views are data batches of one
// partition in offset order; records below from are left out. used is the number of views wholly consumed: when a view
// is split, call again with it first and from = Next. A batch without records at or above from is consumed with
// Records 0.
//
// The result may alias dst, which is grown when short and must not overlap the views; FormStamp aliases views[0] itself.
// codec is the compression of rebuilt batches (KeepCodec: that of views[0]); one that compression would make larger stays
// uncompressed, and one record that fits only compressed is compressed whatever codec says.
//
// The error is a *TooLargeError, or wraps ErrCorrupt; nothing is consumed then.
func (s *Shaper) Shape(dst []byte, views []View, from int64, lim Limits, codec Codec) (out Shaped, used int, err error) {
	lim.MergeUpTo = min(lim.MergeUpTo, lim.Max)
	if empty := leadingEmpty(views, from); empty > 0 || len(views) == 0 {
		out.Next = from
		if empty > 0 {
			out.Next = max(from, views[empty-1].LastOffset()+1)
		}
		return out, empty, nil
	}
	first := views[0]
	if first.Control() {
		return out, 0, fmt.Errorf("shape batch at %d: it is a control batch, which only a broker may write", first.base)
	}
	if lim.stampable(first, from) && !(lim.small(first) && len(views) > 1 && lim.mayJoin(first, views[1], from, codec) &&
		len(first.raw)+payload(views[1]) <= lim.MergeUpTo) {
		return s.stamp(first, first.LastOffset()+1), 1, nil
	}
	return s.rebuild(dst, views, from, lim, codec)
}

// leadingEmpty counts the views at the front that hold no record at or above from, as far as headers tell.
func leadingEmpty(views []View, from int64) int {
	n := 0
	for n < len(views) && isEmpty(views[n], from) {
		n++
	}
	return n
}

func isEmpty(v View, from int64) bool { return v.LastOffset() < from || v.Records() == 0 }

// mayJoin says whether v is to be merged with a batch that began with first: not when v is big and can be stamped, not
// when it has another codec and codecs are kept.
func (l Limits) mayJoin(first, v View, from int64, codec Codec) bool {
	if v.Control() || l.stampable(v, from) && !l.small(v) {
		return false
	}
	return codec != KeepCodec || v.Codec() == first.Codec()
}

// payload is about the least that v adds to an uncompressed batch.
func payload(v View) int {
	if v.Magic() == 2 {
		return len(v.raw) - HeaderSize
	}
	return 0
}

func (s *Shaper) stamp(v View, next int64) Shaped {
	s.runs = append(s.runs[:0], Run{First: v.base, Count: v.Records()})
	return Shaped{Raw: v.raw, Records: v.Records(), Runs: s.keep(s.runs), Next: next, Form: FormStamp}
}

// keep copies runs to memory that is never reused. Blocks make it one allocation for many batches.
func (s *Shaper) keep(runs []Run) []Run {
	const block = 256
	if len(s.kept) < len(runs) {
		s.kept = make([]Run, max(block, len(runs)))
	}
	out := s.kept[:len(runs):len(runs)]
	s.kept = s.kept[len(runs):]
	copy(out, runs)
	return out
}

// release lets go of scratch that one large batch has made large.
func release(b []byte) []byte {
	if cap(b) > keepScratch {
		return nil
	}
	return b
}

// room returns memory for a batch of views, taken at once where it can be seen how much that will be.
func room(b []byte, views []View, lim Limits) []byte {
	want := HeaderSize
	for _, v := range views {
		want += payload(v) + 16 // varints may grow
		if want >= lim.MergeUpTo {
			break
		}
	}
	return slices.Grow(b[:0], min(want, max(lim.Max, HeaderSize)))
}
