package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tandem/internal/drill"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// journal follows Tandem's own topic of a flow, in which every process that shares it, and `failover`, note what they do. What
// stands there of partitions that this process copies it has written itself, and knows better.
type journal struct {
	log   registryLog
	topic string
	hold  *holding

	takeRuns     func(stream.Record) error                  // of partitions of others
	takeAnchor   func(stream.Partition, position.Anchor)    // of partitions of others
	takeFailover func(stream.Record) error                  // of everybody
	takeDrill    func(drill.Outcome)                        // of everybody
	damaged      func(what string, offset int64, err error) // what cannot be read counts as not there

	reading sync.Mutex // held while it reads; guards next
	next    int64      // offset to read on from

	mu       sync.Mutex // guards what follows
	producer *position.Producer
	ids      map[int64]bool            // every producer id of the flow
	again    map[stream.Partition]bool // of these all has to be read once more
}

// catchUp reads what is new.
func (j *journal) catchUp(ctx context.Context) error {
	j.reading.Lock()
	defer j.reading.Unlock()
	if again := j.takeAgain(); len(again) > 0 {
		if err := j.reread(ctx, again); err != nil {
			j.forgotten(slices.Collect(maps.Keys(again)))
			return err
		}
	}
	next, err := j.log.ReadFrom(ctx, j.topic, 0, j.next, true, j.take)
	if err == nil && next < j.next { // the target has lost its end, or the topic was made anew: what stands there now is not what was read
		j.next = 0
		next, err = j.log.ReadFrom(ctx, j.topic, 0, 0, true, j.take)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", j.topic, err)
	}
	j.next = next
	return nil
}

func (j *journal) takeAgain() map[stream.Partition]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	again := j.again
	j.again = nil
	return again
}

// reread brings back what was forgotten of partitions that have been taken from this process, and what others noted of them while it
// still took them for its own.
func (j *journal) reread(ctx context.Context, again map[stream.Partition]bool) error {
	anchors := make(map[stream.Partition]position.Anchor)
	_, err := j.log.ReadFrom(ctx, j.topic, 0, 0, true, func(r stream.Record) error {
		if r.Offset >= j.next || len(r.Key) < 2 {
			return nil
		}
		switch r.Key[1] {
		case stream.KindRuns:
			if remote, ok := offsetsync.RemoteOf(r.Key); ok && again[remote] {
				return j.runs(r)
			}
		case stream.KindAnchor:
			noted, err := position.ReadNoted(r)
			if err != nil {
				return err
			}
			if noted.Anchored && again[noted.Remote] {
				anchors[noted.Remote] = noted.Anchor
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s again: %w", j.topic, err)
	}
	for remote, a := range anchors {
		if !j.hold.has(remote) {
			j.takeAnchor(remote, a)
		}
	}
	return nil
}

// forgotten has everything that is noted of partitions read again.
func (j *journal) forgotten(remotes []stream.Partition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.again == nil {
		j.again = make(map[stream.Partition]bool)
	}
	for _, p := range remotes {
		j.again[p] = true
	}
}

// writer is the producer id to write with, as far as was read; nil while the flow has none.
func (j *journal) writer() *position.Producer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.producer
}

// origins are all producer ids that the flow ever had.
func (j *journal) origins() []int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.ids))
}

func (j *journal) take(r stream.Record) error {
	if r.Offset < j.next || len(r.Key) < 2 {
		return nil
	}
	switch r.Key[1] {
	case stream.KindRuns:
		if remote, ok := offsetsync.RemoteOf(r.Key); ok && j.hold.has(remote) {
			return nil
		}
		return j.runs(r)
	case stream.KindFailover:
		return j.takeFailover(r)
	case stream.KindDrill:
		outcome, err := drill.Load(r)
		if err != nil {
			j.damaged("the outcome of a drill is damaged; the next drill tells anew", r.Offset, err)
			return nil
		}
		j.takeDrill(outcome)
	case stream.KindProducer, stream.KindOrigin, stream.KindAnchor:
		noted, err := position.ReadNoted(r)
		if err != nil {
			return err
		}
		j.note(noted)
	}
	return nil
}

// runs takes a segment of the map in. One of a newer version is an error: the map would have holes without reason.
func (j *journal) runs(r stream.Record) error {
	err := j.takeRuns(r)
	if errors.Is(err, offsetsync.ErrNewer) {
		return err
	}
	if err != nil {
		j.damaged("a segment of the offset map is damaged; what it held is counted anew", r.Offset, err)
	}
	return nil
}

func (j *journal) note(n position.Noted) {
	j.mu.Lock()
	if n.Origins {
		if j.ids == nil {
			j.ids = make(map[int64]bool)
		}
		j.ids[n.Origin] = true
	}
	if n.Producer != nil {
		j.producer = n.Producer
	}
	j.mu.Unlock()
	if n.Anchored && !j.hold.has(n.Remote) {
		j.takeAnchor(n.Remote, n.Anchor)
	}
}

var _ registryLog = (*kafka.Admin)(nil)
