package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Histograms gather times as they happen; everything else is asked for at a scrape.
type Histograms struct {
	ack       *prometheus.HistogramVec
	heartbeat *prometheus.HistogramVec

	mu    sync.Mutex // guards flows
	flows map[string]*FlowHistograms
}

// NewHistograms makes them; Options take them.
func NewHistograms() *Histograms {
	return &Histograms{
		ack:       newHistogram(ackSeconds, 16),       // 1 ms to 33 s
		heartbeat: newHistogram(heartbeatSeconds, 18), // 1 ms to 131 s
		flows:     make(map[string]*FlowHistograms),
	}
}

// newHistogram makes a native histogram for who can take them, with buckets of the old kind for who cannot. Neighbours of the former are
// a tenth apart, and there are never more of them than 160.
func newHistogram(m *metric, buckets int) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.name, Help: m.help, Buckets: prometheus.ExponentialBuckets(0.001, 2, buckets),
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, m.labels)
}

// ForFlow are the histograms of a flow, by its name A->B; always the same for the same one.
func (h *Histograms) ForFlow(name string) *FlowHistograms {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.flows[name]
	if f == nil {
		f = &FlowHistograms{ack: h.ack.WithLabelValues(name), heartbeat: h.heartbeat.WithLabelValues(name)}
		h.flows[name] = f
	}
	return f
}

// commit is how long writes of positions of a flow took lately, if there were any.
func (h *Histograms) commit(flow string, now time.Time) (mean time.Duration, ok bool) {
	if h == nil {
		return 0, false
	}
	h.mu.Lock()
	f := h.flows[flow]
	h.mu.Unlock()
	if f == nil {
		return 0, false
	}
	return f.commits.mean(now)
}

// Describe implements prometheus.Collector.
func (h *Histograms) Describe(out chan<- *prometheus.Desc) {
	h.ack.Describe(out)
	h.heartbeat.Describe(out)
}

// Collect implements prometheus.Collector.
func (h *Histograms) Collect(out chan<- prometheus.Metric) {
	h.ack.Collect(out)
	h.heartbeat.Collect(out)
}

// FlowHistograms take the times of one flow. They may be called from anywhere, allocate nothing, and do not wait for long.
type FlowHistograms struct {
	ack       prometheus.Observer
	heartbeat prometheus.Observer
	commits   means
}

// Acked takes the time from the fetch of a batch to its acknowledgement.
func (f *FlowHistograms) Acked(delay time.Duration) { observe(f.ack, delay) }

// Heartbeat takes the time from the timestamp of a heartbeat to its acknowledgement.
func (f *FlowHistograms) Heartbeat(delay time.Duration) { observe(f.heartbeat, delay) }

// Committed takes how long a write of positions took. It has no histogram: only MM2's names show it.
func (f *FlowHistograms) Committed(took time.Duration) { f.commits.add(took, time.Now()) }

// observe takes a negative time for zero. There are such where clocks differ, and a histogram whose sum falls looks like a restart.
func observe(to prometheus.Observer, delay time.Duration) { to.Observe(max(delay, 0).Seconds()) }

// means is a mean as Kafka has it, of two samples of half a minute.
type means struct {
	mu        sync.Mutex
	began     time.Time // of now
	now, then struct {
		sum time.Duration
		n   int64
	}
}

func (m *means) add(d time.Duration, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(at)
	m.now.sum += d
	m.now.n++
}

func (m *means) mean(at time.Time) (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(at)
	n := m.now.n + m.then.n
	if n == 0 {
		return 0, false
	}
	return (m.now.sum + m.then.sum) / time.Duration(n), true
}

// turn begins a new sample where the last one is old.
func (m *means) turn(at time.Time) {
	age := at.Sub(m.began)
	if age < rateFor {
		return
	}
	if m.then = m.now; age >= 2*rateFor {
		m.then.sum, m.then.n = 0, 0
	}
	m.now.sum, m.now.n = 0, 0
	m.began = at
}
