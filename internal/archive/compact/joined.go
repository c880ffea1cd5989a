package compact

import (
	"cmp"
	"fmt"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// joinUpTo is how many bytes of batches chunks are joined up to.
const joinUpTo = 4 << 20

// joined is a chunk to be written: one old one, or several neighbors.
type joined struct {
	entry  bundle.Entry // what the new entry has to say, but for bytes and digests
	pieces []piece
	steps  []bundle.Step
}

// piece is an old chunk.
type piece struct {
	src   *source
	chunk int
}

func newJoined(s *source, chunk int) joined {
	e := s.footer.Chunks[chunk]
	e.Open, e.Aborted = slices.Clone(e.Open), slices.Clone(e.Aborted)
	return joined{entry: e, pieces: []piece{{s, chunk}}, steps: slices.Clone(s.steps[chunk])}
}

// takes says whether another one may follow in the same chunk. Where a transaction is open between them, the entry of the first is what
// tells of it.
func (j *joined) takes(o joined) bool {
	a, b := &j.entry, &o.entry
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Next == b.First && len(a.Open) == 0 && a.Committed == b.Committed &&
		a.LeaderEpoch == b.LeaderEpoch &&
		a.Plain+b.Plain <= joinUpTo && !slices.ContainsFunc(a.Aborted, func(t bundle.Aborted) bool { return t.Marker < 0 })
}

func (j *joined) take(o joined) {
	a, b := &j.entry, &o.entry
	switch {
	case b.Records == 0: // it has no timestamps
	case a.Records == 0:
		a.MinTimestamp, a.MaxTimestamp, a.MinExact = b.MinTimestamp, b.MaxTimestamp, b.MinExact
	default:
		a.MinTimestamp, a.MaxTimestamp = min(a.MinTimestamp, b.MinTimestamp), max(a.MaxTimestamp, b.MaxTimestamp)
		a.MinExact = a.MinExact && b.MinExact
	}
	if a.Records >= 0 && b.Records >= 0 {
		a.Records += b.Records
	} else {
		a.Records = -1
	}
	a.LeaderEpoch = b.LeaderEpoch
	a.Batches, a.Markers, a.Plain, a.Next = a.Batches+b.Batches, a.Markers+b.Markers, a.Plain+b.Plain, b.Next
	a.Open, a.Aborted = b.Open, append(a.Aborted, b.Aborted...)
	j.pieces = append(j.pieces, o.pieces...)
	for _, s := range o.steps {
		if n := len(j.steps); n > 0 && j.steps[n-1].At.Equal(s.At) {
			j.steps[n-1].Next = s.Next
		} else {
			j.steps = append(j.steps, s)
		}
	}
}

// chunk is what bundle.Writer has to be told so that it comes to the same entry: of what was open before the chunk, the old entries tell
// what is still open behind it, and what was aborted in it. What was committed leaves no trace, and makes no difference.
func (j *joined) chunk() bundle.Chunk {
	e := &j.entry
	c := bundle.Chunk{Topic: e.Topic, Partition: e.Partition, LeaderEpoch: e.LeaderEpoch, First: e.First, Next: e.Next, Committed: e.Committed}
	open := func(producer int64, first stream.Upstream) {
		t := bundle.Transaction{ProducerID: producer, First: first}
		if first < e.First && !slices.Contains(c.Open, t) {
			c.Open = append(c.Open, t)
		}
	}
	for _, t := range e.Open {
		open(t.ProducerID, t.First)
	}
	for _, a := range e.Aborted {
		open(a.ProducerID, a.First)
		if e.Committed {
			c.Aborted = append(c.Aborted, stream.AbortedTransaction{ProducerID: a.ProducerID, First: a.First})
		}
	}
	return c
}

// check compares the entry that was written with the one that had to be.
func (j *joined) check(got bundle.Entry) error {
	want := j.entry
	sortEntry(&want)
	got.Open, got.Aborted = slices.Clone(got.Open), slices.Clone(got.Aborted)
	sortEntry(&got)
	if got.Topic != want.Topic || got.Partition != want.Partition || got.LeaderEpoch != want.LeaderEpoch || got.First != want.First ||
		got.Next != want.Next || got.Batches != want.Batches || got.Records != want.Records || got.Markers != want.Markers ||
		got.MinTimestamp != want.MinTimestamp || got.MaxTimestamp != want.MaxTimestamp || got.MinExact != want.MinExact ||
		got.Committed != want.Committed || !slices.Equal(got.Open, want.Open) || !slices.Equal(got.Aborted, want.Aborted) {
		return fmt.Errorf("the entry of %s, chunk %d, cannot be kept: %s, not %s", j.pieces[0].src.object.Name, j.pieces[0].chunk, got, want)
	}
	return nil
}

func sortEntry(e *bundle.Entry) {
	slices.SortFunc(e.Open, func(a, b bundle.Transaction) int {
		return cmp.Or(cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(a.First, b.First))
	})
	slices.SortFunc(e.Aborted, func(a, b bundle.Aborted) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ProducerID, b.ProducerID), cmp.Compare(a.Marker, b.Marker))
	})
}
