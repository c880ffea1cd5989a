package kafka

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/stream"
)

type partitionSet map[stream.Partition]struct{}

// sorted is the set in the order of topics and numbers.
func (s partitionSet) sorted() []stream.Partition {
	return slices.SortedFunc(maps.Keys(s), comparePartitions)
}

func comparePartitions(a, b stream.Partition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Number) - int(b.Number)
}

// without is s less other.
func (s partitionSet) without(other partitionSet) partitionSet {
	rest := make(partitionSet)
	for p := range s {
		if _, ok := other[p]; !ok {
			rest[p] = struct{}{}
		}
	}
	return rest
}

func setOf(partitions []stream.Partition) partitionSet {
	s := make(partitionSet, len(partitions))
	for _, p := range partitions {
		s[p] = struct{}{}
	}
	return s
}

// holding brings what the caller was told (its Gained and Lost) to what the group has assigned, on a goroutine of its own, since Lost
// takes time in which the membership must not fall silent.
type holding struct {
	gained    func(context.Context, []stream.Partition)
	lost      func(context.Context, []stream.Partition, bool)
	rebalance time.Duration

	wake    chan struct{} // there may be something to tell
	changed chan struct{} // something was told
	done    chan struct{} // the goroutine has ended

	mu      sync.Mutex
	goal    partitionSet       // what is ours by the group
	told    partitionSet       // what the caller has: from before Gained until Lost has returned
	dropped bool               // all that is told is to be lost at once, whatever the goal
	ending  bool               // the goroutine ends when nothing is held
	coming  partitionSet       // what a Gained that runs is about
	cut     partitionSet       // of told: Gained gave way before it had finished, so they are lost before they are gained anew
	giving  partitionSet       // what a gentle Lost that runs is about
	overdue time.Time          // when the group no longer waits for that Lost
	cancel  context.CancelFunc // of a call that runs and gives way to a drop; nil when there is none
}

func newHolding(conf ShareConfig) *holding {
	return &holding{
		gained: conf.Gained, lost: conf.Lost, rebalance: conf.Rebalance,
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), done: make(chan struct{}),
		goal: partitionSet{}, told: partitionSet{},
	}
}

// aim sets what is ours from now on. A Gained that runs has no need to finish if nothing of it is ours any more: it may be waiting for
// a broker.
func (h *holding) aim(partitions []stream.Partition) {
	h.mu.Lock()
	h.goal = setOf(partitions)
	if len(h.coming) > 0 && len(h.coming.without(h.goal)) == len(h.coming) {
		h.cancel()
	}
	h.mu.Unlock()
	signal(h.wake)
}

// drop loses everything at once, before anything else is told.
func (h *holding) drop() {
	h.mu.Lock()
	h.goal, h.dropped = partitionSet{}, true
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	signal(h.wake)
}

// claims are what we hold: what we keep, and what we are about to let go. A Lost that takes longer than the group waits no
// longer counts.
func (h *holding) claims() (keep, going partitionSet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	going = h.told.without(h.goal)
	if h.giving != nil && time.Now().After(h.overdue) {
		going = going.without(h.giving)
	}
	return maps.Clone(h.goal), going
}

// empty says that nothing is held or about to be.
func (h *holding) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.told) == 0 && len(h.goal) == 0
}

// settled says that no drop is under way.
func (h *holding) settled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.dropped
}

// start begins to tell the caller.
func (h *holding) start(ctx context.Context) {
	go func() {
		defer close(h.done)
		for h.tellNext(ctx) {
			signal(h.changed)
		}
	}()
}

// stop drops what is held, and returns when the caller was told.
func (h *holding) stop() {
	h.mu.Lock()
	h.ending = true
	h.mu.Unlock()
	h.drop()
	<-h.done
}

// tellNext waits for something to tell and tells it: a drop first, then what goes, then what comes. It is false at the end.
func (h *holding) tellNext(ctx context.Context) bool {
	for {
		h.mu.Lock()
		going, coming := h.told.without(h.goal.without(h.cut)), h.goal.without(h.told)
		switch {
		case h.dropped:
			all := h.told.sorted()
			h.mu.Unlock()
			if len(all) > 0 {
				h.lost(ctx, all, false)
			}
			h.mu.Lock()
			h.told, h.cut, h.dropped = partitionSet{}, nil, false
			h.mu.Unlock()
			return true
		case len(going) > 0:
			h.giving, h.overdue = going, time.Now().Add(h.rebalance)
			call, cancel := context.WithDeadline(ctx, h.overdue)
			h.cancel = cancel
			h.mu.Unlock()
			h.lost(call, going.sorted(), true)
			cancel()
			h.mu.Lock()
			h.told, h.cut, h.giving, h.cancel = h.told.without(going), nil, nil, nil
			h.mu.Unlock()
			return true
		case len(coming) > 0:
			maps.Copy(h.told, coming)
			call, cancel := context.WithCancel(ctx)
			h.coming, h.cancel = coming, cancel
			h.mu.Unlock()
			h.gained(call, coming.sorted())
			cut := call.Err() != nil
			cancel()
			h.mu.Lock()
			if h.coming, h.cancel = nil, nil; cut {
				h.cut = coming
			}
			h.mu.Unlock()
			return true
		case h.ending:
			h.mu.Unlock()
			return false
		}
		h.mu.Unlock()
		<-h.wake
	}
}
