package metrics

import (
	"regexp"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// panel is what a panel asks for: a metric with labels that must match, and labels to sum by.
type panel struct {
	title  string
	metric string
	match  map[string]string // whole values, as expressions
	by     []string
}

// strimziPanels are those of Strimzi's dashboard for MM2. Labels that scraping adds (strimzi_io_kind and the like) are left out.
var strimziPanels = []panel{
	{"Total Number of Running Connectors", "kafka_connect_worker_connector_count", nil, nil},
	{"Total record rate", "kafka_connect_mirror_mirrorsourceconnector_record_rate", nil, nil},
	{"Record Age", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms", nil, []string{"partition", "topic"}},
	{"Record Age", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_avg", nil, []string{"partition", "topic"}},
	{"Record Age", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_min", nil, []string{"partition", "topic"}},
	{"Record Age", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_max", nil, []string{"partition", "topic"}},
	{"Total Number of Running Tasks", "kafka_connect_worker_task_count", nil, nil},
	{"Total byte rate", "kafka_connect_mirror_mirrorsourceconnector_byte_rate", nil, nil},
	{"Consumer Lag", "kafka_consumer_fetch_manager_records_lag", map[string]string{"clientid": `.*replication-consumer"`}, []string{"topic", "partition"}},
	{"Incoming Bytes per Second", "kafka_consumer_incoming_byte_total", nil, nil},
	{"Outgoing Bytes per Second", "kafka_producer_outgoing_byte_total", nil, nil},
	{"Replication Latency", "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms", nil, []string{"partition", "topic"}},
	{"Replication Latency", "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_avg", nil, []string{"partition", "topic"}},
	{"Replication Latency", "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_min", nil, []string{"partition", "topic"}},
	{"Replication Latency", "kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_max", nil, []string{"partition", "topic"}},
	{"Consumer Group Offset Sync Latency", "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms", nil, []string{"source", "target", "topic", "partition", "group"}},
	{"Producer Available Buffer", "kafka_producer_buffer_available_bytes", map[string]string{"clientid": `".*SourceConnector-[0-9]+"`}, nil},
	{"Average Offset Commit Time", "kafka_connect_connector_task_offset_commit_avg_time_ms", map[string]string{"connector": `".*SourceConnector"`, "task": `[0-9]+`}, nil},
	{"Outstanding Messages Queue", "kafka_connect_source_task_source_record_active_count", map[string]string{"connector": `".*SourceConnector"`}, nil},
	{"Assigned Connectors per Worker", "kafka_connect_coordinator_assigned_connectors", nil, nil},
	{"Rebalancing", "kafka_connect_worker_rebalance_rebalancing", nil, nil},
	{"Assigned Tasks per Worker", "kafka_connect_coordinator_assigned_tasks", nil, nil},
	{"CPU Usage", "container_cpu_usage_seconds_total", nil, nil},
	{"JVM Memory", "jvm_memory_used_bytes", nil, nil},
	{"Time Spent in GC", "jvm_gc_collection_seconds_sum", nil, nil},
	{"JVM Thread Count", "jvm_threads_current", nil, nil},
}

// Every panel of a dashboard that a user has finds something, or docs/metrics.md says why not.
func TestPanelsOfMM2FindSeries(t *testing.T) {
	families, err := NewRegistry(options(recently()), busy).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strimziPanels {
		without := slices.ContainsFunc(panelsWithout, func(w [2]string) bool { return w[0] == p.metric })
		at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == p.metric })
		if at < 0 || without {
			if at >= 0 || !without {
				t.Errorf("%s: %s: it is there: %t, and said not to be: %t", p.title, p.metric, at >= 0, without)
			}
			continue
		}
		found := slices.ContainsFunc(families[at].GetMetric(), func(m *dto.Metric) bool {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			for name, want := range p.match {
				if !regexp.MustCompile(`^(?:` + want + `)$`).MatchString(labels[name]) {
					return false
				}
			}
			return !slices.ContainsFunc(p.by, func(name string) bool { return labels[name] == "" })
		})
		if !found {
			t.Errorf("%s: no series of %s has what the panel asks for: %v", p.title, p.metric, families[at].GetMetric())
		}
	}
	for _, w := range panelsWithout {
		if !slices.ContainsFunc(strimziPanels, func(p panel) bool { return p.metric == w[0] }) {
			t.Errorf("no panel asks for %s", w[0])
		}
	}
}

// recently are histograms to which something happened just now.
func recently() *Histograms {
	h := busyTimes()
	h.ForFlow("A->B").Committed(1)
	return h
}
