package replicate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/stream"
)

// Session reads from one source broker. It is used by one goroutine.
type Session interface {
	// Set adds a partition, or moves the place of one that is known.
	Set(stream.Place)
	// Forget takes a partition out; unknown ones are no error.
	Forget(stream.Partition)
	// Fetch waits up to the bounds for records. An error means that the request failed as a whole; partitions that
	// have their own error are in the answer. One that was in an answer since it was added or moved, and is not in this one, has
	// nothing new: it ends where it did, as of the request.
	Fetch(context.Context, stream.FetchBounds) ([]stream.Fetched, error)
}

const (
	fetchMaxWait  = 500 * time.Millisecond // fetch.max.wait.ms, Kafka's default
	fetchHeldWait = 10 * time.Millisecond  // while a partition waits for room, so that it is asked for again soon
	fetchFullWait = 100 * time.Millisecond // while the tee is full
	fetchBackoff  = 100 * time.Millisecond // after a failed request, doubled up to fetchBackoffMax

	fetchBackoffMax = 2 * time.Second
)

// gate counts the bytes of one partition that were fetched and not yet let go. The fetch loop holds a partition
// whose gate is full and takes it back when half of that is gone.
type gate struct {
	buffered   atomic.Int64
	held       atomic.Bool
	waitsUntil atomic.Int64 // for its throttle: the last moment, Unix nanoseconds
}

// reading is a partition as a fetch loop knows it.
type reading struct {
	place      stream.Place
	generation uint64
	gate       *gate
	high       stream.Upstream // high watermark of the source, -1 before the source has told
	unstable   stream.Upstream // and so many offsets below it that a transaction holds back

	// The answer since which the session has it, so that one which does not speak of it says that it ends where it did; 0 while the
	// session does not have it, or has not told yet.
	inside *atomic.Uint64
	was    uint64 // inside, when it was last taken out of the session
	outAt  uint64 // after so many requests

	// Where its topic has a bound, see pacer.
	bound   *bound
	in      bool    // it has a part in the session
	granted int64   // of so many bytes, at its place; 0 where it has to be set anew
	weight  float64 // bytes of an offset, 0 when unknown
}

// fetcher is the fetch loop of one source broker, for all partitions that it leads.
type fetcher struct {
	broker  int32
	session Session
	budget  *Budget
	sizes   FetchSizes
	origins *Origins // may be nil
	tee     Tee      // may be nil
	pacer   *pacer   // nil where there is no throttle
	out     chan<- fetchAnswer
	starved chan<- struct{} // told while there is no memory for an answer

	mu      sync.Mutex
	asked   []func() // changes to readings, run by the loop before its next fetch
	pending chan struct{}

	readings map[stream.Partition]*reading // owned by the loop, as are the next two
	held     map[stream.Partition]bool
	recent   []stream.Partition // those that the last answer brought records of
	requests uint64             // so many were sent
	answers  uint64             // and so many answered

	// A partition that is let go and read again between two requests is, to the broker, one that was in the session all the time: it
	// says nothing of it until something is new. What it has said before goes to the new reading with the next answer.
	dropped map[stream.Partition]*reading // since the last request
	again   []chunk

	waitsUntil atomic.Int64 // as of a gate: nothing at all is read

	told time.Time // when the last answer was asked for that the pipe has taken; the pipe owns it
}

// FetchSizes are the user's bounds on a fetch; 0 leaves one to the pipe.
type FetchSizes struct {
	MaxBytes          int32 // fetch.max.bytes
	MaxPartitionBytes int32 // max.partition.fetch.bytes
}

// fetchAnswer is what a fetch loop tells the pipe.
type fetchAnswer struct {
	from   *fetcher
	chunks []chunk
	err    error // of the request as a whole

	number     uint64
	asked, got time.Time
	bytes      int64 // of record batches
}

