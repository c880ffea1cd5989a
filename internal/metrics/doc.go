// Package metrics shows Prometheus what the flows are doing, and what a person on call must know.
//
// In: a function that tells, at each scrape, where everything stands (a Snapshot), and times as they happen (Histograms). Out: a
// registry with Tandem's metrics, MM2's where they are wanted, the Go runtime's and the process's own. docs/metrics.md, made from the
// table in this package, says what each of them means, and when it is absent.
//
// Terms: a series is one metric with one set of labels. A partition, or a group's checkpoint of one, is shown when it has series of
// its own; how many are is bounded, and sums count all.
//
// Not guaranteed: that what is shown is newer than what the flow has last heard of its clusters. tandem_rpo_seconds is the one that
// grows while nothing is heard.
package metrics
