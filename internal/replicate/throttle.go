package replicate

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Throttle bounds the bytes of records that a flow reads of its source in a second: all together, and those of some topics.
// It may be set anew at any time, and outlives a pipe. What is read besides the flow of records, to compare or to count, is
// neither bounded nor counted.
//
// A bound is a bucket that fills with its rate, up to half a second of it. A fetch needs one that is not in debt, asks for no
// more than the loops' share of another half a second, and is charged for when it has come: so between any two moments no
// more comes than the rate allows in that time and one second more. Only a batch that is larger than what was asked for
// comes whole all the same, as the broker has it; nothing follows before it is paid for.
type Throttle struct {
	mu      sync.Mutex
	flow    *bound
	rules   []topicBound // replaced, never changed
	loops   map[*fetcher]struct{}
	version atomic.Int64 // of rules
}

// ThrottleRule bounds all topics together that it matches, if no rule before it does.
type ThrottleRule struct {
	Key            string // by which the rule is known again when it is set anew
	Matches        func(topic string) bool
	BytesPerSecond int64 // 0: no bound but the flow's
}

// NewThrottle makes one that bounds nothing.
func NewThrottle() *Throttle { return &Throttle{loops: make(map[*fetcher]struct{})} }

// topicBound is a rule and its bucket; nil where it does not bound.
type topicBound struct {
	ThrottleRule
	*bound
}

// bound is a bucket of bytes; below 0 it is a debt. The Throttle's lock guards it.
type bound struct {
	rate  int64 // bytes per second
	level float64
	at    time.Time // when level was that
}

// renewed is the bound with another rate. What was spent stays spent, but a debt weighs no more than a second.
func (b *bound) renewed(rate int64, now time.Time) *bound {
	switch {
	case rate <= 0:
		return nil
	case b == nil:
		return &bound{rate: rate, at: now}
	case b.rate != rate:
		b.fill(now)
		b.rate, b.level = rate, min(max(b.level, -float64(rate)), float64(rate)/2)
	}
	return b
}

func (b *bound) fill(now time.Time) {
	b.level = min(b.level+now.Sub(b.at).Seconds()*float64(b.rate), float64(b.rate)/2)
	b.at = now
}

// wait is how long nothing may be read.
func (b *bound) wait(now time.Time) time.Duration {
	b.fill(now)
	if b.level >= 0 {
		return 0
	}
	seconds := min(-b.level/float64(b.rate), 1e6) // a Set wakes those that wait
	return time.Duration(math.Ceil(seconds * float64(time.Second)))
}

// Set replaces the bounds: of the flow, 0 for none, and of topics, of which the first rule that matches counts. It is heeded
// before the next fetch of each loop.
func (t *Throttle) Set(flow int64, topics []ThrottleRule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.flow = t.flow.renewed(flow, now)
	rules := make([]topicBound, len(topics))
	for i, r := range topics {
		rules[i].ThrottleRule = r
		var before *bound
		if old := slices.IndexFunc(t.rules, func(o topicBound) bool { return o.Key == r.Key }); old >= 0 {
			before = t.rules[old].bound
		}
		rules[i].bound = before.renewed(r.BytesPerSecond, now)
	}
	t.rules = rules
	t.version.Add(1)
	for f := range t.loops {
		f.wake()
	}
}

// join counts a loop among those that share the bounds, until the function is called that it returns.
func (t *Throttle) join(f *fetcher) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loops[f] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.loops, f)
	}
}

// current are the rules, and a number that changes with them.
func (t *Throttle) current() ([]topicBound, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rules, t.version.Load()
}

// ofFlow says how long nothing of the flow may be read, and how much one fetch may ask for then.
func (t *Throttle) ofFlow() (wait time.Duration, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ask(t.flow)
}

// ofTopics is ofFlow for the topics of a rule.
func (t *Throttle) ofTopics(b *bound) (wait time.Duration, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ask(b)
}

func (t *Throttle) ask(b *bound) (time.Duration, int64) {
	if b == nil {
		return 0, math.MaxInt64
	}
	return b.wait(time.Now()), max(b.rate/2/int64(max(len(t.loops), 1)), 1)
}

// charge is for bytes that were read, of a topic with this bound or, if it is nil, with none. What was asked for by another
// version of the rules weighs no more than a second: there may have been no bound then.
func (t *Throttle) charge(topics *bound, bytes, version int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, b := range []*bound{t.flow, topics} {
		if b == nil {
			continue
		}
		b.fill(now)
		b.level -= float64(bytes)
		if version != t.version.Load() {
			b.level = max(b.level, -float64(b.rate))
		}
	}
}
