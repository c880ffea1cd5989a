package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsOfASnapshot(t *testing.T) {
	snapshot := Snapshot{MemoryUsed: 5, MemoryLimit: 64, Archives: []Archive{{
		Flow: "A->B", Up: true, Age: 3 * time.Second, Behind: 2, Bundles: 7, Bytes: 700, Gaps: 1, Errors: map[string]int64{"throttled": 4}, Memory: 99,
	}}, Flows: []Flow{{
		Name: "A->B", Records: 100, Bytes: 2000, Refused: 1, Forms: map[string]int64{"stamp": 90, "merge": 10}, MapBytes: 4096,
		Groups: &Groups{Number: 3, Positions: map[string]int{"exact": 4}, Round: time.Now(), Took: 250 * time.Millisecond, Written: 12, Synced: 5},
		Partitions: []Partition{
			{Topic: "orders", Number: 0, State: "live"},
			{Topic: "orders", Number: 1, State: "quarantined", Lag: 7, Behind: 90 * time.Second},
			{Topic: "orders", Number: 2, State: "live", Lag: 3, Behind: time.Second},
		},
	}}}
	r := NewRegistry(States{"live", "quarantined", "halted"}, func() Snapshot { return snapshot })
	want := `
# HELP tandem_archive_age_seconds Since when what is not durable in the archive has waited.
# TYPE tandem_archive_age_seconds gauge
tandem_archive_age_seconds{flow="A->B"} 3
# HELP tandem_archive_bundles_total Bundles stored in the archive.
# TYPE tandem_archive_bundles_total counter
tandem_archive_bundles_total{flow="A->B"} 7
# HELP tandem_archive_errors_total Errors of the archive's store, by kind.
# TYPE tandem_archive_errors_total counter
tandem_archive_errors_total{flow="A->B",kind="throttled"} 4
# HELP tandem_archive_up 1 while the archive is written, 0 before it has begun and after it has failed.
# TYPE tandem_archive_up gauge
tandem_archive_up{flow="A->B"} 1
# HELP tandem_checkpoints_round_seconds How long the last round took that looked at all consumer groups.
# TYPE tandem_checkpoints_round_seconds gauge
tandem_checkpoints_round_seconds{flow="A->B"} 0.25
# HELP tandem_checkpoints_written_total Checkpoints written.
# TYPE tandem_checkpoints_written_total counter
tandem_checkpoints_written_total{flow="A->B"} 12
# HELP tandem_lag_records Records of the source that are not yet on the target.
# TYPE tandem_lag_records gauge
tandem_lag_records{flow="A->B"} 10
# HELP tandem_lag_seconds For how long the partition that is furthest behind has been behind.
# TYPE tandem_lag_seconds gauge
tandem_lag_seconds{flow="A->B"} 90
# HELP tandem_offset_map_bytes Memory of the exact map of offsets, about.
# TYPE tandem_offset_map_bytes gauge
tandem_offset_map_bytes{flow="A->B"} 4096
# HELP tandem_partitions Partitions by state.
# TYPE tandem_partitions gauge
tandem_partitions{flow="A->B",state="halted"} 0
tandem_partitions{flow="A->B",state="live"} 2
tandem_partitions{flow="A->B",state="quarantined"} 1
# HELP tandem_partition_lag_records Records of the source partition that are not yet on the target.
# TYPE tandem_partition_lag_records gauge
tandem_partition_lag_records{flow="A->B",partition="0",topic="orders"} 0
tandem_partition_lag_records{flow="A->B",partition="1",topic="orders"} 7
tandem_partition_lag_records{flow="A->B",partition="2",topic="orders"} 3
# HELP tandem_records_total Records acknowledged by the target cluster.
# TYPE tandem_records_total counter
tandem_records_total{flow="A->B"} 100
# HELP tandem_refused_records_total Records that the target refused and that were set aside (on.refused=skip).
# TYPE tandem_refused_records_total counter
tandem_refused_records_total{flow="A->B"} 1
# HELP tandem_synced_offsets_total Offsets of consumer groups that group sync has committed on the target.
# TYPE tandem_synced_offsets_total counter
tandem_synced_offsets_total{flow="A->B"} 5
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "tandem_lag_records", "tandem_lag_seconds", "tandem_partitions",
		"tandem_archive_age_seconds", "tandem_archive_bundles_total", "tandem_archive_errors_total", "tandem_archive_up",
		"tandem_partition_lag_records", "tandem_records_total", "tandem_refused_records_total",
		"tandem_checkpoints_round_seconds", "tandem_checkpoints_written_total", "tandem_synced_offsets_total", "tandem_offset_map_bytes"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
