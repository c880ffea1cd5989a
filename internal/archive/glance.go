package archive

import (
	"context"
	"time"

	"tandem/internal/stream"
)

const (
	leastGlance = 100 * time.Millisecond
	mostGlance  = 5 * time.Second
)

// glanceLoop asks now and then where the partitions end of which nothing is offered: all at once, which is cheap. Reads are for those that
// have more, so a partition that was silent for long is archived as soon as one that never is.
func (a *Archiver) glanceLoop(ctx context.Context) error {
	every := min(max(a.cfg.FlushInterval/2, leastGlance), mostGlance)
	for pause(ctx, every, nil) {
		if silent := a.silent(); len(silent) > 0 {
			asked := time.Now()
			found, _, err := a.src.Offsets(ctx, silent, stream.Latest)
			if err == nil {
				a.glanced(found, asked)
			} // a source that does not answer is told of by the reads
		}
	}
	return nil
}

// silent are the partitions that are not looked at soon anyway: replication brings them nothing, or what they have.
func (a *Archiver) silent() (all []stream.Partition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for p, t := range a.tracks {
		if t.placed && !t.busy && t.due.Sub(now) > firstLook && (now.Sub(t.offeredAt) >= quiet || t.offered < t.at.next) {
			all = append(all, p)
		}
	}
	return all
}

// glanced has those read that end elsewhere than their archive does. A read that brought nothing up to the same end, as before an open
// transaction or behind what compaction took, is not worth another one.
func (a *Archiver) glanced(ends map[stream.Partition]int64, asked time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, end := range ends {
		t := a.tracks[p]
		if t == nil || !t.placed || t.busy {
			continue
		}
		t.hears(asked)
		if t.end = stream.Upstream(end); t.end != t.at.next && t.end != t.empty {
			a.hurry(t)
		}
	}
}

// hears notes as of when the source has told what it has. What is known to be missing then is behind.
func (t *track) hears(asked time.Time) {
	if asked.After(t.heard) {
		t.heard = asked
	}
}
