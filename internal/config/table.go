package config

import (
	"slices"

	"tandem/internal/policy"
)

const mirror = "org.apache.kafka.connect.mirror."

// table holds every key that is not a client setting. Where MM2 versions differ it follows 4.3.
var table = slices.Concat(processKeys, flowKeys, internalTopicKeys, groupKeys, archiveKeys, workerKeys, connectKeys)

var processKeys = []key{
	{name: "clusters", scopes: process, kind: list, meaning: "Aliases of the clusters. Remote topics carry them in their names.", change: "required"},
	{name: "memory.bytes", scopes: process, kind: long, def: "67108864", min: 8 << 20, own: true, meaning: "Memory for records on the way between the clusters, for the whole process.", change: "Raise it for many partitions over a link with a long delay; lower it on a small machine."},
	{name: "offset.map.bytes", scopes: process, kind: long, def: "16777216", min: 1 << 20, own: true, meaning: "Memory for segments of the exact offset maps, for the whole process, beside what every partition needs at least. What does not fit is read from the target again when it is asked for.", change: "Raise it where many groups lag far behind on topics full of transactions, and rounds of checkpoints take long."},
	{name: "status.address", scopes: process, kind: text, def: "127.0.0.1:8383", own: true, meaning: "Where `/healthz`, `/readyz` and `/metrics` are served over HTTP, as host:port; empty is nowhere. They are not protected: do not open them to strangers.", change: "To let a monitoring system reach them, or to run several processes on one machine."},
	{name: "config.providers", scopes: process, kind: list, meaning: "Names of the providers that fill in placeholders such as `${env:NAME}`; each needs `config.providers.NAME.class`: EnvVarConfigProvider, FileConfigProvider or DirectoryConfigProvider of `org.apache.kafka.common.config.provider`.", change: "To keep secrets out of the file."},
	{name: "dedicated.mode.enable.internal.rest", scopes: process, kind: boolean, def: "false", effect: needless, meaning: "Processes need no REST server between them."},
}

