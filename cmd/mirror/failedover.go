package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tandem/internal/failover"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// failedOver knows the partitions whose groups have left a lost source (see `failover`). What such a source turns out to hold
// when it comes back is not copied behind what has happened since: a person decides, with `failover back` or `failover undo`.
type failedOver struct {
	flow *flow
	read func(context.Context) error // has what is new in Tandem's topic taken

	reading sync.Mutex // guards records
	records failover.Records

	mu      sync.Mutex                  // guards what follows
	held    map[stream.Partition]string // source partitions, and the failover they belong to
	away    map[string]bool             // groups that are on the target, by a failover of whatever mode
	changed bool                        // since moved was asked
}

const failoversEvery = 2 * time.Second // between two looks for news of failovers

func newFailedOver(f *flow) *failedOver {
	return &failedOver{flow: f, held: make(map[stream.Partition]string)}
}

// take loads a record of Tandem's topic.
func (o *failedOver) take(r stream.Record) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	if err := o.records.Load(r); err != nil {
		return fmt.Errorf("read failovers: record at offset %d: %w", r.Offset, err)
	}
	return nil
}

// decide works out which partitions are held, and tells what has changed.
func (o *failedOver) decide() {
	held := make(map[stream.Partition]string)
	told := make(map[string]string)
	away := make(map[string]bool)
	o.reading.Lock()
	all := o.records.All()
	o.reading.Unlock()
	for _, r := range failover.InForce(all) {
		if r.From == o.flow.conf().Source {
			for _, g := range r.Groups {
				away[g.Group] = true
			}
		}
		if o.flow.conf().FailoverTail == "copy" || r.Mode != failover.Disaster || r.From != o.flow.conf().Source {
			continue
		}
		told[r.Plan] = fmt.Sprintf("groups have failed over to %s (%s, %s): nothing more of %d partitions is copied until `failover back` or `failover undo`; "+
			"failover.tail=copy would have what %s still holds copied late", r.To, r.Plan, r.At.UTC().Format(time.RFC3339), len(r.Boundaries), r.From)
		for _, b := range r.Boundaries {
			held[b.Partition()] = r.Plan
		}
	}
	o.mu.Lock()
	before := o.held
	o.held, o.away = held, away
	same := maps.Equal(before, held)
	o.changed = o.changed || !same
	o.mu.Unlock()
	if same {
		return
	}
	plans := slices.Collect(maps.Values(before))
	for plan, line := range told {
		if !slices.Contains(plans, plan) {
			o.flow.tell(stream.Warn, line)
		}
	}
	if len(held) == 0 {
		o.flow.tell(stream.Info, "no failover is in force any more: everything is copied again")
	}
}

// moved says whether other partitions are held than when it was last asked.
func (o *failedOver) moved() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.changed = false }()
	return o.changed
}

// copied are the assignments that no failover holds.
func (o *failedOver) copied(list []replicate.Assignment) []replicate.Assignment {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(list, func(a replicate.Assignment) bool {
		_, held := o.held[a.Source]
		return held
	})
}

// watch follows the topic: `failover` writes there while mirror runs.
func (o *failedOver) watch(ctx context.Context) error {
	if err := o.read(ctx); err != nil {
		return err
	}
	o.decide()
	return nil
}

// groups are those that a failover has moved to our target, as of now.
func (o *failedOver) groups(ctx context.Context) (map[string]bool, error) {
	if err := o.watch(ctx); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away, nil
}
