package main

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"tandem/internal/stream"
)

// holding is what a process has of the work of a flow: remote partitions to write to, and perhaps the duties that are done once for
// the whole flow. Nil has everything: a flow that is not shared.
type holding struct {
	mu      sync.Mutex // guards what follows
	remotes map[stream.Partition]bool
	leaving map[stream.Partition]bool   // of remotes: they are about to be given up, and nothing more is sent
	orphans map[stream.Partition]bool   // what was given up because the group did not answer, until it does
	coming  map[stream.Partition]string // what the group has given us and we cannot take over, by why
	duties  bool
	kept    *kept     // for the archive; nil before the group has answered
	since   time.Time // when it was made
	busy    bool      // the duties are being done, or wound up
	began   time.Time // with the duties, last
	changed bell      // any of it has changed
}

// kept is what the group said last that falls to this process. It stays while the group cannot be asked: the archive needs no target, and
// what two processes archive is the same.
type kept struct {
	remotes map[stream.Partition]bool
	duties  bool
}

// answerWait is how long the group has to answer before a process archives all that there is.
const answerWait = 3 * time.Second

func newHolding() *holding {
	return &holding{since: time.Now(), remotes: make(map[stream.Partition]bool), leaving: make(map[stream.Partition]bool)}
}

// has says that this process writes to a remote partition, or has sent something there that it still keeps book of.
func (h *holding) has(remote stream.Partition) bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.remotes[remote]
}

// copies says that it goes on writing there.
func (h *holding) copies(remote stream.Partition) bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.remotes[remote] && !h.leaving[remote]
}

// onDuty says that what is done once for the flow is done here.
func (h *holding) onDuty() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.duties
}

// dutiesSince is when this process began with the duties; zero: it does not do them.
func (h *holding) dutiesSince() time.Time {
	if h == nil {
		return time.Time{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.duties || !h.busy {
		return time.Time{}
	}
	return h.began
}

// told says that the group has said what falls to this process, at one time at least.
func (h *holding) told() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept != nil
}

// moving says that partitions are being given up.
func (h *holding) moving() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.leaving) > 0
}

// keeps says that this process archives what is copied to a remote partition.
func (h *holding) keeps(remote stream.Partition) bool {
	return h.archives(func(k *kept) bool { return k.remotes[remote] })
}

// keepsRest says that this process archives what belongs to no remote partition.
func (h *holding) keepsRest() bool {
	return h.archives(func(k *kept) bool { return k.duties })
}

// answered says that it is known what falls to this process, or was waited for for long enough.
func (h *holding) answered() bool {
	return h.archives(func(*kept) bool { return true })
}

// archives asks what the group said last; all is archived here where there is no group, or none that answers.
func (h *holding) archives(said func(*kept) bool) bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept == nil {
		return time.Since(h.since) >= answerWait
	}
	return said(h.kept)
}

// keep has the archive follow what falls to this process now.
func (h *holding) keep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := &kept{remotes: maps.Clone(h.remotes), duties: h.duties}
	maps.DeleteFunc(k.remotes, func(p stream.Partition, _ bool) bool { return h.leaving[p] })
	h.kept = k
	maps.DeleteFunc(h.orphans, func(p stream.Partition, _ bool) bool { return !h.remotes[p] }) // those that are ours again are watched until they begin
}

// orphan notes what was given up because the group did not answer: nobody copies it before it does, as far as is known here.
func (h *holding) orphan(remotes []stream.Partition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orphans = make(map[stream.Partition]bool, len(remotes))
	for _, p := range remotes {
		h.orphans[p] = true
	}
}

// waits notes what is ours by the group, and why it cannot be taken over; without a reason nothing is in the way any more.
func (h *holding) waits(remotes []stream.Partition, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range remotes {
		if why == "" {
			delete(h.coming, p)
			continue
		}
		if h.coming == nil {
			h.coming = make(map[stream.Partition]string)
		}
		h.coming[p] = cmp.Or(h.coming[p], why) // the first one: each other would begin anew what is known of the partition
	}
}

// waiting is why a partition that is ours cannot be taken over; empty for all others.
func (h *holding) waiting(remote stream.Partition) string {
	if h == nil {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.coming[remote]
}

func (h *holding) orphaned(remote stream.Partition) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.orphans[remote]
}

func (h *holding) add(remotes []stream.Partition) {
	h.alter(func() {
		for _, p := range remotes {
			h.remotes[p] = true
			delete(h.leaving, p)
		}
	})
}

func (h *holding) leave(remotes []stream.Partition) {
	h.alter(func() {
		for _, p := range remotes {
			h.leaving[p] = true
		}
	})
}

func (h *holding) drop(remotes []stream.Partition) {
	h.alter(func() {
		for _, p := range remotes {
			delete(h.remotes, p)
			delete(h.leaving, p)
		}
	})
}

func (h *holding) takeDuties() { h.alter(func() { h.duties = true }) }

// giveDuties returns when they are not done here any more, or ctx ends.
func (h *holding) giveDuties(ctx context.Context) {
	h.alter(func() { h.duties = false })
	_ = h.until(ctx, nil, func() bool { return !h.busy }) // whoever gives them up late has no more time for it
}

// rested says that the duties are not done here any more.
func (h *holding) rested() { h.alter(func() { h.busy = false }) }

// await returns when the duties are here, or ctx ends. From its return on they count as being done.
func (h *holding) await(ctx context.Context) error {
	return h.until(ctx, nil, func() bool {
		if h.busy = h.duties; h.busy {
			h.began = time.Now()
		}
		return h.duties
	})
}

// awaitEnd returns when the duties are not here any more, something else ends them, or ctx ends.
func (h *holding) awaitEnd(ctx context.Context, other <-chan struct{}) {
	_ = h.until(ctx, other, func() bool { return !h.duties })
}

func (h *holding) alter(do func()) {
	h.mu.Lock()
	do()
	h.mu.Unlock()
	h.changed.fire()
}

// change is closed when something is not any more as it is now.
func (h *holding) change() <-chan struct{} { return h.changed.wait() }

// until returns when something holds, other is closed, or ctx ends: that is the error. holds is asked while h is locked.
func (h *holding) until(ctx context.Context, other <-chan struct{}, holds func() bool) error {
	for {
		changed := h.change()
		h.mu.Lock()
		done := holds()
		h.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-other:
			return nil
		case <-changed:
		}
	}
}
