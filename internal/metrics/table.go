package metrics

// Every metric is declared here and in mm2_table.go, once: its name, what it means, and when it is absent. Registration, help texts and
// docs/metrics.md come from there.

var ofProcess = newSection("The process", "")

var (
	buildInfo   = ofProcess.gauge("build_info", "1", "The version of the process, and its name among those that share flows. Always 1.", "", "version", "member")
	ready       = ofProcess.gauge("ready", "0 or 1", "1 while /readyz answers 200: every flow has started, and no partition stands still.", "")
	memoryUsed  = ofProcess.gauge("memory_used_bytes", "bytes", "Bytes of records between fetch and acknowledgement.", "")
	memoryLimit = ofProcess.gauge("memory_limit_bytes", "bytes", "The setting memory.bytes.", "")
	certificate = ofProcess.gauge("certificate_expiry_timestamp_seconds", "time", "When a certificate that a client uses ends; the label trusted is true for an authority's, false for a client's own. Of several with the same labels the one that ends first.",
		"the cluster is not reached by TLS with a store of its own", "cluster", "subject", "trusted")
)

var ofFlows = newSection("Flows", "What a process shows of a flow is its own part: its partitions, and what it has done since its start. Where several processes share a flow, add up records, bytes and partitions over them; take the largest of seconds.")

var (
	flowUp         = ofFlows.gauge("flow_up", "0 or 1", "1 once the flow has started and answers.", "", "flow")
	flowMembers    = ofFlows.gauge("flow_members", "processes", "Processes that share the flow, this one included.", "not known yet", "flow")
	flowDiffers    = ofFlows.gauge("flow_settings_differ", "0 or 1", "1 while one of them runs the flow by other settings than this process.", "as `tandem_flow_members`", "flow")
	recordsTotal   = ofFlows.counter("records_total", "records", "Records acknowledged by the target cluster.", "", "flow")
	bytesTotal     = ofFlows.counter("bytes_total", "bytes", "Bytes of acknowledged record batches, as sent.", "", "flow")
	formRecords    = ofFlows.counter("batch_records_total", "records", "Records by the form in which their batches were passed on.", "", "flow", "form")
	formBytes      = ofFlows.counter("batch_bytes_total", "bytes", "Bytes of record batches, as sent, by the form in which they were passed on.", "", "flow", "form")
	formBatches    = ofFlows.counter("batches_total", "batches", "Record batches as sent, by the form in which they were passed on.", "", "flow", "form")
	refusedTotal   = ofFlows.counter("refused_records_total", "records", "Records that the target refused and that were set aside (on.refused=skip).", "", "flow")
	partitions     = ofFlows.gauge("partitions", "partitions", "Partitions by state.", unknownYet, "flow", "state")
	standing       = ofFlows.gauge("partitions_standing", "partitions", "Partitions that stand still: they make /readyz answer 503.", unknownYet, "flow")
	troubled       = ofFlows.gauge("partitions_troubled", "partitions", "Partitions that stand still now, by cause.", unknownYet, "flow", "cause")
	notShown       = ofFlows.gauge("partitions_not_shown", "partitions", "Partitions without series of their own because of metrics.partitions.max. Sums count them.", unknownYet, "flow")
	troublesTotal  = ofFlows.counter("troubles_total", "times", "How often a partition came to stand still, or went on in spite of it, by cause.", "", "flow", "cause")
	lagRecords     = ofFlows.gauge("lag_records", "records", "Records of the source that are not yet on the target, over all partitions.", unknownYet, "flow")
	lagSeconds     = ofFlows.gauge("lag_seconds", "seconds", "For how long the oldest record that is known of the source, and is not on the target, has been known. The largest over partitions; 0 when there is none.", unknownYet, "flow")
	rpoRecords     = ofFlows.gauge("rpo_records", "records", "Records that are known of the source and are not on the target: lost if the source died now.", unknownYet, "flow")
	rpoSeconds     = ofFlows.gauge("rpo_seconds", "seconds", "Since the last moment as of which everything of the source is known to be on the target. It grows while the source cannot be asked. The largest over partitions.", unknownYet, "flow")
	heartbeatAge   = ofFlows.gauge("heartbeat_age_seconds", "seconds", "Since the timestamp of the newest heartbeat of the source that is on the target.", "none was seen: heartbeats are off, or another process has their partition", "flow")
	mapBytes       = ofFlows.gauge("offset_map_bytes", "bytes", "Memory of the exact map of offsets, about.", "", "flow")
	mapContradicts = ofFlows.counter("offset_map_inconsistent_total", "segments", "Segments of the exact map of offsets that could not be read, or contradict the logs.", "", "flow")
)

var ofTimes = newSection("Times", "Each is a native histogram for a Prometheus that asks for them (`--enable-feature=native-histograms` before 3.8, `scrape_native_histograms: true` since), and has buckets of the old kind for one that does not. "+
	"The 99th percentile is `histogram_quantile(0.99, sum by (flow) (rate(tandem_ack_seconds[5m])))` of the one, `histogram_quantile(0.99, sum by (flow, le) (rate(tandem_ack_seconds_bucket[5m])))` of the other.")

var (
	ackSeconds = ofTimes.histogram("ack_seconds", "seconds", "From the fetch of a record batch to its acknowledgement by the target cluster. One observation for each batch sent.",
		"the flow has not started", "flow")
	heartbeatSeconds = ofTimes.histogram("heartbeat_seconds", "seconds", "From the timestamp of a heartbeat of the source to its acknowledgement by the target cluster: from end to end, if the clocks agree.",
		"the flow has not started", "flow")
)

