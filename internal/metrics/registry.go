package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// Options say what is shown.
type Options struct {
	States     []string    // values of the label state, so that each is shown, with 0 too
	Causes     []string    // of the label cause, in the same way
	Partitions int         // most partitions that are shown one by one; as many checkpoints under MM2's names
	MM2Names   bool        // show MM2's metrics too
	Histograms *Histograms // nil: none
}

// NewRegistry makes a registry that takes a snapshot at each scrape.
func NewRegistry(o Options, take func() Snapshot) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(o, take, time.Now),
	)
	if o.Histograms != nil {
		r.MustRegister(o.Histograms)
	}
	return r
}

type collector struct {
	Options
	take  func() Snapshot
	now   func() time.Time
	rates *rates
}

func newCollector(o Options, take func() Snapshot, now func() time.Time) *collector {
	return &collector{Options: o, take: take, now: now, rates: newRates(now())}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range sections() {
		for _, m := range s.metrics {
			if m.kind != dto.MetricType_HISTOGRAM && (c.MM2Names || s != ofMM2) {
				out <- m.desc
			}
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.take()
	w := &writer{out: out, now: c.now()}
	w.process(s)
	w.archives(s.Archives)
	w.drills(s.Drills)
	w.certificates(s.Certificates)
	shown := choose(s.Flows, c.Partitions)
	for _, f := range shown {
		w.flow(f, c.Options)
	}
	if c.MM2Names {
		w.mm2(s, shown, c)
	}
}
