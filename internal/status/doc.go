// Package status answers over HTTP how the process is: /healthz for whether it lives, /readyz for whether every partition
// moves, /metrics for Prometheus.
//
// In: a function that tells where all partitions stand, and a Prometheus gatherer. Out: a Server that Run serves until its
// context ends.
//
// Not guaranteed: that /readyz notices a partition that stands still at once. It is judged by what the pipe knew at its last
// fetch.
package status
