package replicate

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
	kept    int64 // of used, by batches that wait to be sent again
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

// starvedAfter is how long acquire waits before it asks for relief, and from then on again and again.
const starvedAfter = 200 * time.Millisecond

// acquire waits until so many bytes are free, and takes them. While it waits it calls starved.
func (b *Budget) acquire(ctx context.Context, bytes int64, starved func()) error {
	w := &waiter{bytes, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	b.grant()
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	for {
		select {
		case <-w.ready:
			return nil
		case <-time.After(starvedAfter):
			starved()
		case <-ctx.Done():
			b.withdraw(w)
			return ctx.Err()
		}
	}
}

func (b *Budget) withdraw(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted in the same moment: give it back
		b.used -= w.bytes
	default:
		b.waiting = slices.DeleteFunc(b.waiting, func(other *waiter) bool { return other == w })
	}
	b.grant()
}

// add changes what is in use at once: a positive amount may overdraw the budget (an answer that came larger than asked
// for, since its first batch comes whole), a negative one gives back.
func (b *Budget) add(bytes int64) {
	b.mu.Lock()
	b.used += bytes
	b.grant()
	b.mu.Unlock()
}

// keep takes bytes for a batch that waits to be sent again, only if they are free. All that wait have a quarter of the
// budget: the target may refuse them for days, and others must go on.
func (b *Budget) keep(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+bytes > b.size || b.kept+bytes > b.size/4 {
		return false
	}
	b.used += bytes
	b.kept += bytes
	return true
}

// unkeep gives back what keep took.
func (b *Budget) unkeep(bytes int64) {
	b.mu.Lock()
	b.kept -= bytes
	b.mu.Unlock()
	b.add(-bytes)
}

// tight says that more than half is in use.
func (b *Budget) tight() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used > b.size/2
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
	at     time.Time // when it came
	refs   atomic.Int32
}

func (l *lease) release() {
	if l.refs.Add(-1) == 0 {
		l.budget.add(-l.bytes)
	}
}