var flowKeys = []key{
	{name: "enabled", scopes: flow | bare, kind: boolean, def: "false", meaning: "Replicate topics from A to B. Written bare it reaches every pair that heartbeats give a worker to.", change: "Set `A->B.enabled = true` for each direction wanted."},
	{name: "topics", scopes: flow | bare, kind: regexList, def: ".*", meaning: "Topics to replicate: each expression must match a whole name. Java's dialect; a comma ends an expression.", change: "To replicate less than everything."},
	{name: "topics.exclude", scopes: flow | bare, kind: regexList, def: `mm2.*\.internal, .*\.replica, __.*`, meaning: "Topics to leave out; wins over `topics`.", change: "Repeat the default when adding to it."},
	{name: "heartbeats.replication.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Replicate heartbeats topics, whatever `topics` says.", change: "Rarely: without them lag over several hops cannot be seen."},
	{name: "replication.policy.class", scopes: flow | bare, kind: class, def: policy.DefaultClass, oneOf: []string{policy.DefaultClass, policy.IdentityClass}, meaning: "How remote topics are named: with the alias of their source in front, or (Identity) as on the source.", change: "Identity for one-way replication whose consumers must not notice; it prevents no loops."},
	{name: "replication.policy.separator", scopes: flow | bare, kind: text, def: ".", meaning: "Stands between alias and topic.", change: "When topic names contain dots that must not look like aliases. Must be the same for all flows and clients."},
	{name: "replication.policy.internal.topic.separator.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Use the separator in the names of internal topics too.", change: "false to keep internal topics that were made with `.`."},
	{name: "replication.factor", scopes: flow | bare, kind: integer, def: "2", min: -1, meaning: "Replication factor of new remote topics.", change: "3 in production; 1 on a single broker."},
	{name: "refresh.topics.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Look for new topics and partitions.", change: "Rarely."},
	{name: "refresh.topics.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, meaning: "How often; negative is never.", change: "Lower it where topics are created often."},
	{name: "sync.topic.configs.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Carry topic configs to remote topics.", change: "false to keep configs by hand on the target."},
	{name: "sync.topic.configs.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, meaning: "How often; negative is never.", change: "Rarely."},
	{name: "config.properties.exclude", scopes: flow | bare, kind: regexList, def: "follower.replication.throttled.replicas, leader.replication.throttled.replicas, message.timestamp.difference.max.ms, log.message.timestamp.before.max.ms, log.message.timestamp.after.max.ms, message.timestamp.type, unclean.leader.election.enable, min.insync.replicas", meaning: "Topic configs to leave as the target has them.", change: "Add configs that are set on the target only: they are reset otherwise."},
	{name: "use.defaults.from", scopes: flow, kind: text, def: "target", meaning: "`source`: a config that the source has by default is written out on the target; any other value: the target's default applies.", change: "When brokers have different defaults and topics must behave alike."},
	{name: "topic.recreated", scopes: flow | bare, kind: text, def: "halt", oneOf: []string{"halt", "follow"}, own: true, meaning: "What to do when a source topic was deleted and made anew: stop its partitions and say so, or go on with the new topic from its beginning, behind the records of the old one.", change: "follow where topics are made anew as a matter of course, and readers can tell old records from new ones."},
	{name: "retention.gap", scopes: flow | bare, kind: text, def: "report", oneOf: []string{"report", "halt"}, own: true, meaning: "What to do when the source has deleted records before they were replicated: name them and go on behind them, or stop the partition.", change: "halt where a gap must not pass without a decision."},
	{name: "on.refused", scopes: flow | bare, kind: text, def: "quarantine", oneOf: []string{"quarantine", "skip"}, own: true, meaning: "What to do with a record that the target refuses (too large, timestamp out of range, null key on a compacted topic): hold its partition until the target takes it, or set the record aside in `mm2-tandem-refused.A.internal` and go on.", change: "skip where it is worse to stand still than to miss a record."},
	{name: "admin.timeout.ms", scopes: flow | bare, kind: long, def: "60000", min: 1, meaning: "Time limit of an administrative request.", change: "Raise it for clusters with very many topics."},
	{name: "emit.heartbeats.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Write heartbeats into the target. As in MM2 this alone gives a pair of clusters work to do, enabled or not.", change: "false where the process may not write into a cluster that it only reads."},
	{name: "emit.heartbeats.interval.seconds", scopes: flow | bare, kind: long, def: "1", min: anyNumber, meaning: "How often a heartbeat is written.", change: "Rarely."},
	{name: "sync.topic.acls.enabled", scopes: flow | bare, kind: boolean, def: "true", effect: absent, off: "false", meaning: "ACLs are not copied."},
	{name: "sync.topic.acls.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, effect: needless, meaning: "ACLs are not copied."},
}

var internalTopicKeys = []key{
	{name: "emit.offset-syncs.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Write offset syncs, which tie source offsets to target offsets.", change: "false where neither MM2 nor its clients read them: Tandem translates without them."},
	{name: "offset-syncs.topic.location", scopes: flow | bare, kind: text, def: "source", oneOf: []string{"source", "target"}, meaning: "The cluster that holds the offset syncs topic.", change: "target where the process may not write into the source."},
	{name: "offset-syncs.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1, meaning: "Replication factor of the offset syncs topic.", change: "1 on a single broker."},
	{name: "offset.lag.max", scopes: flow | bare, kind: long, def: "100", min: 0, meaning: "How many records offsets may drift apart before an offset sync is written; 0 writes one for every record.", change: "Rarely."},
	{name: "heartbeats.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1, meaning: "Replication factor of `heartbeats`.", change: "1 on a single broker."},
}

// groupKeys are about consumer groups: checkpoints, group sync, failover.
var groupKeys = []key{
	{name: "groups", scopes: flow | bare, kind: regexList, def: ".*", meaning: "Consumer groups whose offsets are translated: each expression must match a whole name. Of them only those count that have offsets on a topic that `topics` accepts.", change: "To look after fewer groups than all."},
	{name: "groups.exclude", scopes: flow | bare, kind: regexList, def: "console-consumer-.*, connect-.*, __.*", meaning: "Groups to leave out; wins over `groups`.", change: "Repeat the default when adding to it. Take `connect-.*` out where sink connectors must go on after a failover."},
	{name: "refresh.groups.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Look for new and deleted groups. With false the groups of the start stay those that are looked after.", change: "Rarely."},
	{name: "refresh.groups.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, meaning: "Groups are looked for before each round of checkpoints, or every 5 seconds where rounds are closer together; a shorter interval makes it more often, and a negative one never again.", change: "Rarely."},
	{name: "emit.checkpoints.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Translate the offsets of groups and write checkpoints into `A.checkpoints.internal` on B. MM2 refuses false.", change: "false only where no group is ever moved: without checkpoints nothing is known of the groups once the source is lost."},
	{name: "emit.checkpoints.interval.seconds", scopes: flow | bare, kind: long, def: "60", min: anyNumber, meaning: "How often. After the loss of the source a group reads again what it had read since the last round. Only changes are written; a round asks the source for the offsets of all groups in a few requests.", change: "5, or 1, to read less again after a disaster."},
	{name: "checkpoints.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1, meaning: "Replication factor of `A.checkpoints.internal`.", change: "1 on a single broker."},
	{name: "sync.group.offsets.enabled", scopes: flow | bare, kind: boolean, def: "false", meaning: "Commit the translated offsets on the target too, so that a group that starts there goes on where it was. Groups that have members on the target are never touched. An offset is set back only where the group was reset on the source and has not run on the target since.", change: "true to move groups without `failover`: they only need to be started on the target."},
	{name: "sync.group.offsets.interval.seconds", scopes: flow | bare, kind: long, def: "60", min: anyNumber, meaning: "How often; negative is never.", change: "Same as the interval of checkpoints."},
	{name: "failover.tail", scopes: flow | bare, kind: text, def: "halt", oneOf: []string{"halt", "copy"}, own: true, meaning: "After a failover away from a source that was lost, what the source turns out to hold beyond the mirrored end is not copied: halt keeps its partitions halted until `failover back` or `failover undo`; copy appends it late.", change: "copy where records that arrive late, behind what was written on the target meanwhile, do no harm."},
	{name: "group.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultGroupFilter", effect: absent, off: mirror + "DefaultGroupFilter", meaning: "Java classes cannot be loaded."},
}

// workerKeys belong to the Connect worker of the flows into a cluster. The storage keys may be written bare as well, and
// then win over ALIAS.KEY.
var workerKeys = []key{
	{name: "offset.flush.interval.ms", scopes: cluster, kind: long, def: "60000", min: 1, meaning: "How often positions are written to the offsets topic, for MM2 to take over from.", change: "Lower it to hand back to MM2 with fewer records repeated; Tandem itself resumes exactly in any case."},
	{name: "offset.storage.topic", scopes: cluster | bare, kind: text, def: "mm2-offsets.A.internal", meaning: "Topic on the target that holds the positions. One for all flows makes them collide.", change: "Leave it."},
	{name: "offset.storage.partitions", scopes: cluster | bare, kind: integer, def: "25", min: 1, meaning: "Partitions of that topic, where it does not exist yet.", change: "Leave it."},
	{name: "offset.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1, meaning: "Replication factor of that topic.", change: "1 on a single broker."},
	{name: "config.storage.topic", scopes: cluster | bare, kind: text, effect: needless, meaning: noWorker},
	{name: "config.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1, effect: needless, meaning: noWorker},
	{name: "status.storage.topic", scopes: cluster | bare, kind: text, effect: needless, meaning: noWorker},
	{name: "status.storage.partitions", scopes: cluster | bare, kind: integer, def: "5", min: 1, effect: needless, meaning: noWorker},
	{name: "status.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1, effect: needless, meaning: noWorker},
	{name: "offset.flush.timeout.ms", scopes: cluster, kind: long, def: "5000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "exactly.once.source.support", scopes: cluster, kind: text, def: "disabled", effect: needless, meaning: "Records are written exactly once in any case."},
	{name: "group.id", scopes: cluster, kind: text, def: "A-mm2", effect: needless, meaning: noWorker},
	{name: "client.id", scopes: cluster, kind: text, def: "A->B", effect: needless, meaning: noWorker},
	{name: "task.shutdown.graceful.timeout.ms", scopes: cluster | bare, kind: long, def: "5000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "scheduled.rebalance.max.delay.ms", scopes: cluster, kind: integer, def: "300000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "session.timeout.ms", scopes: cluster, kind: integer, def: "10000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "heartbeat.interval.ms", scopes: cluster, kind: integer, def: "3000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "rebalance.timeout.ms", scopes: cluster, kind: integer, def: "60000", min: anyNumber, effect: needless, meaning: noWorker},
	{name: "connect.protocol", scopes: cluster, kind: text, def: "sessioned", effect: needless, meaning: noWorker},
	{name: "topic.creation.enable", scopes: cluster, kind: boolean, def: "true", effect: needless, meaning: "Inert in MM2 as well."},
	{name: "plugin.path", scopes: cluster, kind: list, effect: needless, meaning: "There are no Java plugins."},
}

const noWorker = "There is no Connect worker."

// connectKeys are those that every connector has.
var connectKeys = []key{
	{name: "name", scopes: flow | bare, kind: text, effect: needless, meaning: "There are no connectors to name."},
	{name: "connector.class", scopes: flow | bare, kind: text, effect: needless, meaning: "There are no connectors."},
	{name: "connector.plugin.version", scopes: flow | bare, kind: text, effect: needless, meaning: "There are no connectors."},
	{name: "tasks.max", scopes: flow | bare, kind: integer, def: "1", min: 1, effect: needless, meaning: "All partitions share the connections of one process; there are no tasks to count."},
	{name: "tasks.max.enforce", scopes: flow | bare, kind: boolean, def: "true", effect: needless, meaning: "There are no tasks."},
	{name: "consumer.poll.timeout.ms", scopes: flow | bare, kind: long, def: "1000", min: anyNumber, effect: needless, meaning: "Fetches wait as long as consumer.fetch.max.wait.ms says."},
	{name: "key.converter", scopes: flow | bare | cluster, kind: class, def: byteArrays, oneOf: []string{byteArrays}, effect: needless, meaning: "Records pass through as bytes."},
	{name: "value.converter", scopes: flow | bare | cluster, kind: class, def: byteArrays, oneOf: []string{byteArrays}, effect: needless, meaning: "Records pass through as bytes."},
	{name: "header.converter", scopes: flow | bare | cluster, kind: class, def: byteArrays, oneOf: []string{byteArrays}, effect: needless, meaning: "Records pass through as bytes."},
	{name: "key.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Records pass through as bytes."},
	{name: "value.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Records pass through as bytes."},
	{name: "header.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Records pass through as bytes."},
	{name: "transforms", scopes: flow | bare, kind: list, effect: absent, meaning: "Records are not transformed: they pass through as bytes."},
	{name: "predicates", scopes: flow | bare, kind: list, effect: needless, meaning: "Records are not transformed."},
	{name: "config.action.reload", scopes: flow | bare, kind: text, def: "restart", effect: needless, meaning: "The file is read once, at the start."},
	{name: "errors.tolerance", scopes: flow | bare, kind: text, def: "none", effect: needless, meaning: "on.refused says what becomes of a record that the target refuses."},
	{name: "errors.retry.timeout", scopes: flow | bare, kind: long, def: "0", min: anyNumber, effect: needless, meaning: "What can be tried again is tried until it succeeds."},
	{name: "errors.retry.delay.max.ms", scopes: flow | bare, kind: long, def: "60000", min: anyNumber, effect: needless, meaning: "What can be tried again is tried until it succeeds."},
	{name: "errors.log.enable", scopes: flow | bare, kind: boolean, def: "false", effect: needless, meaning: "Errors are always logged."},
	{name: "errors.log.include.messages", scopes: flow | bare, kind: boolean, def: "false", effect: needless, meaning: "Contents of records are never logged."},
	{name: "metric.names.formats", scopes: flow | bare, kind: list, def: "legacy", oneOf: []string{"legacy", "new"}, effect: needless, meaning: "There is no JMX."},
	{name: "metric.reporters", scopes: flow | bare | cluster, kind: list, effect: needless, meaning: "There is no JMX."},
	{name: "auto.include.jmx.reporter", scopes: flow | bare | cluster, kind: boolean, effect: needless, meaning: "There is no JMX. Removed in Kafka 4.0."},
	{name: "add.source.alias.to.metrics", scopes: flow | bare, kind: boolean, effect: needless, meaning: "Metrics always carry it. Removed in Kafka 4.0."},
	{name: "use.incremental.alter.configs", scopes: flow | bare, kind: text, effect: needless, meaning: "Always so. Removed in Kafka 4.0."},
	{name: "forwarding.admin.class", scopes: flow | bare, kind: class, def: forwardingAdmin, effect: absent, off: forwardingAdmin, meaning: "Java classes cannot be loaded."},
	{name: "topic.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultTopicFilter", oneOf: []string{mirror + "DefaultTopicFilter"}, effect: needless, meaning: "Java classes cannot be loaded."},
	{name: "config.property.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultConfigPropertyFilter", oneOf: []string{mirror + "DefaultConfigPropertyFilter"}, effect: needless, meaning: "Java classes cannot be loaded."},
	{name: "exactly.once.support", scopes: flow, kind: text, def: "requested", effect: needless, meaning: "Records are written exactly once in any case."},
	{name: "transaction.boundary", scopes: flow, kind: text, def: "poll", effect: needless, meaning: "No transactions are used."},
	{name: "transaction.boundary.interval.ms", scopes: flow, kind: long, min: anyNumber, effect: needless, meaning: "No transactions are used."},
	{name: "offsets.storage.topic", scopes: flow, kind: text, effect: absent, meaning: "Positions are kept in offset.storage.topic."},
	{name: "topic.creation.groups", scopes: flow, kind: list, effect: absent, meaning: "Remote topics are created like their source topics."},
	{name: "source.cluster.alias", scopes: flow | bare, kind: text, internal: true, effect: needless, meaning: "Aliases come from `clusters`."},
	{name: "target.cluster.alias", scopes: flow | bare, kind: text, internal: true, effect: needless, meaning: "Aliases come from `clusters`."},
	{name: "task.index", scopes: flow, kind: integer, min: anyNumber, internal: true, effect: needless, meaning: "There are no tasks."},
	{name: "task.assigned.partitions", scopes: flow, kind: list, internal: true, effect: needless, meaning: "There are no tasks."},
	{name: "task.assigned.groups", scopes: flow, kind: list, internal: true, effect: needless, meaning: "There are no tasks."},
}

const forwardingAdmin = "org.apache.kafka.clients.admin.ForwardingAdmin"

const byteArrays = "org.apache.kafka.connect.converters.ByteArrayConverter"

// renamed are keys of 3.x under their names since 4.0, which does not know the old ones any more. A file that still has
// the old key, and not the new one, is read as 3.x did.
var renamed = map[string]string{
	"topics.blacklist":            "topics.exclude",
	"groups.blacklist":            "groups.exclude",
	"config.properties.blacklist": "config.properties.exclude",
}
