package replicate

import (
	"math"
	"time"

	"tandem/internal/stream"
)

// What a Throttle does to a fetch loop. Partitions whose topics have no bound of their own stay in the session as ever. Those
// of a bound are given a part of what the bound lets one fetch bring, so that an answer of many partitions is no larger than
// that: half of it to those that are known to have more, as many as find room, the others in the next fetch; half to those
// that are only watched. While the bound is spent all of them are left out, and nobody waits for them.

// pacer is a fetch loop's view of its flow's Throttle. The loop owns it.
type pacer struct {
	throttle *Throttle
	version  int64 // of rules
	rules    []topicBound
	topics   map[string]*bound     // by topic, as the rules have it
	bounded  map[*bound][]*reading // in the order of their turns

	out  int           // readings that are left out of the next fetch
	next time.Duration // until some of them may be read
	most int64         // what the others of bounds may bring
	free bool          // there are readings without a bound
}

func newPacer(t *Throttle) *pacer {
	return &pacer{throttle: t, topics: make(map[string]*bound), bounded: make(map[*bound][]*reading)}
}

func (p *pacer) of(topic string) *bound {
	b, known := p.topics[topic]
	if !known {
		for _, r := range p.rules {
			if r.Matches(topic) {
				b = r.bound
				break
			}
		}
		p.topics[topic] = b
	}
	return b
}

// enter puts a reading into the session, or has it wait for its turn.
func (f *fetcher) enter(r *reading) {
	if r.bound != nil {
		r.granted = 0
		return
	}
	f.session.Set(f.sized(r.place))
	f.inside(r)
}

// inside notes that a reading has a part in the session. To the broker it had one all the time if no request was sent meanwhile.
func (f *fetcher) inside(r *reading) {
	if r.in = true; r.outAt == f.requests && r.inside.Load() == 0 {
		r.inside.Store(r.was)
	}
}

// leave takes a reading out of the session, not out of the loop.
func (f *fetcher) leave(r *reading) {
	f.session.Forget(r.place.Partition)
	r.in, r.granted = false, 0
	r.was, r.outAt = r.inside.Swap(0), f.requests
}

// paced puts a new reading to its bound.
func (f *fetcher) paced(r *reading) {
	if f.pacer == nil {
		return
	}
	if r.bound = f.pacer.of(r.place.Partition.Topic); r.bound != nil {
		f.pacer.bounded[r.bound] = append(f.pacer.bounded[r.bound], r)
	}
}

// pace decides which readings of bounds have a part in the next fetch, and says how long none at all may be made.
func (f *fetcher) pace() time.Duration {
	p := f.pacer
	if p == nil {
		return 0
	}
	f.rulesAnew()
	p.out, p.next, p.most = 0, math.MaxInt64, 0
	bounded := 0
	for b, list := range p.bounded {
		list = f.stillRead(list)
		p.bounded[b] = list
		bounded += len(list)
		f.turns(b, list)
	}
	p.free = bounded < len(f.readings)
	wait, _ := p.throttle.ofFlow()
	if wait > 0 {
		f.waitsUntil.Store(time.Now().Add(wait).UnixNano())
	}
	return wait
}

// rulesAnew puts all readings to their bounds when the rules have changed.
func (f *fetcher) rulesAnew() {
	p := f.pacer
	if p.version == p.throttle.version.Load() {
		return
	}
	p.rules, p.version = p.throttle.current()
	clear(p.topics)
	clear(p.bounded)
	for _, r := range f.readings {
		was := r.bound
		f.paced(r)
		if was != nil && r.bound == nil && !f.held[r.place.Partition] {
			f.enter(r)
		}
		r.granted = 0
	}
}

// stillRead drops readings that have ended.
func (f *fetcher) stillRead(list []*reading) []*reading {
	kept := list[:0]
	for _, r := range list {
		if f.readings[r.place.Partition] == r {
			kept = append(kept, r)
		}
	}
	clear(list[len(kept):])
	return kept
}

