package replicate

import "time"

// Observer is told of durations by the goroutine that owns the pipe: it must neither block nor allocate.
type Observer interface {
	// Acked is told once for each batch that the target has appended, how long after its fetch its acknowledgement came. In
	// transactions that is before the batch can be read.
	Acked(delay time.Duration)
	// Heartbeat is told once for each batch of Config.Heartbeats that the target has appended, how long after its newest
	// heartbeat was written that was, by the clocks of who wrote it and of this process.
	Heartbeat(delay time.Duration)
}

// Measure is what batches have measured: one value for each record batch, not for each record as MM2 has it. Min, Max and Avg are of
// a window as Kafka's metrics have it: the last half a minute to a minute.
type Measure struct {
	Seen          bool // there was one
	Last          time.Duration
	Min, Max, Avg time.Duration // of the window
	Batches       int64         // in the window; with 0 it has no Min, Max and Avg
}

// measures are what the batches of a partition have measured.
type measures struct {
	records, bytes int64 // acknowledged
	age, latency   lately
}

// windowOf is metrics.sample.window.ms of Kafka's clients; a window has two of them (metrics.num.samples).
const windowOf = 30 * time.Second

// lately collects values over two spans of time, of which the older one is dropped when the newer one is full.
type lately struct {
	seen bool
	last time.Duration
	now  int // the span that is being filled
	span [2]span
}

type span struct {
	began time.Duration
	values
}

// values are one or more.
type values struct {
	n                   int64
	sum, min, max, last time.Duration
}

func (w *lately) add(v, now time.Duration) { w.addAll(values{1, v, v, v, v}, now) }

func (w *lately) addAll(v values, now time.Duration) {
	w.seen, w.last = true, v.last
	s := &w.span[w.now]
	if s.n > 0 && now-s.began >= windowOf {
		w.now = 1 - w.now
		s = &w.span[w.now]
		s.n = 0
	}
	if s.n == 0 {
		*s = span{now, v}
		return
	}
	s.n += v.n
	s.sum += v.sum
	s.min, s.max = min(s.min, v.min), max(s.max, v.max)
}

func (w *lately) measure(now time.Duration) Measure {
	m := Measure{Seen: w.seen, Last: w.last}
	var sum time.Duration
	for _, s := range w.span {
		if s.n == 0 || now-s.began >= 2*windowOf {
			continue
		}
		if m.Batches == 0 {
			m.Min, m.Max = s.min, s.max
		}
		m.Min, m.Max = min(m.Min, s.min), max(m.Max, s.max)
		m.Batches += s.n
		sum += s.sum
	}
	if m.Batches > 0 {
		m.Avg = sum / time.Duration(m.Batches)
	}
	return m
}

// timestamps are the newest ones of batches, in milliseconds. There may be thousands of batches in one fetch.
type timestamps struct{ n, sum, min, max, last int64 }

func (t *timestamps) see(newest int64) {
	if newest < 0 {
		return
	}
	if t.n == 0 {
		t.min, t.max = newest, newest
	}
	t.n, t.sum, t.last = t.n+1, t.sum+newest, newest
	t.min, t.max = min(t.min, newest), max(t.max, newest)
}

// olderThan are their ages at a time.
func (t *timestamps) olderThan(at time.Time) values {
	now := at.UnixMilli()
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return values{t.n, ms(now*t.n - t.sum), ms(now - t.max), ms(now - t.min), ms(now - t.last)}
}

func (p *partition) measured() *measures {
	if p.measures == nil { // most partitions of a large cluster are idle
		p.measures = new(measures)
	}
	return p.measures
}

// measured measures a batch that was acknowledged.
func (p *Pipe) measured(part *partition, s *sent, at time.Time) {
	m := part.measured()
	m.records += int64(s.records)
	m.bytes += int64(s.bytes)
	if !s.newest.IsZero() {
		m.latency.add(at.Sub(s.newest), p.clock(at))
	}
	if p.observe == nil {
		return
	}
	p.observe.Acked(at.Sub(s.fetched))
	if part.heartbeats && !s.newest.IsZero() {
		p.observe.Heartbeat(at.Sub(s.newest))
	}
}
