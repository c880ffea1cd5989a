package metrics

import (
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

const preamble = `# Metrics

Made from the table of internal/metrics; change it there and run ` + "`go test ./internal/metrics -run Markdown -update`" + `.

` + "`mirror`" + ` serves them at ` + "`/metrics`" + ` of ` + "`status.address`" + `, with the bearer token ` + "`status.token`" + ` where there is one. Beside those below there are the Go
runtime's (` + "`go_*`" + `) and the process's (` + "`process_*`" + `), as every Go program with Prometheus' client has them.

Counters begin at 0 with the process. A time is in seconds since 1970, so that ` + "`time() - METRIC`" + ` is an age. "Absent" says when a metric has no
series although the thing exists; where it is empty, there is always one. What is not known is absent, never 0.

## Labels
| label | values |
|---|---|
`

// labelled says what labels mean.
var labelled = [][2]string{
	{"flow", "`A->B`, by the aliases of the file."},
	{"topic, partition", "Of the source; under MM2's names of the target, but for the consumer's lag."},
	{"state", "`catching up`, `live`, `throttled`, `stalled` (tried again, goes on by itself), `quarantined` (the target refuses a record), `halted` (a person has to decide). Each is shown, with 0 too."},
	{"cause", "`truncated`, `recreated`, `deleted`, `expired` (retention was faster), `foreign_writer`, `refused`, `outage`, `right` (authorization), `leaderless`, `other`. Each is shown, with 0 too."},
	{"form", "How a record batch was passed on: `stamp`, `merge`, `recode`, `split`."},
	{"class", "`exact`, `clamped` (nothing is skipped, some records may be read again), `ahead` (beyond what is mirrored), `unknown`."},
	{"kind", "Of a drill: `failover`, `archive`. Of an error of the archive's store: what it asks for, such as `throttled` or `access denied`."},
	{"level", "Of `archive verify`: `list`, `footer`, `chunk`, `record`."},
	{"cluster, subject, trusted", "Of a certificate: alias, distinguished name, whether it is an authority's."},
	{"version, member", "Of the process: its version, and its name among those that share flows."},
	{"source, target, group, connector, task, clientid", "Of MM2's names only: aliases; consumer group; `\"A->B.MirrorSourceConnector\"`; `0`; `\"A->B|MirrorSourceConnector-0|replication-consumer\"` and the like."},
}

const cardinality = `
## How many series
About 50 for a process, up to 150 for a flow with all that it can have, and 2 for each partition that is shown one by one; MM2's names add up
to 13 for each of these, and up to 4 for each position of a group that had a checkpoint in the last minute. ` + "`metrics.partitions.max`" + ` (1000) bounds both, over all flows together:
the first partitions by flow, topic and number are shown. ` + "`tandem_partitions_not_shown`" + ` tells how many are not. Whatever is
said of a flow counts all of its partitions.

`

// panelsWithout are panels of MM2's dashboards that stay empty, and why.
var panelsWithout = [][2]string{
	{"jvm_memory_used_bytes", "There is no JVM. `process_resident_memory_bytes`, and `go_memstats_heap_inuse_bytes` for the heap."},
	{"jvm_gc_collection_seconds_sum", "There is no JVM. `go_gc_duration_seconds_sum`; Go's collector stops the process for microseconds."},
	{"jvm_threads_current", "There is no JVM. `go_goroutines`, `go_threads`."},
	{"container_cpu_usage_seconds_total", "Comes from the machine that runs containers, not from the process, and goes on for a container of the same name. `process_cpu_seconds_total` otherwise."},
}

const panels = `
### Panels that stay empty
Labels that scraping adds (` + "`strimzi_io_kind`, `strimzi_io_cluster`, `kubernetes_pod_name`, `namespace`" + `) are for the scrape configuration to add. Of Strimzi's
dashboard for MM2 these panels have nothing to show:

| asks for | why, and what to look at instead |
|---|---|
`

const otherNames = `
Not shown either are the names that MM2 4.3 can use instead (` + "`kafka.connect:type=plugins`" + `, KIP-1280), and those that Strimzi's own metrics reporter gives to what
is not MM2's but Connect's and the clients' (` + "`kafka_connect_connect_worker_metrics_connector_count`" + ` and the like); what begins with ` + "`kafka_connect_mirror_`" + ` is the
same in both.
`

// Markdown is docs/metrics.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, l := range labelled {
		fmt.Fprintf(&b, "| %s | %s |\n", "`"+strings.ReplaceAll(l[0], ", ", "`, `")+"`", strings.ReplaceAll(l[1], "|", `\|`))
	}
	b.WriteString(cardinality)
	for i, s := range sections() {
		if i > 0 {
			b.WriteByte('\n')
		}
		s.markdown(&b)
	}
	b.WriteString(panels)
	for _, p := range panelsWithout {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p[0], p[1])
	}
	b.WriteString(otherNames)
	return b.String()
}

func (s *section) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n", s.title)
	if s.intro != "" {
		fmt.Fprintf(b, "%s\n\n", s.intro)
	}
	b.WriteString("| name | type | labels | unit | meaning | absent |\n|---|---|---|---|---|---|\n")
	for _, m := range s.metrics {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", m.name, m.typeName(), strings.Join(m.labels, ", "), m.unit, m.help, m.absent)
	}
}

func (m *metric) typeName() string {
	switch m.kind {
	case dto.MetricType_COUNTER:
		return "counter"
	case dto.MetricType_HISTOGRAM:
		return "histogram"
	default:
		return "gauge"
	}
}