var ofPartitions = newSection("Partitions", "The first by flow, topic and number, so many as metrics.partitions.max says, over all flows together. Topic and partition are those of the source.")

var (
	partitionRecords = ofPartitions.gauge("partition_lag_records", "records", "Records of the source partition that are not yet on the target.", "", "flow", "topic", "partition")
	partitionSeconds = ofPartitions.gauge("partition_lag_seconds", "seconds", "For how long the oldest record that is known of the source partition, and is not on the target, has been known.", "", "flow", "topic", "partition")
)

var ofGroups = newSection("Consumer groups", "Shown by the process that looks after the groups of the flow.")

var (
	groups             = ofGroups.gauge("groups", "groups", "Consumer groups that have checkpoints.", noGroups, "flow")
	positions          = ofGroups.gauge("group_positions", "positions", "Positions of consumer groups, by how exactly their place on the target is known.", noGroups, "flow", "class")
	checkpointsAge     = ofGroups.gauge("checkpoints_age_seconds", "seconds", "Since the last round that looked at all consumer groups began.", "before the first round", "flow")
	checkpointsRound   = ofGroups.gauge("checkpoints_round_seconds", "seconds", "How long the last round took that looked at all consumer groups.", "before the first round", "flow")
	checkpointsWritten = ofGroups.counter("checkpoints_written_total", "checkpoints", "Checkpoints written.", noGroups, "flow")
	syncedOffsets      = ofGroups.counter("synced_offsets_total", "offsets", "Offsets of consumer groups that group sync has committed on the target.", noGroups, "flow")
)

var ofArchives = newSection("The archive", "Shown for flows that archive.")

var (
	archiveUp       = ofArchives.gauge("archive_up", "0 or 1", "1 while the archive is written, 0 before it has begun and after it has failed.", "", "flow")
	archiveAge      = ofArchives.gauge("archive_age_seconds", "seconds", "Since when what is not durable in the archive has waited, or the source has not told what it has; 0 when nothing waits.", "", "flow")
	archiveBehind   = ofArchives.gauge("archive_behind_partitions", "partitions", "Partitions of which the source has more than the archive has taken.", "", "flow")
	archiveBundles  = ofArchives.counter("archive_bundles_total", "bundles", "Bundles stored in the archive.", "", "flow")
	archiveBytes    = ofArchives.counter("archive_bytes_total", "bytes", "Bytes of the bundles stored in the archive.", "", "flow")
	archiveGaps     = ofArchives.counter("archive_gaps_total", "places", "Places where the source no longer had what was to be archived next.", "", "flow")
	archiveErrors   = ofArchives.counter("archive_errors_total", "errors", "Errors of the archive's store, by kind. All but those that end the archive are tried again.", "", "flow", "kind")
	archiveMemory   = ofArchives.gauge("archive_memory_used_bytes", "bytes", "Bytes that wait to be stored in the archive, or are on their way.", "", "flow")
	archiveDurable  = ofArchives.gauge("archive_durable_timestamp_seconds", "time", "Everything that the source had before this moment is durable in the archive; it stands still while the source does not answer.", "nothing is durable yet", "flow")
	archiveOldest   = ofArchives.gauge("archive_oldest_restorable_timestamp_seconds", "time", "The earliest moment as of which every topic in the archive can be restored.", "not listed yet, or nothing is in it", "flow")
	archiveObjects  = ofArchives.gauge("archive_objects", "objects", "Objects of the archive, as of the last listing.", notListed, "flow")
	archiveStored   = ofArchives.gauge("archive_stored_bytes", "bytes", "Bytes of the archive's objects, as of the last listing.", notListed, "flow")
	archiveHoles    = ofArchives.gauge("archive_holes", "places", "Places that no bundle has and that the source once had, as of the last listing.", notListed, "flow")
	archiveListed   = ofArchives.gauge("archive_listed_timestamp_seconds", "time", "When the archive was last listed.", notListed, "flow")
	archiveVerified = ofArchives.gauge("archive_verified_timestamp_seconds", "time", "When archive verify last went through all of the archive.", "never, as far as the archive knows", "flow", "level")
	archivePassed   = ofArchives.gauge("archive_verify_passed", "0 or 1", "1 when that found nothing, 0 when it found something.", "as `tandem_archive_verified_timestamp_seconds`", "flow", "level")
)

var ofDrills = newSection("Drills", "")

var (
	drillAt     = ofDrills.gauge("drill_timestamp_seconds", "time", "When the last drill ended.", noDrill, "flow", "kind")
	drillPassed = ofDrills.gauge("drill_passed", "0 or 1", "1 when the last drill passed, 0 when it failed.", noDrill, "flow", "kind")
	drillTook   = ofDrills.gauge("drill_duration_seconds", "seconds", "How long the last drill took.", noDrill, "flow", "kind")
	drillDue    = ofDrills.gauge("drill_due_timestamp_seconds", "time", "When the next drill is due.", "there is no drill.schedule", "flow", "kind")
)

// What several rows say of when they are absent.
const (
	unknownYet = "the flow has not started, or does not answer"
	noGroups   = "another process looks after the groups, or nobody does"
	notListed  = "not listed yet"
	noDrill    = "there was none"
)