// turns divides what one fetch may bring among the readings of a bound. Those that find no room come first the next time.
func (f *fetcher) turns(b *bound, list []*reading) {
	p := f.pacer
	wait, bytes := p.throttle.ofTopics(b)
	most := max(min(bytes/2, f.partitionBytes()), 1)
	left, watched := max(bytes/2, 1), max(bytes/2/int64(max(len(list), 1)), 1)
	first := 0
	for i, r := range list {
		switch {
		case f.held[r.place.Partition]:
		case wait > 0:
			f.leaveOut(r, wait)
		case r.high <= r.place.Offset:
			f.grant(r, min(watched, most))
		case r.needs(most) > left: // never the first
			if first == 0 {
				first = i
			}
			f.leaveOut(r, 0)
		default:
			bytes := r.needs(most)
			f.grant(r, bytes)
			left -= bytes
		}
	}
	if first > 0 {
		p.bounded[b] = append(list[first:len(list):len(list)], list[:first]...)
	}
}

// needs is what a reading asks for to get all that the source is known to have, by what its offsets have weighed so far.
func (r *reading) needs(most int64) int64 {
	if r.weight == 0 {
		return most
	}
	return int64(min(float64(most), 1024+1.25*r.weight*float64(r.high-r.place.Offset)))
}

// weigh learns from what a fetch has brought.
func (r *reading) weigh(bytes int, next stream.Upstream) {
	switch {
	case next > r.place.Offset:
		r.weight = float64(bytes) / float64(next-r.place.Offset)
	case bytes > 0: // less than a batch
		r.weight *= 2
	}
}

// charge is for all that has come, also what is of no use: it went over the wire.
func (f *fetcher) charge(of stream.Fetched) {
	if p := f.pacer; p != nil && len(of.Records) > 0 {
		p.throttle.charge(p.of(of.Partition.Topic), int64(len(of.Records)), p.version)
	}
}

func (f *fetcher) grant(r *reading, bytes int64) {
	f.pacer.most += bytes
	if r.in && r.granted == bytes {
		return
	}
	place := r.place
	place.MaxBytes = int32(min(bytes, math.MaxInt32))
	f.session.Set(place)
	r.granted = bytes
	f.inside(r)
}

func (f *fetcher) leaveOut(r *reading, wait time.Duration) {
	if r.in {
		f.leave(r)
	}
	f.pacer.out++
	f.pacer.next = min(f.pacer.next, wait)
	r.gate.waitsUntil.Store(time.Now().Add(wait).UnixNano())
}

// idle says that there is nothing to ask for, and for how long.
func (f *fetcher) idle() (wait <-chan time.Time, idle bool) {
	out := 0
	if f.pacer != nil {
		out = f.pacer.out
	}
	switch {
	case len(f.readings) > len(f.held)+out:
		return nil, false
	case len(f.held) > 0:
		return time.After(fetchHeldWait), true // gates empty without a word
	case out > 0:
		return time.After(f.pacer.next), true
	}
	return nil, true
}

// fetchWait is how long the broker may wait for records: others may have to be asked for soon.
func (f *fetcher) fetchWait() time.Duration {
	wait := fetchMaxWait
	if f.pacer != nil && f.pacer.out > 0 {
		wait = min(wait, max(f.pacer.next, fetchHeldWait))
	}
	if len(f.held) > 0 {
		wait = fetchHeldWait
	}
	return wait
}

// askedBytes is what the next fetch asks for.
func (f *fetcher) askedBytes() int64 {
	bytes := f.answerBytes()
	if f.pacer != nil && !f.pacer.free {
		bytes = min(bytes, max(f.pacer.most, 1))
	}
	return bytes
}

// throttledFor is how long a partition is shown as throttled after it had to wait.
const throttledFor = 2 * time.Second

// throttled says that a partition has to wait for what its Throttle allows.
func (p *Pipe) throttled(part *partition, now time.Time) bool {
	f := p.fetcherOf(part)
	if f == nil {
		return false
	}
	until := max(part.gate.waitsUntil.Load(), f.waitsUntil.Load())
	return until > 0 && now.Sub(time.Unix(0, until)) < throttledFor
}
