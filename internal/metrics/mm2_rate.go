package metrics

import (
	"sync"
	"time"
)

// rateFor is how long a sample of Kafka's rates lasts. A rate has two: the one that is being filled and the one before.
const rateFor = 30 * time.Second

// rates turn counts into rates as Kafka has them, over 30 to 60 seconds. Counts are noted at scrapes, but not at each: whoever asks
// in between is answered from the same notes, so that two who scrape do not disturb each other. Where scrapes are rarer than a sample,
// a rate is over the time since the scrape before.
type rates struct {
	mu         sync.Mutex
	base, last noted // base is the older; rates are since then
}

// noted are counts as of a moment. What is not in it had none.
type noted struct {
	at     time.Time
	counts map[counted]counts
}

type counted struct {
	flow, topic string
	number      int32
}

type counts struct{ records, bytes int64 }

func newRates(now time.Time) *rates {
	return &rates{base: noted{at: now}, last: noted{at: now}}
}

// turn tells since when rates are, and as of what; note takes counts, and is nil where none are to be taken. The lock is held until
// done is called.
func (r *rates) turn(now time.Time) (base noted, note func(counted, counts), done func()) {
	r.mu.Lock()
	if now.Sub(r.last.at) >= rateFor {
		spare := r.base.counts
		clear(spare)
		if spare == nil {
			spare = make(map[counted]counts)
		}
		r.base, r.last = r.last, noted{at: now, counts: spare}
		note = func(key counted, c counts) { r.last.counts[key] = c }
	}
	return r.base, note, r.mu.Unlock
}

// rate is that of counts since the base was noted. Right after the start it is taken over a whole sample, as Kafka does. Counts that are
// lower than they were have begun anew: the partition was away.
func (n noted) rate(key counted, c counts, now time.Time) (records, bytes float64) {
	was := n.counts[key]
	if c.records < was.records || c.bytes < was.bytes {
		was = counts{}
	}
	seconds := max(now.Sub(n.at), rateFor).Seconds()
	return float64(c.records-was.records) / seconds, float64(c.bytes-was.bytes) / seconds
}
