// Package metrics shows Prometheus what the flows are doing.
//
// In: a function that tells, at each scrape, where flows and partitions stand. Out: a registry with these metrics, the Go
// runtime's and the process's own.
//
//	tandem_records_total{flow}                               records acknowledged by the target
//	tandem_bytes_total{flow}                                 bytes of their batches, as sent
//	tandem_batch_records_total{flow,form}                    records by the form in which they were passed on
//	tandem_partitions{flow,state}                            partitions in each state
//	tandem_lag_records{flow}, tandem_lag_seconds{flow}       sum over partitions; the largest of them
//	tandem_partition_lag_records{flow,topic,partition}       records of the source that are not yet on the target
//	tandem_partition_lag_seconds{flow,topic,partition}       for how long the partition has been behind
//	tandem_refused_records_total{flow}                       records that the target refused and that were set aside
//	tandem_groups{flow}                                      consumer groups that are looked after
//	tandem_group_positions{flow,class}                       their positions, by how exactly their place on the target is known
//	tandem_checkpoints_age_seconds{flow}                     since the last round that looked at all of them
//	tandem_checkpoints_round_seconds{flow}                   how long that round took
//	tandem_checkpoints_written_total{flow}                   checkpoints written
//	tandem_synced_offsets_total{flow}                        offsets committed on the target by group sync
//	tandem_offset_map_bytes{flow}                            memory of the exact map of offsets, about
//	tandem_archive_up{flow}                                  1 while the flow's archive is written, 0 before it has begun and after it has failed
//	tandem_archive_age_seconds{flow}                         since when what is not durable in it has waited
//	tandem_archive_behind_partitions{flow}                   partitions of which the source has more than the archive has taken
//	tandem_archive_bundles_total{flow}                       bundles stored
//	tandem_archive_bytes_total{flow}                         bytes of them
//	tandem_archive_gaps_total{flow}                          places where the source no longer had what was to be archived next
//	tandem_archive_errors_total{flow,kind}                   errors of the store, by kind; all but those that end the archive are tried again
//	tandem_archive_memory_used_bytes{flow}                   of archive.memory.bytes
//	tandem_memory_used_bytes, tandem_memory_limit_bytes      of memory.bytes
//
// Not guaranteed: that a lag is newer than the last fetch of its partition.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// States are the values of the label state, so that each is shown, with 0 too.
type States []string

// Options say what is shown.
type Options struct {
	States     []string    // values of the label state, so that each is shown, with 0 too
	Causes     []string    // of the label cause, in the same way
	Partitions int         // most partitions that are shown one by one; as many checkpoints under MM2's names
	MM2Names   bool        // show MM2's metrics too
	Histograms *Histograms // nil: none
}

// NewRegistry makes a registry that takes a snapshot at each scrape.
func NewRegistry[O Options | States](options O, take func() Snapshot) *prometheus.Registry {
	o, ok := any(options).(Options)
	if !ok {
		o = Options{States: any(options).(States), Partitions: 1000}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{o.States, take},
	)
	if o.Histograms != nil {
		r.MustRegister(o.Histograms)
	}
	return r
}

type collector struct {
	states States
	take   func() Snapshot
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tandem_"+name, help, labels, nil)
}

