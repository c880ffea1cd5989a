package checkpoint

import "tandem/internal/stream"

// mark is what is remembered of a group at a partition of the target. Downstream offsets that are none are -1.
type mark struct {
	up   stream.Upstream // of the last checkpoint
	down stream.Downstream

	// For group sync. from is where the group was before it was reset, until the target has been dealt with; wrote is what
	// was committed last, or foreign; settled is the offset for which the target has been dealt with.
	from    stream.Downstream
	wrote   stream.Downstream
	settled stream.Downstream
}

// foreign stands for what was committed last where the group has run on the target: its offset is its own.
const foreign stream.Downstream = -2

// newMark is the mark of a first checkpoint.
func newMark(up stream.Upstream, down stream.Downstream) mark {
	return mark{up: up, down: down, from: -1, wrote: -1, settled: -1}
}

// moreRecent is MM2's rule of which checkpoints are written: the first; one whose group was reset; one that is further on
// the target. While a group runs ahead of the mirror its upstream offset grows and the end of the mirror stays, so nothing
// is written until the mirror moves; and an answer that was only near becomes a checkpoint when it is better known.
func moreRecent(last mark, known bool, up stream.Upstream, down stream.Downstream) bool {
	return !known || up < last.up || down > last.down
}

// skips says that the last checkpoint would have the group miss records: its place is beyond the one of an offset that is not
// before it, which is exact, or the first that there is. Then the target was truncated, or its topic made anew. MM2 lets such a
// checkpoint stand.
func skips(last mark, known bool, up stream.Upstream, now stream.Translated) bool {
	certain := now.Class == stream.Exact || now.Class == stream.Clamped && now.Again == 0
	return known && certain && up >= last.up && now.Offset < last.down
}

// written is the mark after a checkpoint has been written.
func written(last mark, known bool, up stream.Upstream, down stream.Downstream) mark {
	if !known {
		return newMark(up, down)
	}
	if (up < last.up || down < last.down) && last.from < 0 {
		last.from = last.down
	}
	last.up, last.down = up, down
	return last
}

// wanted is where group sync would have the group at a partition, false for nowhere. It is never beyond the translation of
// what the group has committed at the source: where that has no translation now, the last checkpoint still holds unless the
// group was reset since.
func wanted(last mark, up stream.Upstream, now stream.Translated) (stream.Downstream, bool) {
	switch {
	case now.Class != stream.Unknown && now.Offset >= 0:
		return min(now.Offset, last.down), true
	case up >= last.up:
		return last.down, true
	}
	return -1, false
}

// move is what group sync does with a group's offset at one partition of the target.
type move int8

const (
	stay    move = iota
	forward      // the target has no offset, or a smaller one
	back         // the group was reset at the source, and the target has what it was given
)

// decideMove compares the target's offset of a group without members with the one wanted. What has been dealt with is left
// alone until the source moves: whoever has changed it since, at the target, had a reason. Only an offset that is gone,
// because it expired, is set again.
func decideMove(last mark, want stream.Downstream, current stream.Downstream, has bool) move {
	switch {
	case !has:
		return forward
	case last.settled == want, current == want:
		return stay
	case current < want:
		return forward
	case last.from >= 0 && (current == last.wrote || last.wrote == -1 && current == last.from):
		return back
	}
	return stay // the group has run here
}

// stayed is the mark of a partition that is left where it is: because it is where it is wanted, or because it was moved here.
func stayed(last mark, want, current stream.Downstream) mark {
	if current != want && current != last.wrote {
		last.wrote = foreign
	}
	last.settled, last.from = want, -1
	return last
}

// committed is the mark after a commit.
func committed(last mark, want stream.Downstream) mark {
	last.settled, last.wrote, last.from = want, want, -1
	return last
}

// ran is the mark of a group that was seen with members on the target. Its offset there is its own from now on.
func ran(last mark) mark {
	last.from, last.wrote = -1, foreign
	return last
}

// offsetOf is the offset of a translation that may be written; false where there is none.
func offsetOf(t stream.Translated) (stream.Downstream, bool) {
	return t.Offset, t.Class != stream.Unknown && t.Offset >= 0
}

// consumes says whether a group is one of consumers, classic or KIP-848. Share and streams groups are not; a broker that
// tells no type has only classic ones.
func consumes(g stream.Group) bool {
	switch g.Type {
	case "", "classic", "consumer", "Classic", "Consumer":
		return true
	}
	return false
}
