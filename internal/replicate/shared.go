package replicate

import (
	"context"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// A shared remote partition has other writers, as both sides of a two-way pair have under IdentityReplicationPolicy. Offsets
// foretell nothing there; our producer id and its sequence numbers do: the records with our id, numbered by their
// sequences, are a log of their own, as if nobody else wrote. Such a number is told from an offset by its beginning: the
// record at Start.Next has Start.Down, which is the least offset that it can have.

// numbering numbers the records of one producer id by their sequences. The nil one takes all records, by their offsets.
type numbering struct {
	producer int64
	sequence int32 // of the record that has
	base     int64 // this number; what comes before is left out
	end      int64 // and so is what has this number or a later one
	reach    int64 // the number behind the last batch that was seen, even if the cleaner has emptied it
	behind   int64 // the offset behind the last record that counts
}

// numbered numbers our records from a place on: the first that was counted there gets down.
func (r *Resumption) numbered(at Start, down, end stream.Downstream) *numbering {
	return &numbering{producer: r.ProducerID, sequence: following(at.Sequence, -at.Skip), base: int64(down), end: int64(end),
		reach: int64(down), behind: int64(down)}
}

// shift is what to add to the offsets of a batch to get its numbers; not ok if the batch is to be left out.
func (n *numbering) shift(v batch.View) (shift int64, ok bool) {
	if n == nil {
		return 0, true
	}
	if v.ProducerID() != n.producer || v.BaseSequence() < 0 {
		return 0, false
	}
	shift = n.base + apart(v.BaseSequence(), n.sequence) - v.BaseOffset()
	n.reach = max(n.reach, v.LastOffset()+shift+1)
	if v.BaseOffset()+shift < n.end {
		n.behind = max(n.behind, min(v.LastOffset()+1, n.end-shift))
	}
	return shift, true
}

// complete says that all records up to the end were seen, or what the cleaner has left of them.
func (n *numbering) complete() bool { return n != nil && n.reach >= n.end }

// place is the offset behind all that was numbered: ours below it are those before the end, and no others. It is not known
// where the last of them was deleted.
func (n *numbering) place() Base {
	if !n.complete() {
		return Base{}
	}
	return BaseOf(stream.Downstream(n.behind))
}

// behindOurs is the place behind at.Skip of our records. Others may have written between them, so that it lies anywhere at or
// beyond at.Down and so many.
func (r *Resumption) behindOurs(ctx context.Context, a Assignment, at Start) (Base, error) {
	down := at.Down.Offset()
	first, err := r.offset(ctx, r.Remote, a.Remote, stream.Earliest)
	if err != nil {
		return Base{}, err
	}
	readable, err := r.offset(ctx, r.Remote, a.Remote, stream.Latest)
	if err != nil {
		return Base{}, err
	}
	n := r.numbered(at, down, down+stream.Downstream(at.Skip))
	err = eachBatch(ctx, r.ReadRemote, a.Remote, max(first, n.base), readable, false, nil, func(v batch.View) (bool, error) {
		n.shift(v)
		return !n.complete(), nil
	})
	if err == nil && !n.complete() && first <= n.base {
		err = notYet(a.Remote, readable, readable+n.end-n.reach)
	}
	return n.place(), err
}

func (n *numbering) counts(number int64) bool {
	return n == nil || number >= n.base && number < n.end
}

// apart is by how many records sequence a is ahead of b; less than 0 if it is behind, which half of the circle decides.
func apart(a, b int32) int64 {
	d := (int64(a) - int64(b) + sequences) % sequences
	if d >= sequences/2 {
		d -= sequences
	}
	return d
}

// uncountedAmongOthers is a place whose shared partition does not know our producer id: our records behind the noted end, if
// there are any, were sent before we were killed. Others may have written much since, so it is not read through in vain.
func (r *Resumption) uncountedAmongOthers(ctx context.Context, q Question, at Start, lower stream.Upstream, ahead bool, end stream.Downstream) (Start, bool, error) {
	at.Sequence, at.Skip, at.Floor = following(at.Sequence, -at.Skip), 0, 0
	down := at.Down.Offset()
	if end < down {
		tellGone(r.Report, r.Flow, q.Assignment, down, end, at.Next)
		at.Down = BaseOf(end)
		return at, true, nil
	}
	sent, err := r.sentAmongOthers(ctx, q.Assignment, at, end)
	if err != nil {
		return at, false, err
	}
	if sent == 0 {
		if ahead {
			at.Next, at.Epoch = lower, Epoch{}
		}
		at.Down = BaseOf(end)
		return at, ahead || end > down, nil
	}
	c, err := r.compare(ctx, q.Assignment, at, down, down+stream.Downstream(sent))
	if err != nil {
		return at, false, err
	}
	r.tellPartial(q, c)
	return Start{Next: c.next, Sequence: following(at.Sequence, sent), Down: BaseOf(end)}, true, nil
}

// sentAmongOthers counts our records from a place on. Where the source has nothing to send there, none was sent.
func (r *Resumption) sentAmongOthers(ctx context.Context, a Assignment, at Start, end stream.Downstream) (int64, error) {
	earliest, err := r.offset(ctx, r.Source, a.Source, stream.Earliest)
	if err != nil {
		return 0, err
	}
	latest, err := r.offset(ctx, r.Source, a.Source, stream.Latest)
	if err != nil {
		return 0, err
	}
	some := earliest > int64(at.Next)
	if !some {
		err = eachBatch(ctx, r.ReadSource, a.Source, int64(at.Next), latest, r.Committed, r.Origins, func(v batch.View) (bool, error) {
			some = v.Records() != 0
			return !some, nil
		})
	}
	if !some || err != nil {
		return 0, err
	}
	first, err := r.offset(ctx, r.Remote, a.Remote, stream.Earliest)
	if err != nil {
		return 0, err
	}
	n := r.numbered(at, at.Down.Offset(), end)
	err = eachBatch(ctx, r.ReadRemote, a.Remote, max(first, n.base), int64(end), false, nil, func(v batch.View) (bool, error) {
		n.shift(v)
		return true, nil
	})
	return n.reach - n.base, err
}
