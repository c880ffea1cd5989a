package metrics

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// writer hands over the series of one scrape.
type writer struct {
	out   chan<- prometheus.Metric
	now   time.Time
	block []series // to take the next ones from: one allocation for many
}

// set gives the metric with these labels a value.
func (w *writer) set(m *metric, value float64, labels ...string) { w.put(m, value, m.pairs(labels...)) }

func (w *writer) count(m *metric, value int64, labels ...string) { w.set(m, float64(value), labels...) }

func (w *writer) flag(m *metric, value bool, labels ...string) {
	if value {
		w.set(m, 1, labels...)
	} else {
		w.set(m, 0, labels...)
	}
}

// moment gives it a time, unless that is zero.
func (w *writer) moment(m *metric, value time.Time, labels ...string) {
	if !value.IsZero() {
		w.set(m, float64(value.UnixMilli())/1000, labels...)
	}
}

// since gives it the seconds since a time, unless that is zero. It may be of a clock that is ahead of ours.
func (w *writer) since(m *metric, value time.Time, labels ...string) {
	if !value.IsZero() {
		w.set(m, max(w.now.Sub(value), 0).Seconds(), labels...)
	}
}

// put is set with labels that are shared.
func (w *writer) put(m *metric, value float64, labels []*dto.LabelPair) {
	if len(w.block) == 0 {
		w.block = make([]series, 256)
	}
	s := &w.block[0]
	w.block = w.block[1:]
	s.of, s.labels, s.value = m, labels, value
	w.out <- s
}

// each gives values by a last label: those listed, with 0 too, and what else there is.
func each[N int | int64](w *writer, m *metric, listed []string, values map[string]N, flow string) {
	for _, label := range listed {
		w.set(m, float64(values[label]), flow, label)
	}
	for _, label := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(listed, label) {
			w.set(m, float64(values[label]), flow, label)
		}
	}
}
