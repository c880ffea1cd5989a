package metrics

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metric is a row of the table.
type metric struct {
	name   string
	kind   dto.MetricType
	labels []string
	order  []int // of labels by name, as Prometheus has them
	unit   string
	help   string
	absent string // when it has no series although what it is about exists; empty: never
	desc   *prometheus.Desc
}

// section is a part of the table.
type section struct {
	title, intro string
	prefix       string
	metrics      []*metric
}

// sections are all of the table, in the order of docs/metrics.md.
func sections() []*section {
	return []*section{ofProcess, ofFlows, ofTimes, ofPartitions, ofGroups, ofArchives, ofDrills, ofMM2}
}

func newSection(title, intro string) *section {
	return &section{title: title, intro: intro, prefix: "tandem_"}
}

func (s *section) add(kind dto.MetricType, name, unit, help, absent string, labels []string) *metric {
	m := &metric{name: s.prefix + name, kind: kind, labels: labels, unit: unit, help: help, absent: absent}
	for i := range labels {
		m.order = append(m.order, i)
	}
	slices.SortFunc(m.order, func(a, b int) int { return strings.Compare(labels[a], labels[b]) })
	m.desc = prometheus.NewDesc(m.name, help, labels, nil)
	s.metrics = append(s.metrics, m)
	return m
}

func (s *section) counter(name, unit, help, absent string, labels ...string) *metric {
	return s.add(dto.MetricType_COUNTER, name, unit, help, absent, labels)
}

func (s *section) gauge(name, unit, help, absent string, labels ...string) *metric {
	return s.add(dto.MetricType_GAUGE, name, unit, help, absent, labels)
}

func (s *section) histogram(name, unit, help, absent string, labels ...string) *metric {
	return s.add(dto.MetricType_HISTOGRAM, name, unit, help, absent, labels)
}

// legible replaces bytes that are no UTF-8, as a certificate's subject may have: they would cost the whole scrape.
func legible(value string) string { return strings.ToValidUTF8(value, "\uFFFD") }

// pairs are the labels of a series, and of all other metrics that have the same labels in the same order.
func (m *metric) pairs(values ...string) []*dto.LabelPair {
	if len(values) != len(m.labels) {
		panic(fmt.Sprintf("metrics: %s has %d labels, not %d", m.name, len(m.labels), len(values)))
	}
	pairs, list := make([]dto.LabelPair, len(values)), make([]*dto.LabelPair, len(values))
	for i, at := range m.order {
		values[at] = legible(values[at])
		pairs[i].Name, pairs[i].Value = &m.labels[at], &values[at]
		list[i] = &pairs[i]
	}
	return list
}

// series is one value at a scrape. Unlike the constant metrics of client_golang it shares its labels with others, and brings its own
// room: that is most of what a scrape of many partitions costs.
type series struct {
	of     *metric
	labels []*dto.LabelPair
	value  float64
	gauge  dto.Gauge
}

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.of.desc }

// Write implements prometheus.Metric.
func (s *series) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.of.kind == dto.MetricType_COUNTER {
		out.Counter = &dto.Counter{Value: &s.value}
	} else {
		s.gauge.Value, out.Gauge = &s.value, &s.gauge
	}
	return nil
}