var (
	records      = desc("records_total", "Records acknowledged by the target cluster.", "flow")
	bytes        = desc("bytes_total", "Bytes of acknowledged record batches, as sent.", "flow")
	forms        = desc("batch_records_total", "Records by the form in which their batches were passed on.", "flow", "form")
	refused      = desc("refused_records_total", "Records that the target refused and that were set aside (on.refused=skip).", "flow")
	partitions   = desc("partitions", "Partitions by state.", "flow", "state")
	lagRecords   = desc("lag_records", "Records of the source that are not yet on the target.", "flow")
	lagSeconds   = desc("lag_seconds", "For how long the partition that is furthest behind has been behind.", "flow")
	partRecords  = desc("partition_lag_records", "Records of the source partition that are not yet on the target.", "flow", "topic", "partition")
	partSeconds  = desc("partition_lag_seconds", "For how long the partition has been behind.", "flow", "topic", "partition")
	groups       = desc("groups", "Consumer groups that have checkpoints.", "flow")
	positions    = desc("group_positions", "Positions of consumer groups, by how exactly their place on the target is known.", "flow", "class")
	groupsAge    = desc("checkpoints_age_seconds", "Since the last round that looked at all consumer groups.", "flow")
	groupsTook   = desc("checkpoints_round_seconds", "How long the last round took that looked at all consumer groups.", "flow")
	written      = desc("checkpoints_written_total", "Checkpoints written.", "flow")
	synced       = desc("synced_offsets_total", "Offsets of consumer groups that group sync has committed on the target.", "flow")
	mapBytes     = desc("offset_map_bytes", "Memory of the exact map of offsets, about.", "flow")
	archiveUp    = desc("archive_up", "1 while the archive is written, 0 before it has begun and after it has failed.", "flow")
	archiveAge   = desc("archive_age_seconds", "Since when what is not durable in the archive has waited.", "flow")
	archiveLags  = desc("archive_behind_partitions", "Partitions of which the source has more than the archive has taken.", "flow")
	bundles      = desc("archive_bundles_total", "Bundles stored in the archive.", "flow")
	bundleBytes  = desc("archive_bytes_total", "Bytes of the bundles stored in the archive.", "flow")
	archiveGaps  = desc("archive_gaps_total", "Places where the source no longer had what was to be archived next.", "flow")
	storeErrors  = desc("archive_errors_total", "Errors of the archive's store, by kind.", "flow", "kind")
	archiveRoom  = desc("archive_memory_used_bytes", "Bytes that wait to be stored in the archive, or are on their way.", "flow")
	memoryUsed   = desc("memory_used_bytes", "Bytes of records between fetch and acknowledgement.")
	memoryLimit  = desc("memory_limit_bytes", "The setting memory.bytes.")
	descriptions = []*prometheus.Desc{records, bytes, forms, refused, partitions, lagRecords, lagSeconds, partRecords, partSeconds, groups, positions, groupsAge,
		groupsTook, written, synced, mapBytes, archiveUp, archiveAge, archiveLags, bundles, bundleBytes, archiveGaps, storeErrors, archiveRoom, memoryUsed, memoryLimit}
)

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		out <- d
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := c.take()
	gauge(memoryUsed, float64(s.MemoryUsed))
	gauge(memoryLimit, float64(s.MemoryLimit))
	for _, a := range s.Archives {
		up := 0.0
		if a.Up {
			up = 1
		}
		gauge(archiveUp, up, a.Flow)
		gauge(archiveAge, a.Age.Seconds(), a.Flow)
		gauge(archiveLags, float64(a.Behind), a.Flow)
		counter(bundles, a.Bundles, a.Flow)
		counter(bundleBytes, a.Bytes, a.Flow)
		counter(archiveGaps, a.Gaps, a.Flow)
		gauge(archiveRoom, float64(a.Memory), a.Flow)
		for kind, n := range a.Errors {
			counter(storeErrors, n, a.Flow, kind)
		}
	}
	for _, f := range s.Flows {
		counter(records, f.Records, f.Name)
		counter(bytes, f.Bytes, f.Name)
		counter(refused, f.Refused, f.Name)
		for form, n := range f.Forms {
			counter(forms, n, f.Name, form)
		}
		gauge(mapBytes, float64(f.MapBytes), f.Name)
		if g := f.Groups; g != nil {
			counter(written, g.Written, f.Name)
			counter(synced, g.Synced, f.Name)
			gauge(groups, float64(g.Number), f.Name)
			for class, n := range g.Positions {
				gauge(positions, float64(n), f.Name, class)
			}
			if !g.Round.IsZero() {
				gauge(groupsAge, time.Since(g.Round).Seconds(), f.Name)
				gauge(groupsTook, g.Took.Seconds(), f.Name)
			}
		}
		in := make(map[string]int)
		var lag int64
		var longest time.Duration
		for _, p := range f.Partitions {
			in[p.State]++
			lag += p.Lag
			longest = max(longest, p.Behind)
			number := strconv.Itoa(int(p.Number))
			gauge(partRecords, float64(p.Lag), f.Name, p.Topic, number)
			gauge(partSeconds, p.Behind.Seconds(), f.Name, p.Topic, number)
		}
		for _, state := range c.states {
			gauge(partitions, float64(in[state]), f.Name, state)
		}
		gauge(lagRecords, float64(lag), f.Name)
		gauge(lagSeconds, longest.Seconds(), f.Name)
	}
}