func newFetcher(broker int32, session Session, budget *Budget, sizes FetchSizes, origins *Origins, tee Tee, out chan<- fetchAnswer, starved chan<- struct{}) *fetcher {
	return &fetcher{
		broker: broker, session: session, budget: budget, sizes: sizes, origins: origins, tee: tee, out: out, starved: starved,
		pending:  make(chan struct{}, 1),
		readings: make(map[stream.Partition]*reading),
		held:     make(map[stream.Partition]bool),
		dropped:  make(map[stream.Partition]*reading),
	}
}

// read makes the loop read a partition from a place on; an earlier reading of it ends. It returns the reading's inside.
func (f *fetcher) read(place stream.Place, generation uint64, g *gate) *atomic.Uint64 {
	inside := new(atomic.Uint64)
	f.ask(func() {
		r := &reading{place: place, generation: generation, gate: g, high: -1, inside: inside}
		f.retell(r)
		f.readings[place.Partition] = r
		delete(f.held, place.Partition)
		g.held.Store(false)
		f.paced(r)
		f.enter(r)
	})
	return inside
}

// retell has a reading hear what the broker has said of its partition, and will not say again.
func (f *fetcher) retell(r *reading) {
	p := r.place.Partition
	before, ok := f.readings[p]
	if !ok {
		before, ok = f.dropped[p]
	}
	delete(f.dropped, p)
	if !ok || before.high < 0 || before.place.Topic != r.place.Topic {
		return
	}
	r.high, r.unstable = before.high, before.unstable
	again := chunk{partition: p, generation: r.generation, gate: r.gate, next: r.place.Offset, epoch: EpochOf(r.place.LastEpoch), high: r.high, stable: r.high - r.unstable, again: true}
	if before.inside.Load() > 0 { // else it is new to the session, which will tell
		r.inside.Store(f.answers + 1) // with which this goes out
	}
	f.again = append(f.again, again)
}

// stop makes the loop let go of a partition.
func (f *fetcher) stop(p stream.Partition) { f.ask(func() { f.drop(p) }) }

func (f *fetcher) ask(change func()) {
	f.mu.Lock()
	f.asked = append(f.asked, change)
	f.mu.Unlock()
	f.wake()
}

func (f *fetcher) wake() {
	select {
	case f.pending <- struct{}{}:
	default:
	}
}

func (f *fetcher) drop(p stream.Partition) {
	if r, ok := f.readings[p]; ok {
		f.dropped[p] = r
	}
	delete(f.readings, p)
	delete(f.held, p)
	f.session.Forget(p)
}

// run fetches until ctx ends. The next fetch is sent as soon as the answer before it has been framed; the pipe works
// that one off meanwhile.
func (f *fetcher) run(ctx context.Context) {
	f.budget.join()
	defer f.budget.leave()
	if f.pacer != nil {
		defer f.pacer.throttle.join(f)()
	}
	backoff := fetchBackoff
	for ctx.Err() == nil {
		f.changes()
		f.holdAndTakeBack()
		spent := f.pace()
		if wait, idle := f.idle(); idle {
			f.rest(ctx, wait)
			continue
		}
		if spent > 0 {
			f.rest(ctx, time.After(spent))
			continue
		}
		if f.tee != nil && f.tee.Full() {
			f.rest(ctx, time.After(fetchFullWait))
			continue
		}
		answer, err := f.fetch(ctx)
		if ctx.Err() != nil {
			answer.letGo()
			return
		}
		if err != nil {
			answer = fetchAnswer{from: f, err: err}
		}
		select {
		case f.out <- answer:
		case <-ctx.Done():
			answer.letGo()
			return
		}
		if err == nil {
			backoff = fetchBackoff
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, fetchBackoffMax)
	}
}

// rest waits until something is asked for, or the time is over.
func (f *fetcher) rest(ctx context.Context, over <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-f.pending:
	case <-over:
	}
}

