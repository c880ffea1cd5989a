package replicate

import (
	"context"
	"sync"
	"sync/atomic"
)

const (
	maxFetchShare = 8 << 20   // more in one answer brings no speed and makes the others wait
	minFetchShare = 256 << 10 // with many brokers, each one's answer is small, but large enough to be worth a request
)

// Budget bounds the bytes of records that are in memory between their fetch and their acknowledgement, over all flows
// of the process (memory.bytes). A fetch reserves its answer before it asks for it; half of the budget is kept for such
// reservations, so that fetches that wait for news cannot starve those that have work.
type Budget struct {
	size int64

	mu      sync.Mutex
	used    int64
	readers int64
	waiting []*waiter // first come, first served
}

type waiter struct {
	bytes int64
	ready chan struct{}
}

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{size: bytes} }

// join and leave count the fetch loops that share the budget.
func (b *Budget) join()  { b.mu.Lock(); b.readers++; b.mu.Unlock() }
func (b *Budget) leave() { b.mu.Lock(); b.readers--; b.mu.Unlock() }

// share is what one fetch may ask for.
func (b *Budget) share() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(max(b.size/(2*max(b.readers, 1)), minFetchShare), maxFetchShare)
}

// acquire waits until so many bytes are free, and takes them.
func (b *Budget) acquire(ctx context.Context, bytes int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && (b.used+bytes <= b.size || b.used == 0) {
		b.used += bytes
		b.mu.Unlock()
		return nil
	}
	w := &waiter{bytes, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted in the same moment: give it back
		b.used -= w.bytes
	default:
		for i, other := range b.waiting {
			if other == w {
				b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
				break
			}
		}
	}
	b.grant()
	return ctx.Err()
}

// add changes what is in use at once: a positive amount may overdraw the budget (an answer that came larger than asked
// for, since its first batch comes whole), a negative one gives back.
func (b *Budget) add(bytes int64) {
	b.mu.Lock()
	b.used += bytes
	b.grant()
	b.mu.Unlock()
}

// try takes the bytes only if they are free.
func (b *Budget) try(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+bytes > b.size {
		return false
	}
	b.used += bytes
	return true
}

func (b *Budget) grant() {
	for len(b.waiting) > 0 && (b.used+b.waiting[0].bytes <= b.size || b.used == 0) {
		b.used += b.waiting[0].bytes
		close(b.waiting[0].ready)
		b.waiting = b.waiting[1:]
	}
}

// InUse is the number of bytes taken now.
func (b *Budget) InUse() int64 { b.mu.Lock(); defer b.mu.Unlock(); return b.used }

// lease is the memory of one fetch answer. Its batches are slices of one buffer, so the memory comes back when the last
// of them has been let go.
type lease struct {
	budget *Budget
	bytes  int64
	refs   atomic.Int32
}

func (l *lease) release() {
	if l.refs.Add(-1) == 0 {
		l.budget.add(-l.bytes)
	}
}
