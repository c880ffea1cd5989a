package metrics

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"tandem/internal/stream"
)

// everything is what busy must show, MM2's names apart.
const everything = `
tandem_ack_seconds{flow="A->B"} 2
tandem_archive_age_seconds{flow="A->B"} 3
tandem_archive_behind_partitions{flow="A->B"} 2
tandem_archive_bundles_total{flow="A->B"} 7
tandem_archive_bytes_total{flow="A->B"} 700
tandem_archive_durable_timestamp_seconds{flow="A->B"} 1795175997
tandem_archive_errors_total{flow="A->B",kind="throttled"} 4
tandem_archive_gaps_total{flow="A->B"} 1
tandem_archive_holes{flow="A->B"} 1
tandem_archive_listed_timestamp_seconds{flow="A->B"} 1795175940
tandem_archive_memory_used_bytes{flow="A->B"} 99
tandem_archive_objects{flow="A->B"} 70
tandem_archive_oldest_restorable_timestamp_seconds{flow="A->B"} 1795089600
tandem_archive_stored_bytes{flow="A->B"} 7000
tandem_archive_up{flow="A->B"} 1
tandem_archive_verified_timestamp_seconds{flow="A->B",level="list"} 1795172400
tandem_archive_verified_timestamp_seconds{flow="A->B",level="record"} 1795003200
tandem_archive_verify_passed{flow="A->B",level="list"} 0
tandem_archive_verify_passed{flow="A->B",level="record"} 1
tandem_batch_bytes_total{flow="A->B",form="merge"} 100
tandem_batch_bytes_total{flow="A->B",form="stamp"} 1900
tandem_batch_records_total{flow="A->B",form="merge"} 10
tandem_batch_records_total{flow="A->B",form="stamp"} 90
tandem_batches_total{flow="A->B",form="merge"} 1
tandem_batches_total{flow="A->B",form="stamp"} 9
tandem_build_info{member="host-1",version="1.2.3"} 1
tandem_bytes_total{flow="A->B"} 2000
tandem_certificate_expiry_timestamp_seconds{cluster="A",subject="CN=authority",trusted="true"} 1796904000
tandem_certificate_expiry_timestamp_seconds{cluster="A",subject="CN=mirror",trusted="false"} 1796040000
tandem_checkpoints_age_seconds{flow="A->B"} 7
tandem_checkpoints_round_seconds{flow="A->B"} 0.25
tandem_checkpoints_written_total{flow="A->B"} 12
tandem_drill_due_timestamp_seconds{flow="A->B",kind="failover"} 1795179600
tandem_drill_duration_seconds{flow="A->B",kind="archive"} 60
tandem_drill_duration_seconds{flow="A->B",kind="failover"} 90
tandem_drill_passed{flow="A->B",kind="archive"} 0
tandem_drill_passed{flow="A->B",kind="failover"} 1
tandem_drill_timestamp_seconds{flow="A->B",kind="archive"} 1795168800
tandem_drill_timestamp_seconds{flow="A->B",kind="failover"} 1795172400
tandem_flow_members{flow="A->B"} 2
tandem_flow_settings_differ{flow="A->B"} 1
tandem_flow_up{flow="A->B"} 1
tandem_group_positions{class="exact",flow="A->B"} 4
tandem_group_positions{class="unknown",flow="A->B"} 1
tandem_groups{flow="A->B"} 3
tandem_heartbeat_age_seconds{flow="A->B"} 1.5
tandem_heartbeat_seconds{flow="A->B"} 1
tandem_lag_records{flow="A->B"} 10
tandem_lag_seconds{flow="A->B"} 90
tandem_memory_limit_bytes{} 64
tandem_memory_used_bytes{} 5
tandem_offset_map_bytes{flow="A->B"} 4096
tandem_offset_map_inconsistent_total{flow="A->B"} 2
tandem_partition_lag_records{flow="A->B",partition="0",topic="orders"} 3
tandem_partition_lag_records{flow="A->B",partition="1",topic="orders"} 7
tandem_partition_lag_seconds{flow="A->B",partition="0",topic="orders"} 1
tandem_partition_lag_seconds{flow="A->B",partition="1",topic="orders"} 90
tandem_partitions{flow="A->B",state="catching up"} 0
tandem_partitions{flow="A->B",state="halted"} 1
tandem_partitions{flow="A->B",state="live"} 1
tandem_partitions_not_shown{flow="A->B"} 0
tandem_partitions_standing{flow="A->B"} 1
tandem_partitions_troubled{cause="other",flow="A->B"} 0
tandem_partitions_troubled{cause="outage",flow="A->B"} 0
tandem_partitions_troubled{cause="truncated",flow="A->B"} 1
tandem_ready{} 1
tandem_records_total{flow="A->B"} 100
tandem_refused_records_total{flow="A->B"} 1
tandem_rpo_records{flow="A->B"} 10
tandem_rpo_seconds{flow="A->B"} 120
tandem_synced_offsets_total{flow="A->B"} 5
tandem_troubles_total{cause="other",flow="A->B"} 0
tandem_troubles_total{cause="outage",flow="A->B"} 3
tandem_troubles_total{cause="truncated",flow="A->B"} 1
`

