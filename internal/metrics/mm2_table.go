package metrics

// ofMM2 are MM2's metrics as users know them: what the rules of the JMX exporter, as Strimzi ships them, make of its MBeans. Values in
// quotes keep the quotes that JMX puts around what is not plain, because panels ask for them.
var ofMM2 = &section{title: "MM2's names", prefix: "kafka_", intro: "Under the names that the rules of the JMX exporter, as Strimzi ships them, give MM2's MBeans; absent with `metrics.mm2.names = false`. " +
	"`connector`, `clientid` and their like carry the quotes that JMX puts around them. A topic is the remote one, but for the consumer's lag. " +
	"Of partitions, and of positions of groups, so many are shown as metrics.partitions.max says."}

const (
	source   = "connect_mirror_mirrorsourceconnector_"
	grouped  = "connect_mirror_mirrorcheckpointconnector_"
	inWindow = "none in the last 30 to 60 s"
	noneYet  = "none yet"
)

func ofRemote(name, unit, help, absent string) *metric {
	return ofMM2.gauge(source+name, unit, help, absent, "source", "target", "topic", "partition")
}

func ofPosition(name, help, absent string) *metric {
	return ofMM2.gauge(grouped+name, "ms", help, absent, "source", "target", "group", "topic", "partition")
}

var (
	mm2RecordCount = ofRemote("record_count", "records", "Records acknowledged, since the process has the partition.", "")
	mm2RecordRate  = ofRemote("record_rate", "records/s", "The same in a second, over the last 30 to 60 s, or since the scrape before where scrapes are rarer.", "")
	mm2ByteCount   = ofRemote("byte_count", "bytes", "Bytes of acknowledged record batches, as sent; MM2 counts the bytes of values.", "")
	mm2ByteRate    = ofRemote("byte_rate", "bytes/s", "The same in a second, over the last 30 to 60 s, or since the scrape before where scrapes are rarer.", "")

	mm2Age = window{
		ofRemote("record_age_ms", "ms", "From the newest timestamp of a record batch to its fetch: the last batch. MM2 looks at each record.", noneYet),
		ofRemote("record_age_ms_min", "ms", "The same, the least of the last 30 to 60 s.", inWindow),
		ofRemote("record_age_ms_max", "ms", "The same, the greatest.", inWindow),
		ofRemote("record_age_ms_avg", "ms", "The same, the mean.", inWindow),
	}
	mm2Latency = window{
		ofRemote("replication_latency_ms", "ms", "From the newest timestamp of a record batch to its acknowledgement by the target: the last batch.", noneYet),
		ofRemote("replication_latency_ms_min", "ms", "The same, the least of the last 30 to 60 s.", inWindow),
		ofRemote("replication_latency_ms_max", "ms", "The same, the greatest.", inWindow),
		ofRemote("replication_latency_ms_avg", "ms", "The same, the mean.", inWindow),
	}
	mm2Checkpoint = window{
		ofPosition("checkpoint_latency_ms", "From the look at a group to its checkpoint: the last one of the position.", noneYet),
		ofPosition("checkpoint_latency_ms_min", "The same, the least of the last 30 to 60 s.", inWindow),
		ofPosition("checkpoint_latency_ms_max", "The same, the greatest.", inWindow),
		ofPosition("checkpoint_latency_ms_avg", "The same, the mean.", inWindow),
	}

	mm2Lag = ofMM2.gauge("consumer_fetch_manager_records_lag", "records", "As tandem_partition_lag_records; the topic is the source's.", "", "clientid", "topic", "partition")
	mm2In  = ofMM2.counter("consumer_incoming_byte_total", "bytes", "Bytes of record batches fetched from the source; those sent, where nobody counts them.", "", "clientid")
	mm2Out = ofMM2.counter("producer_outgoing_byte_total", "bytes", "Bytes of record batches that the target has acknowledged.", "", "clientid")

	mm2Buffer = ofMM2.gauge("producer_buffer_available_bytes", "bytes", "What is left of memory.bytes, for the whole process.", "", "clientid")

	mm2Connectors  = ofMM2.gauge("connect_worker_connector_count", "flows", "Flows whose topics, groups and heartbeats this process looks after: added up over processes, flows that run.", "")
	mm2Tasks       = ofMM2.gauge("connect_worker_task_count", "flows", "Flows of which this process has partitions: added up over processes, who owns partitions.", "")
	mm2OfWorker    = ofMM2.gauge("connect_coordinator_assigned_connectors", "0 or 1", "1 while the process looks after the flow's topics, groups and heartbeats.", "", "clientid")
	mm2TasksOf     = ofMM2.gauge("connect_coordinator_assigned_tasks", "0 or 1", "1 while the process has partitions of the flow.", "", "clientid")
	mm2Rebalancing = ofMM2.gauge("connect_worker_rebalance_rebalancing", "0 or 1", "1 while partitions of a flow are being moved between processes.", "")

	mm2Active = ofMM2.gauge("connect_source_task_source_record_active_count", "records", "Records that are sent and not acknowledged.", unknownYet, "connector", "task")
	mm2Commit = ofMM2.gauge("connect_connector_task_offset_commit_avg_time_ms", "ms", "How long a write of positions took, the mean of the last 30 to 60 s.", inWindow, "connector", "task")
)

// window is a time as MM2 shows it.
type window struct{ last, least, greatest, mean *metric }
