package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tandem/internal/stream"
)

// noon is when the snapshots of tests are taken.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// options are those of a process whose board knows all that replicate knows.
func options(h *Histograms) Options {
	return Options{
		States: []string{"catching up", "live", "halted"}, Causes: []string{"truncated", "outage", "other"},
		Partitions: 1000, MM2Names: true, Histograms: h,
	}
}

// busy is a snapshot in which everything that can be told is told.
func busy() Snapshot {
	ms := time.Millisecond
	return Snapshot{
		Build: Build{Version: "1.2.3", Instance: "host-1"}, Ready: true, MemoryUsed: 5, MemoryLimit: 64,
		Flows: []Flow{{
			Name: "A->B", Up: true, Members: 2, Differ: true, Duties: true, Rebalancing: true,
			Records: 100, Bytes: 2000, Fetched: 2100, Refused: 1,
			Forms: map[string]int64{"stamp": 90, "merge": 10}, FormBytes: map[string]int64{"stamp": 1900, "merge": 100}, FormBatches: map[string]int64{"stamp": 9, "merge": 1},
			Troubles:  map[string]int64{"truncated": 1, "outage": 3},
			Heartbeat: noon.Add(-1500 * ms), MapBytes: 4096, MapInconsistent: 2,
			Groups: &Groups{
				Number: 3, Positions: map[string]int{"exact": 4, "unknown": 1}, Round: noon.Add(-7 * time.Second), Took: 250 * ms, Written: 12, Synced: 5,
				Checkpoints: []Checkpoint{{Group: "billing", Remote: stream.Partition{Topic: "A.orders", Number: 1},
					Latency: Window{Seen: true, Last: 30 * ms, Recent: true, Min: 20 * ms, Max: 40 * ms, Avg: 25 * ms}}},
			},
			Partitions: []Partition{
				{
					Topic: "orders", Number: 1, Remote: stream.Partition{Topic: "A.orders", Number: 1}, State: "halted", Cause: "truncated", Stands: true,
					Lag: 7, Behind: 90 * time.Second, Sure: noon.Add(-2 * time.Minute), Records: 60, Bytes: 1200, InFlight: 4,
					Age:     Window{Seen: true, Last: 3 * ms, Recent: true, Min: 1 * ms, Max: 5 * ms, Avg: 2500 * time.Microsecond},
					Latency: Window{Seen: true, Last: 13 * ms, Recent: true, Min: 11 * ms, Max: 15 * ms, Avg: 12500 * time.Microsecond},
				},
				{Topic: "orders", Number: 0, Remote: stream.Partition{Topic: "A.orders"}, State: "live", Lag: 3, Behind: time.Second, Sure: noon.Add(-time.Second)},
			},
		}},
		Archives: []Archive{{
			Flow: "A->B", Up: true, Age: 3 * time.Second, Behind: 2, Bundles: 7, Bytes: 700, Gaps: 1, Errors: map[string]int64{"throttled": 4}, Memory: 99,
			Durable: noon.Add(-3 * time.Second), Listed: noon.Add(-time.Minute), Oldest: noon.Add(-24 * time.Hour), Objects: 70, Stored: 7000, Holes: 1,
			Verified: []Verified{{Level: "record", At: noon.Add(-48 * time.Hour), Passed: true}, {Level: "list", At: noon.Add(-time.Hour)}},
		}},
		Drills: []Drill{
			{Flow: "A->B", Kind: "failover", At: noon.Add(-time.Hour), Took: 90 * time.Second, Passed: true, Due: noon.Add(time.Hour)},
			{Flow: "A->B", Kind: "archive", At: noon.Add(-2 * time.Hour), Took: time.Minute},
		},
		Certificates: []Certificate{{Cluster: "A", Subject: "CN=mirror", Ends: noon.Add(240 * time.Hour)}, {Cluster: "A", Subject: "CN=authority", Trusted: true, Ends: noon.Add(480 * time.Hour)}},
	}
}

// busyTimes are histograms that have been told something.
func busyTimes() *Histograms {
	h := NewHistograms()
	f := h.ForFlow("A->B")
	f.Acked(5 * time.Millisecond)
	f.Acked(7 * time.Millisecond)
	f.Heartbeat(40 * time.Millisecond)
	f.commits.add(6*time.Millisecond, noon)
	return h
}

// at is what a process that has run for a minute shows of a snapshot, in a registry that checks more than usual.
func at(t testing.TB, o Options, s Snapshot) *prometheus.Registry {
	t.Helper()
	began := true
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newCollector(o, func() Snapshot { return s }, func() time.Time {
		if began {
			began = false
			return noon.Add(-time.Minute)
		}
		return noon
	}))
	if o.Histograms != nil {
		r.MustRegister(o.Histograms)
	}
	return r
}

// gather is every series as name{label="value",...}, with its value; of a histogram how much it has taken.
func gather(t testing.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[seriesOf(f, m)] = valueOf(m)
		}
	}
	return all
}

func seriesOf(f *dto.MetricFamily, m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	return f.GetName() + "{" + strings.Join(labels, ",") + "}"
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	default:
		return m.Gauge.GetValue()
	}
}