// everythingOfMM2 is what it must show under MM2's names.
const everythingOfMM2 = `
kafka_connect_connector_task_offset_commit_avg_time_ms{connector="\"A->B.MirrorSourceConnector\"",task="0"} 6
kafka_connect_coordinator_assigned_connectors{clientid="\"A->B\""} 1
kafka_connect_coordinator_assigned_tasks{clientid="\"A->B\""} 1
kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms{group="billing",partition="1",source="A",target="B",topic="A.orders"} 30
kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_avg{group="billing",partition="1",source="A",target="B",topic="A.orders"} 25
kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_max{group="billing",partition="1",source="A",target="B",topic="A.orders"} 40
kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_min{group="billing",partition="1",source="A",target="B",topic="A.orders"} 20
kafka_connect_mirror_mirrorsourceconnector_byte_count{partition="0",source="A",target="B",topic="A.orders"} 0
kafka_connect_mirror_mirrorsourceconnector_byte_count{partition="1",source="A",target="B",topic="A.orders"} 1200
kafka_connect_mirror_mirrorsourceconnector_byte_rate{partition="0",source="A",target="B",topic="A.orders"} 0
kafka_connect_mirror_mirrorsourceconnector_byte_rate{partition="1",source="A",target="B",topic="A.orders"} 20
kafka_connect_mirror_mirrorsourceconnector_record_age_ms{partition="1",source="A",target="B",topic="A.orders"} 3
kafka_connect_mirror_mirrorsourceconnector_record_age_ms_avg{partition="1",source="A",target="B",topic="A.orders"} 2.5
kafka_connect_mirror_mirrorsourceconnector_record_age_ms_max{partition="1",source="A",target="B",topic="A.orders"} 5
kafka_connect_mirror_mirrorsourceconnector_record_age_ms_min{partition="1",source="A",target="B",topic="A.orders"} 1
kafka_connect_mirror_mirrorsourceconnector_record_count{partition="0",source="A",target="B",topic="A.orders"} 0
kafka_connect_mirror_mirrorsourceconnector_record_count{partition="1",source="A",target="B",topic="A.orders"} 60
kafka_connect_mirror_mirrorsourceconnector_record_rate{partition="0",source="A",target="B",topic="A.orders"} 0
kafka_connect_mirror_mirrorsourceconnector_record_rate{partition="1",source="A",target="B",topic="A.orders"} 1
kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms{partition="1",source="A",target="B",topic="A.orders"} 13
kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_avg{partition="1",source="A",target="B",topic="A.orders"} 12.5
kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_max{partition="1",source="A",target="B",topic="A.orders"} 15
kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_min{partition="1",source="A",target="B",topic="A.orders"} 11
kafka_connect_source_task_source_record_active_count{connector="\"A->B.MirrorSourceConnector\"",task="0"} 4
kafka_connect_worker_connector_count{} 1
kafka_connect_worker_rebalance_rebalancing{} 1
kafka_connect_worker_task_count{} 1
kafka_consumer_fetch_manager_records_lag{clientid="\"A->B|MirrorSourceConnector-0|replication-consumer\"",partition="0",topic="orders"} 3
kafka_consumer_fetch_manager_records_lag{clientid="\"A->B|MirrorSourceConnector-0|replication-consumer\"",partition="1",topic="orders"} 7
kafka_consumer_incoming_byte_total{clientid="\"A->B|MirrorSourceConnector-0|replication-consumer\""} 2100
kafka_producer_buffer_available_bytes{clientid="\"connector-producer-MirrorSourceConnector-0\""} 59
kafka_producer_outgoing_byte_total{clientid="\"connector-producer-A->B.MirrorSourceConnector-0\""} 2000
`

