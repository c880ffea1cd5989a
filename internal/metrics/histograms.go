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
		ack: histogram("tandem_ack_seconds", "From the fetch of a record batch to its acknowledgement by the target cluster.",
			prometheus.ExponentialBuckets(0.001, 2, 16)),
		heartbeat: histogram("tandem_heartbeat_seconds", "From the timestamp of a heartbeat of the source to its acknowledgement by the target cluster.",
			prometheus.ExponentialBuckets(0.001, 2, 18)),
		flows: make(map[string]*FlowHistograms),
	}
}

// histogram is a native histogram for who can take them, with buckets of old for who cannot.
func histogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, []string{"flow"})
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
}

// Acked takes the time from the fetch of a batch to its acknowledgement.
func (f *FlowHistograms) Acked(delay time.Duration) { f.ack.Observe(delay.Seconds()) }

// Heartbeat takes the time from the timestamp of a heartbeat to its acknowledgement. Where the clocks differ it may be negative, and is
// taken for zero: a sum that falls looks like a restart.
func (f *FlowHistograms) Heartbeat(delay time.Duration) { f.heartbeat.Observe(max(delay, 0).Seconds()) }
