package replicate

import (
	"slices"
	"time"

	"tandem/internal/stream"
)

// What is known of the end of a source partition, and since when: from it come the lag in seconds and the moment as of which nothing
// would be lost.
//
//	       acked            list[0].end     list[1].end     end = list[2].end
//	source   |-----------------|---------------|---------------|
//	          known since       known since     known since
//	          list[0].got       list[1].got     list[2].got
//
// An answer of the source that was asked for at a time tells an end; what was written by that time stands below it. So when all below an
// end is on the target, everything of the source as of that time is. The end may be older than the answer, never than the question.
//
// Times are durations since the pipe was made, so that a clock that is set does not move them.
type known struct {
	end   stream.Upstream // as last told; -1 before that
	asked time.Duration   // as of when that is the end
	grew  time.Duration   // when it was first told
	doubt bool            // an answer was lower: the source has to be asked outright

	list  []sighting      // ends above acked, in order; the last one is end
	first stream.Upstream // what lies below was there before anything was known
	sure  time.Duration   // as of then everything is on the target
	ever  bool            // sure is set
}

// sighting is an end that is not reached yet.
type sighting struct {
	end   stream.Upstream
	got   time.Duration // since when the first offset is known that lies below it and not below the sighting before
	asked time.Duration // as of when it is an end
}

// sightings bounds the list. Beyond, neighbours are joined, those of the shortest time together: what is said then is late by about
// a sixteenth of the time that the list spans, and never early.
const sightings = 32

// told takes an answer. An outright one is of a question for nothing but the end, which a new leader does not answer before it
// knows; a fetch may tell less than was known for a moment, or because the source has lost records.
func (k *known) told(end, acked stream.Upstream, asked, got time.Duration, outright bool) {
	k.confirm(acked)
	switch {
	case k.end < 0:
		k.first, k.asked = end, asked
		k.grow(end, acked, got)
	case end > k.end:
		k.grow(end, acked, got)
	case end < k.end:
		if asked < k.grew { // it may be the older one
			return
		}
		if k.doubt = true; !outright || end < acked { // below acked it is not the log that was copied: reading will tell
			return
		}
		k.shrink(end, acked)
	}
	k.doubt = k.doubt && !outright
	k.still(asked, acked)
}

// still notes that the end was no other at a later time.
func (k *known) still(asked time.Duration, acked stream.Upstream) {
	if k.end < 0 || k.doubt {
		return
	}
	k.asked = max(k.asked, asked)
	if n := len(k.list); n > 0 {
		k.list[n-1].asked = k.asked
	}
	k.confirm(acked)
}

// confirm drops what is on the target by now.
func (k *known) confirm(acked stream.Upstream) {
	n := 0
	for n < len(k.list) && k.list[n].end <= acked {
		k.surely(k.list[n].asked)
		n++
	}
	if n > 0 {
		k.list = slices.Delete(k.list, 0, n)
		if len(k.list) == 0 && cap(k.list) > sightings/4 {
			k.list = nil // a stall of thousands of partitions has ended
		}
	}
	if k.end >= 0 && acked >= k.end && !k.doubt {
		k.surely(k.asked)
	}
}

func (k *known) surely(at time.Duration) { k.sure, k.ever = max(k.sure, at), true }

func (k *known) grow(end, acked stream.Upstream, got time.Duration) {
	k.end, k.grew, k.doubt = end, got, false
	if end <= acked {
		return
	}
	if len(k.list) == sightings {
		k.join(got)
	}
	k.list = append(k.list, sighting{end: end, got: got, asked: k.asked})
}

// join makes one of the two neighbours that are the closest in time.
func (k *known) join(now time.Duration) {
	best, span := 0, time.Duration(-1)
	for i := range len(k.list) - 1 {
		until := now
		if i+2 < len(k.list) {
			until = k.list[i+2].got
		}
		if s := until - k.list[i].got; span < 0 || s < span {
			best, span = i, s
		}
	}
	k.list[best+1].got = k.list[best].got
	k.list = slices.Delete(k.list, best, best+1)
}

// shrink follows a source that has lost what was not copied yet.
func (k *known) shrink(end, acked stream.Upstream) {
	k.end, k.first = end, min(k.first, end)
	for n := len(k.list) - 1; n >= 0 && k.list[n].end > end; n-- {
		if below := n == 0 || k.list[n-1].end < end; below && end > acked {
			k.list[n].end = end
			return
		}
		k.list = k.list[:n]
	}
}

// back notes that a partition goes on at an earlier place than it had come to.
func (k *known) back(acked stream.Upstream, now time.Duration) {
	if len(k.list) == 0 && acked < k.end {
		k.list = append(k.list, sighting{end: k.end, got: now, asked: k.asked})
	}
}

// waits is for how long the oldest record that is not on the target has been known; 0 when there is none. With old, it is one that was
// there before anything was known.
func (k *known) waits(acked stream.Upstream, now time.Duration) (since time.Duration, old bool) {
	k.confirm(acked)
	if len(k.list) == 0 || acked >= k.end {
		return 0, false
	}
	return max(now-k.list[0].got, 1), acked < k.first
}