// parse reads lists as those above.
func parse(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for lines := bufio.NewScanner(strings.NewReader(strings.TrimSpace(text))); lines.Scan(); {
		at := strings.LastIndexByte(lines.Text(), ' ')
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[lines.Text()[:at]] = value
	}
	return all
}

func compare(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok {
			t.Errorf("absent: %s", name)
		} else if value != want[name] {
			t.Errorf("%s is %v, not %v", name, value, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("not expected: %s %v", name, got[name])
		}
	}
}

func TestEverythingIsShown(t *testing.T) {
	want := parse(t, everything)
	maps.Copy(want, parse(t, everythingOfMM2))
	compare(t, gather(t, at(t, options(busyTimes()), busy())), want)
	for _, s := range sections() {
		for _, m := range s.metrics {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(series string) bool { return strings.HasPrefix(series, m.name+"{") }) {
				t.Errorf("no test shows %s", m.name)
			}
		}
	}
}

func TestMM2NamesCanBeLeftOut(t *testing.T) {
	o := options(busyTimes())
	o.MM2Names = false
	compare(t, gather(t, at(t, o, busy())), parse(t, everything))
}

// What is not known has no series: a zero would be taken for news.
func TestAbsence(t *testing.T) {
	unknown := func(change func(*Snapshot)) map[string]float64 {
		s := busy()
		change(&s)
		return gather(t, at(t, options(busyTimes()), s))
	}
	for _, c := range []struct {
		name   string
		change func(*Snapshot)
		gone   []string // names of metrics; what is left of busy stays
	}{
		{"build", func(s *Snapshot) { s.Build = Build{} }, []string{"tandem_build_info"}},
		{"members", func(s *Snapshot) { s.Flows[0].Members = 0 }, []string{"tandem_flow_members", "tandem_flow_settings_differ"}},
		{"heartbeat", func(s *Snapshot) { s.Flows[0].Heartbeat = time.Time{} }, []string{"tandem_heartbeat_age_seconds"}},
		{"groups", func(s *Snapshot) { s.Flows[0].Groups = nil }, []string{
			"tandem_groups", "tandem_group_positions", "tandem_checkpoints_age_seconds", "tandem_checkpoints_round_seconds", "tandem_checkpoints_written_total",
			"tandem_synced_offsets_total", "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms", "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_avg",
			"kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_max", "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms_min"}},
		{"before the first round", func(s *Snapshot) { s.Flows[0].Groups.Round = time.Time{} }, []string{"tandem_checkpoints_age_seconds", "tandem_checkpoints_round_seconds"}},
		{"a flow that does not answer", func(s *Snapshot) { s.Flows[0].Up, s.Flows[0].Partitions = false, nil }, []string{
			"tandem_partitions", "tandem_partitions_standing", "tandem_partitions_troubled", "tandem_partitions_not_shown", "tandem_lag_records", "tandem_lag_seconds",
			"tandem_rpo_records", "tandem_rpo_seconds", "tandem_partition_lag_records", "tandem_partition_lag_seconds", "kafka_connect_source_task_source_record_active_count",
			"kafka_consumer_fetch_manager_records_lag", "kafka_connect_mirror_mirrorsourceconnector_*"}},
		{"durable", func(s *Snapshot) { s.Archives[0].Durable = time.Time{} }, []string{"tandem_archive_durable_timestamp_seconds"}},
		{"never listed", func(s *Snapshot) { s.Archives[0].Listed = time.Time{} }, []string{"tandem_archive_listed_timestamp_seconds",
			"tandem_archive_oldest_restorable_timestamp_seconds", "tandem_archive_objects", "tandem_archive_stored_bytes", "tandem_archive_holes"}},
		{"nothing can be restored", func(s *Snapshot) { s.Archives[0].Oldest = time.Time{} }, []string{"tandem_archive_oldest_restorable_timestamp_seconds"}},
		{"never verified", func(s *Snapshot) { s.Archives[0].Verified = []Verified{{Level: "record"}} }, []string{"tandem_archive_verified_timestamp_seconds", "tandem_archive_verify_passed"}},
		{"no archive", func(s *Snapshot) { s.Archives = nil }, []string{"tandem_archive_*"}},
		{"no drills", func(s *Snapshot) { s.Drills = nil }, []string{"tandem_drill_*"}},
		{"drills that were never run", func(s *Snapshot) { s.Drills[0].At, s.Drills[1].At = time.Time{}, time.Time{} }, []string{
			"tandem_drill_timestamp_seconds", "tandem_drill_passed", "tandem_drill_duration_seconds"}},
		{"no schedule", func(s *Snapshot) { s.Drills[0].Due = time.Time{} }, []string{"tandem_drill_due_timestamp_seconds"}},
		{"a certificate without an end", func(s *Snapshot) { s.Certificates[0].Ends, s.Certificates[1].Ends = time.Time{}, time.Time{} }, []string{"tandem_certificate_expiry_timestamp_seconds"}},
		{"nothing measured lately", func(s *Snapshot) { s.Flows[0].Partitions[0].Age.Recent = false }, []string{
			"kafka_connect_mirror_mirrorsourceconnector_record_age_ms_avg", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_min", "kafka_connect_mirror_mirrorsourceconnector_record_age_ms_max"}},
		{"nothing measured ever", func(s *Snapshot) { s.Flows[0].Partitions[0].Latency = Window{} }, []string{
			"kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := unknown(c.change)
			names := make(map[string]bool)
			for series := range got {
				names[series[:strings.IndexByte(series, '{')]] = true
			}
			for _, s := range sections() {
				for _, m := range s.metrics {
					gone := slices.ContainsFunc(c.gone, func(g string) bool {
						all, many := strings.CutSuffix(g, "*")
						return g == m.name || many && strings.HasPrefix(m.name, all)
					})
					if gone == names[m.name] {
						t.Errorf("%s: there is %t, expected %t", m.name, names[m.name], !gone)
					}
				}
			}
		})
	}
}

// A process that has just begun knows nothing yet, and shows only that.
func TestNothing(t *testing.T) {
	o := options(NewHistograms())
	o.MM2Names = false
	compare(t, gather(t, at(t, o, Snapshot{})), map[string]float64{"tandem_ready{}": 0, "tandem_memory_used_bytes{}": 0, "tandem_memory_limit_bytes{}": 0})
	s := Snapshot{Flows: []Flow{{Name: "A->B"}}}
	compare(t, gather(t, at(t, Options{}, s)), map[string]float64{
		"tandem_ready{}": 0, "tandem_memory_used_bytes{}": 0, "tandem_memory_limit_bytes{}": 0, `tandem_flow_up{flow="A->B"}`: 0,
		`tandem_records_total{flow="A->B"}`: 0, `tandem_bytes_total{flow="A->B"}`: 0, `tandem_refused_records_total{flow="A->B"}`: 0,
		`tandem_offset_map_bytes{flow="A->B"}`: 0, `tandem_offset_map_inconsistent_total{flow="A->B"}`: 0,
	})
}

func TestSumsOfPartitions(t *testing.T) {
	show := func(partitions ...Partition) map[string]float64 {
		return gather(t, at(t, Options{Causes: []string{"outage"}}, Snapshot{Flows: []Flow{{Name: "A->B", Up: true, Partitions: partitions}}}))
	}
	for _, c := range []struct {
		name  string
		shows map[string]float64
		want  map[string]float64
	}{
		{"a flow without partitions has nothing to lose", show(),
			map[string]float64{"rpo_seconds{flow}": 0, "lag_seconds{flow}": 0, "partitions_troubled{cause=outage}": 0}},
		{"the worst partition counts", show(Partition{Sure: noon.Add(-time.Hour)}, Partition{Number: 1, Sure: noon}),
			map[string]float64{"rpo_seconds{flow}": 3600}},
		{"what is known to wait is not known to be there", show(Partition{Behind: time.Minute, Lag: 1, Sure: noon}),
			map[string]float64{"rpo_seconds{flow}": 60, "rpo_records{flow}": 1}},
		{"never sure yet", show(Partition{Behind: time.Minute, Lag: 1}),
			map[string]float64{"rpo_seconds{flow}": 60}},
		{"sure in a moment", show(Partition{Sure: noon.Add(time.Second)}),
			map[string]float64{"rpo_seconds{flow}": 0}},
		{"it stands still, and nobody says why", show(Partition{Stands: true}, Partition{Number: 1}),
			map[string]float64{"partitions_standing{flow}": 1, "partitions_troubled{cause=other}": 1, "partitions_troubled{cause=outage}": 0}},
		{"a cause that nobody has listed", show(Partition{Cause: "gremlins"}),
			map[string]float64{"partitions_standing{flow}": 0, "partitions_troubled{cause=gremlins}": 1}},
	} {
		for name, want := range c.want {
			name = "tandem_" + strings.NewReplacer("{flow}", `{flow="A->B"}`, "{cause=", `{cause="`, "}", `",flow="A->B"}`).Replace(name)
			if got, ok := c.shows[name]; !ok || got != want {
				t.Errorf("%s: %s is %v (%t), not %v", c.name, name, got, ok, want)
			}
		}
	}
}

// A series that is there twice, or bytes that are no text, would cost the whole scrape.
func TestOddLabels(t *testing.T) {
	odd := "we\"ird\\\n{}=,ü\xff"
	s := busy()
	s.Build.Instance = odd
	s.Certificates = []Certificate{{Subject: odd, Ends: noon.Add(2 * time.Hour)}, {Subject: "we\"ird\\\n{}=,ü\xfe", Ends: noon.Add(time.Hour)}}
	s.Drills = append(s.Drills, s.Drills...)
	s.Archives[0].Verified = append(s.Archives[0].Verified, Verified{Level: "record", At: noon})
	f := &s.Flows[0]
	f.Partitions = append(f.Partitions, f.Partitions[0], Partition{Topic: odd, Number: 3}, Partition{Topic: "other", Number: 0, Remote: stream.Partition{Topic: "A.orders"}})
	f.Groups.Checkpoints = append(f.Groups.Checkpoints, f.Groups.Checkpoints[0], Checkpoint{Group: odd, Latency: Window{Seen: true}},
		Checkpoint{Group: "we\"ird\\\n{}=,ü\xfe", Latency: Window{Seen: true}})
	f.Troubles[odd], f.Forms[odd] = 1, 2
	got := gather(t, at(t, options(busyTimes()), s))
	text := "we\"ird\\\n{}=,ü\uFFFD"
	for name, want := range map[string]float64{
		fmt.Sprintf("tandem_certificate_expiry_timestamp_seconds{cluster=%q,subject=%q,trusted=%q}", "", text, "false"): float64(noon.Add(time.Hour).Unix()),
		fmt.Sprintf("tandem_partition_lag_records{flow=%q,partition=%q,topic=%q}", "A->B", "3", text):                   0,
		fmt.Sprintf("tandem_troubles_total{cause=%q,flow=%q}", text, "A->B"):                                            1,
		`tandem_archive_verified_timestamp_seconds{flow="A->B",level="record"}`:                                         float64(noon.Unix()),
		`kafka_connect_mirror_mirrorsourceconnector_record_count{partition="0",source="A",target="B",topic="A.orders"}`: 0,
		fmt.Sprintf("%s{group=%q,partition=%q,source=%q,target=%q,topic=%q}", "kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms",
			`"we\"ird\\\n{}=,ü`+"\uFFFD\"", "0", "A", "B", ""): 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%t), not %v", name, value, ok, want)
		}
	}
}

func TestValuesAsJMXQuotesThem(t *testing.T) {
	for value, want := range map[string]string{
		"A": "A", "my group_1.%-": "my group_1.%-", "": "",
		"A->B": `"A->B"`, "a:b": `"a:b"`, `a"b\c*d?`: `"a\"b\\c\*d\?"`, "a\nb": `"a\nb"`, "ü": `"ü"`,
	} {
		if got := jmx(value); got != want {
			t.Errorf("%q is %s, not %s", value, got, want)
		}
	}
}

// The rules of naming hold for all but MM2's names, which are as they are.
func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	o := options(busyTimes())
	o.MM2Names = false
	r := NewRegistry(o, busy)
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	mm2 := make(map[string]bool)
	for _, m := range ofMM2.metrics {
		mm2[m.name] = true
	}
	problems, err := testutil.GatherAndLint(at(t, options(nil), busy()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !mm2[p.Metric] {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
