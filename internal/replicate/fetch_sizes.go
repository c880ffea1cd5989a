package replicate

import "tandem/internal/stream"

// What a fetch loop asks for, and of which partitions, so that memory suffices.

// holdAndTakeBack takes partitions out of the session whose records wait in memory, and puts them in again when there is
// room: one that the target refuses must not fill the budget that others need. Only partitions that brought records, or
// are held, are looked at: the cost grows with traffic, not with partitions.
func (f *fetcher) holdAndTakeBack() {
	limit := 2 * f.partitionBytes()
	for p := range f.held {
		if r := f.readings[p]; r.gate.buffered.Load() < limit/2 {
			delete(f.held, p)
			r.gate.held.Store(false)
			f.enter(r)
		}
	}
	for _, p := range f.recent {
		r, ok := f.readings[p]
		if ok && !f.held[p] && r.gate.buffered.Load() >= limit {
			f.held[p] = true
			r.gate.held.Store(true)
			f.leave(r)
		}
	}
	f.recent = f.recent[:0]
}

// answerBytes is the size of one answer: this loop's share of the budget, or less if the user says so.
func (f *fetcher) answerBytes() int64 {
	share := f.budget.share()
	if f.sizes.MaxBytes > 0 {
		share = min(share, int64(f.sizes.MaxBytes))
	}
	if f.pacer != nil {
		_, most := f.pacer.throttle.ofFlow()
		share = min(share, most)
	}
	return share
}

// partitionBytes is the size of one partition's part: with few partitions each gets more, so that a single one fills
// a long link (8 MiB each 100 ms are 80 MB/s); with many, Kafka's default of 1 MiB.
func (f *fetcher) partitionBytes() int64 {
	if f.sizes.MaxPartitionBytes > 0 {
		return int64(f.sizes.MaxPartitionBytes)
	}
	share := f.answerBytes()
	return min(share, max(share/int64(max(len(f.readings), 1)), 1<<20))
}

func (f *fetcher) sized(p stream.Place) stream.Place {
	p.MaxBytes = int32(f.partitionBytes())
	return p
}