// changes runs what was asked for since the last fetch.
func (f *fetcher) changes() {
	select {
	case <-f.pending:
	default:
	}
	f.mu.Lock()
	asked := f.asked
	f.asked = nil
	f.mu.Unlock()
	for _, change := range asked {
		change()
	}
}

// fetch makes one request and frames its answer.
func (f *fetcher) fetch(ctx context.Context) (fetchAnswer, error) {
	reserved := f.askedBytes()
	if err := f.budget.acquire(ctx, reserved, f.starve); err != nil {
		return fetchAnswer{}, err
	}
	f.requests++
	asked := time.Now()
	fetched, err := f.session.Fetch(ctx, stream.FetchBounds{
		MaxWaitMillis: int32(f.fetchWait().Milliseconds()), MinBytes: 1, MaxBytes: int32(reserved),
	})
	got := time.Now()
	again := f.again
	f.again = nil
	clear(f.dropped)
	if err != nil { // the next request opens a session, and is told everything
		f.budget.add(-reserved)
		return fetchAnswer{}, err
	}
	f.answers++
	answer := f.frame(ctx, fetched, reserved, got)
	answer.asked, answer.got, answer.number = asked, got, f.answers
	answer.chunks = append(again, answer.chunks...)
	return answer, nil
}

// starve says that there is no memory for an answer: see Pipe.relieve.
func (f *fetcher) starve() {
	select {
	case f.starved <- struct{}{}:
	default:
	}
}

// frame turns an answer into chunks, moves the readings on, and settles the reservation.
func (f *fetcher) frame(ctx context.Context, fetched []stream.Fetched, reserved int64, got time.Time) fetchAnswer {
	memory := &lease{budget: f.budget, at: got}
	memory.refs.Store(1) // ours, until all chunks are counted
	answer, origins := fetchAnswer{from: f}, f.origins.answer()
	for _, part := range fetched {
		r, ok := f.readings[part.Partition]
		f.charge(part)
		if !ok {
			continue
		}
		c := chunk{partition: part.Partition, generation: r.generation, lease: memory, gate: r.gate, high: part.HighWatermark, stable: part.HighWatermark - stream.Upstream(part.Unstable), err: part.Err}
		memory.bytes += int64(len(part.Records))
		c.next, c.epoch = r.place.Offset, EpochOf(r.place.LastEpoch)
		if c.err == nil && part.Diverged != nil {
			c.err = &diverged{end: *part.Diverged}
		}
		if c.err == nil {
			var read routed
			read, c.err = route(ctx, part, r.place.Offset, c.epoch, origins)
			c.views, c.next, c.epoch = read.views, read.next, read.epoch
			if c.err == nil {
				r.high, r.unstable = max(r.high, part.HighWatermark), stream.Upstream(part.Unstable)
				if r.inside.Load() == 0 {
					r.inside.Store(f.answers)
				}
				r.weigh(len(part.Records), read.next)
				f.tell(r.place, read.next, read.whole, part)
			}
		}
		for _, v := range c.views {
			c.bytes += int64(len(v.Bytes()))
		}
		memory.refs.Add(int32(len(c.views)))
		r.gate.buffered.Add(c.bytes)
		if c.err != nil {
			r.high = -1            // what the session has said so far does not count any more
			f.drop(part.Partition) // the pipe decides where it goes on
		} else if c.next != r.place.Offset {
			r.place.Offset, r.place.LastEpoch = c.next, c.epoch.Number()
			f.enter(r)
			f.recent = append(f.recent, part.Partition)
		}
		answer.chunks = append(answer.chunks, c)
	}
	answer.bytes = memory.bytes
	f.budget.add(memory.bytes - reserved)
	memory.release()
	return answer
}

// letGo frees the memory of an answer that nobody will read.
func (a fetchAnswer) letGo() {
	for _, c := range a.chunks {
		for range c.views {
			c.lease.release()
		}
	}
}
