package replicate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tandem/internal/batch"
)

// Two flows of opposite direction over topics of the same names (IdentityReplicationPolicy) would send each other's records
// in circles. Every batch that a flow writes carries a producer id of the flow, so the opposite flow knows what it must
// not send back.

// Origins knows the producer ids of the flow that writes into the source. Batches with one of them count as control batches
// do: they have offsets, and hold nothing to copy. Its methods may be called concurrently.
type Origins struct {
	load    func(context.Context) ([]int64, error)
	loading sync.Mutex // one at a time

	mu     sync.RWMutex // guards the maps
	ours   map[int64]bool
	others map[int64]bool // an id that is not the flow's never becomes it: brokers give out each once
}

// NewOrigins makes Origins of a load, which tells all ids that the flow has noted by the time that it begins. The flow notes
// an id before it writes with it, so a load that begins after a batch was fetched knows whether the batch is the flow's.
// It is called when a batch has an id that was not seen before, and blocks the fetch loop meanwhile; an error holds the
// partitions up.
func NewOrigins(load func(context.Context) ([]int64, error)) *Origins {
	return &Origins{load: load, ours: make(map[int64]bool), others: make(map[int64]bool)}
}

// othersKept bounds the ids of strangers that are remembered. Beyond, they are asked for again.
const othersKept = 1 << 16

// errOrigin is in the error of a batch of which it could not be found out who wrote it.
var errOrigin = errors.New("the producer ids of the opposite flow are not known")

// answer begins the looking through of one fetch answer, or page.
func (o *Origins) answer() *originAnswer {
	if o == nil {
		return nil
	}
	return &originAnswer{origins: o, last: -1}
}

// originAnswer looks through the batches of one fetch answer: all of them were fetched before it was made, so one load does
// for all. The nil one finds nothing.
type originAnswer struct {
	origins *Origins
	loaded  bool
	last    int64 // the id that was looked up last: neighbours are mostly of one producer
	was     bool  // and what it was
}

// wrote says that the opposite flow has written a batch.
func (a *originAnswer) wrote(ctx context.Context, v batch.View) (bool, error) {
	id := v.ProducerID()
	switch {
	case a == nil || id < 0:
		return false, nil
	case id == a.last:
		return a.was, nil
	}
	ours, known := a.origins.knows(id)
	if !known {
		if !a.loaded {
			if err := a.origins.reload(ctx); err != nil {
				return false, fmt.Errorf("look up producer id %d: %w: %w", id, errOrigin, err)
			}
			a.loaded = true
		}
		ours = a.origins.settle(id)
	}
	a.last, a.was = id, ours
	return ours, nil
}

func (o *Origins) knows(id int64) (ours, known bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.ours[id], o.ours[id] || o.others[id]
}

func (o *Origins) reload(ctx context.Context) error {
	o.loading.Lock()
	defer o.loading.Unlock()
	ids, err := o.load(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.ours[id] = true
	}
	return nil
}

// settle decides on an id after a load.
func (o *Origins) settle(id int64) (ours bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ours[id] {
		return true
	}
	if len(o.others) >= othersKept {
		clear(o.others)
	}
	o.others[id] = true
	return false
}
