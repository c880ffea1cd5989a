package config

const (
	noWorker     = "there is no Connect worker."
	noTasks      = "all partitions share the connections of one process; there are no tasks."
	noJMX        = "metrics are served to Prometheus."
	bytesPass    = "keys, values and headers pass through as bytes."
	alwaysRetry  = "what can be tried again is tried until it succeeds."
	likeTheirs   = "Remote topics are made like their source topics."
	byteArrays   = "org.apache.kafka.connect.converters.ByteArrayConverter"
	pluginAdmin  = "org.apache.kafka.clients.admin.ForwardingAdmin"
	exactAnyway  = "nothing is lost and nothing is written twice in any case."
	noConnectors = "there are no connectors."
)

// byteConverters are the names under which Connect finds the converter that leaves bytes alone.
var byteConverters = []string{byteArrays, "ByteArrayConverter", "ByteArray"}

// workerKeys belong to the Connect worker of the flows into a cluster. The storage keys may be written bare as well, and
// then win over ALIAS.KEY.
var workerKeys = []key{
	{name: "offset.flush.interval.ms", scopes: cluster, kind: long, def: "60000", min: 1, live: true,
		meaning: "How often positions are written to the offsets topic. A crash copies again what came since.",
		here:    "better: MM2 takes over from there; Tandem itself resumes exactly in any case.", change: "Lower it to hand back to MM2 with fewer records repeated."},
	{name: "offset.storage.topic", scopes: cluster | bare, kind: text, def: "mm2-offsets.A.internal",
		meaning: "Topic on the target that holds the positions. One for all flows makes them collide.", change: "Leave it."},
	{name: "offset.storage.partitions", scopes: cluster | bare, kind: integer, def: "25", min: 1,
		meaning: "Partitions of that topic, where it does not exist yet.", change: "Leave it."},
	{name: "offset.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1,
		meaning: "Replication factor of that topic.", change: "1 on a single broker."},
	{name: "group.id", scopes: cluster, kind: text, def: "A-mm2",
		meaning: "Group on the target in which the workers of a flow divide the work. One for several flows makes them collide.",
		here:    "same: while MM2 is in the group, Tandem cannot join it, and the other way round. One for several flows is an error.", change: "Leave it."},
	{name: "session.timeout.ms", scopes: cluster, kind: integer, def: "6000", min: 1,
		meaning: "A worker that is silent for so long is taken for dead. MM2's default is 10000.",
		here:    "better: only the partitions of a process that died move. Unset it is three heartbeats at least.",
		change:  "Raise it where processes are stopped for seconds at a time. The brokers' `group.min.session.timeout.ms` is the least."},
	{name: "heartbeat.interval.ms", scopes: cluster, kind: integer, def: "1000", min: 1,
		meaning: "How often a worker tells that it lives. MM2's default is 3000.", change: "With the session timeout: a third of it at most."},
	{name: "rebalance.timeout.ms", scopes: cluster, kind: integer, def: "60000", min: 1,
		meaning: "How long a worker may take to let its work go.", change: "Rarely."},
	{name: "exactly.once.source.support", scopes: cluster, kind: text, def: "disabled", oneOf: []string{"disabled", "preparing", "enabled"}, anyCase: true,
		meaning: "enabled: records and positions are written in transactions.",
		here:    "same, for readers with read_committed. preparing needs nothing. Disabled, " + exactAnyway,
		change:  "enabled where readers must see records only once their transaction is committed."},

	{name: "config.storage.topic", scopes: cluster | bare, kind: text, effect: needless, meaning: "Topic of the connectors' configs.", here: noWorker},
	{name: "config.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1, effect: needless, meaning: "Its replication factor.", here: noWorker},
	{name: "status.storage.topic", scopes: cluster | bare, kind: text, effect: needless, meaning: "Topic of the tasks' states.", here: noWorker},
	{name: "status.storage.partitions", scopes: cluster | bare, kind: integer, def: "5", min: 1, effect: needless, meaning: "Its partitions.", here: noWorker},
	{name: "status.storage.replication.factor", scopes: cluster | bare, kind: short, def: "3", min: -1, effect: needless, meaning: "Its replication factor.", here: noWorker},
	{name: "offset.flush.timeout.ms", scopes: cluster, kind: long, def: "5000", min: anyNumber, effect: needless, meaning: "How long writing positions may take.", here: alwaysRetry},
	{name: "client.id", scopes: cluster, kind: text, def: "A->B", effect: needless, meaning: "Name of the worker's own clients.", here: noWorker + " `ALIAS.consumer.client.id` and its like are used."},
	{name: "task.shutdown.graceful.timeout.ms", scopes: cluster | bare, kind: long, def: "5000", min: anyNumber, effect: needless, meaning: "How long tasks may take to stop.", here: noTasks},
	{name: "scheduled.rebalance.max.delay.ms", scopes: cluster, kind: integer, def: "300000", min: anyNumber, effect: needless, meaning: "How long the work of a lost worker waits for its return.", here: "partitions of a lost process move as soon as its session is over."},
	{name: "connect.protocol", scopes: cluster, kind: text, def: "sessioned", effect: needless, meaning: "How workers divide tasks.", here: "partitions are divided one by one; those that stay do not stop."},
	{name: "topic.creation.enable", scopes: cluster, kind: boolean, def: "true", effect: needless, meaning: "Allow `topic.creation.*`.", here: "inert in MM2 as well."},
	{name: "plugin.path", scopes: cluster, kind: list, effect: needless, meaning: "Where Java plugins are.", here: "there are none."},
	{name: "plugin.discovery", scopes: cluster, kind: text, effect: needless, meaning: "How Java plugins are found.", here: "there are none."},
}

// connectKeys are those that every connector has.
var connectKeys = []key{
	{name: "name", scopes: flow | bare, kind: text, effect: needless, meaning: "Name of the connector, also in its positions.", here: "positions carry MM2's names."},
	{name: "connector.class", scopes: flow | bare, kind: text, effect: needless, meaning: "Class of the connector.", here: noConnectors},
	{name: "connector.plugin.version", scopes: flow | bare, kind: text, effect: needless, meaning: "Its version.", here: noConnectors},
	{name: "tasks.max", scopes: flow | bare, kind: integer, def: "1", min: 1, effect: needless, meaning: "Most tasks of a connector.", here: noTasks},
	{name: "tasks.max.enforce", scopes: flow | bare, kind: boolean, def: "true", effect: needless, meaning: "Insist on it.", here: noTasks},
	{name: "consumer.poll.timeout.ms", scopes: flow | bare, kind: long, def: "1000", min: anyNumber, effect: needless, meaning: "How long a poll waits.", here: "a fetch waits at the broker, and nothing waits for it."},
	converter("key.converter", "Turns keys into bytes."),
	converter("value.converter", "Turns values into bytes."),
	converter("header.converter", "Turns headers into bytes."),
	{name: "key.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Its version.", here: bytesPass},
	{name: "value.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Its version.", here: bytesPass},
	{name: "header.converter.plugin.version", scopes: flow | bare | cluster, kind: text, effect: needless, meaning: "Its version.", here: bytesPass},
	{name: "transforms", scopes: flow | bare, kind: list, effect: absent, meaning: "Change or drop records on their way.",
		here: "Records are not transformed: they pass through as bytes.", hint: "Leave topics out with topics.exclude; change records behind the mirror"},
	{name: "predicates", scopes: flow | bare, kind: list, effect: needless, meaning: "Which records are transformed.", here: "none are."},
	{name: "config.action.reload", scopes: flow | bare, kind: text, def: "restart", effect: needless, meaning: "What to do when a provider has a new value.", here: "providers are asked again at each reload."},
	{name: "errors.tolerance", scopes: flow | bare, kind: text, def: "none", effect: absent, quiet: []string{"none"}, meaning: "all: skip records that cannot be written.",
		here: "No record is dropped in silence.", hint: "Write on.refused = skip to set aside what the target refuses"},
	{name: "errors.retry.timeout", scopes: flow | bare, kind: long, def: "0", min: anyNumber, effect: needless, meaning: "How long to try again.", here: alwaysRetry},
	{name: "errors.retry.delay.max.ms", scopes: flow | bare, kind: long, def: "60000", min: anyNumber, effect: needless, meaning: "Longest pause in between.", here: alwaysRetry},
	{name: "errors.log.enable", scopes: flow | bare, kind: boolean, def: "false", effect: needless, meaning: "Log errors.", here: "they are always logged."},
	{name: "errors.log.include.messages", scopes: flow | bare, kind: boolean, def: "false", effect: needless, meaning: "With the record.", here: "contents of records are never logged."},
	{name: "metric.names.formats", scopes: flow | bare, kind: list, def: "legacy", oneOf: []string{"legacy", "new"}, effect: needless, meaning: "Names of JMX metrics.", here: noJMX},
	{name: "metric.reporters", scopes: flow | bare | cluster, kind: list, effect: absent, quiet: []string{"", jmxReporter}, meaning: "Classes that metrics are given to.",
		here: noClasses, hint: "Prometheus finds the metrics at status.address"},
	{name: "auto.include.jmx.reporter", scopes: flow | bare | cluster, kind: boolean, effect: needless, meaning: "Gone since 4.0.", here: noJMX},
	{name: "add.source.alias.to.metrics", scopes: flow | bare, kind: boolean, effect: needless, meaning: "Gone since 4.0.", here: "metrics always carry it."},
	{name: "use.incremental.alter.configs", scopes: flow | bare, kind: text, effect: absent, quiet: []string{"requested", "required"}, meaning: "Gone since 4.0. never: configs were replaced as a whole.",
		here: "Configs are always set one by one.", hint: "Remove it; what config.properties.exclude names stays as the target has it"},
	{name: "forwarding.admin.class", scopes: flow | bare | cluster, kind: class, def: pluginAdmin, effect: absent, quiet: []string{pluginAdmin}, meaning: "Class through which topics, configs and ACLs are written.",
		here: noClasses, hint: "Topics, configs and ACLs are written to the target itself; where another system must do that, set sync.topic.configs.enabled and sync.topic.acls.enabled to false and create the remote topics there"},
	{name: "transaction.boundary", scopes: flow, kind: text, def: "poll", effect: needless, meaning: "When transactions end.", here: "transactions are short and end by themselves."},
	{name: "transaction.boundary.interval.ms", scopes: flow, kind: long, min: anyNumber, effect: needless, meaning: "And how often.", here: "transactions are short and end by themselves."},
	{name: "offsets.storage.topic", scopes: flow, kind: text, effect: absent, meaning: "Positions of one connector.",
		here: "Positions are kept in one topic for a flow.", hint: "Write B.offset.storage.topic"},
	{name: "topic.creation.groups", scopes: flow, kind: list, effect: absent, meaning: "How Connect makes topics.",
		here: likeTheirs, hint: "Write replication.factor; other configs come from the source topic"},
	{name: "source.cluster.alias", scopes: flow | bare, kind: text, internal: true, effect: needless, meaning: "Aliases come from `clusters`."},
	{name: "target.cluster.alias", scopes: flow | bare, kind: text, internal: true, effect: needless, meaning: "Aliases come from `clusters`."},
	{name: "task.index", scopes: flow, kind: integer, min: anyNumber, internal: true, effect: needless, meaning: "There are no tasks."},
	{name: "task.assigned.partitions", scopes: flow, kind: list, internal: true, effect: needless, meaning: "There are no tasks."},
	{name: "task.assigned.groups", scopes: flow, kind: list, internal: true, effect: needless, meaning: "There are no tasks."},
}

const jmxReporter = "org.apache.kafka.common.metrics.JmxReporter"

func converter(name, meaning string) key {
	return key{name: name, scopes: flow | bare | cluster, kind: class, def: byteArrays, effect: absent, quiet: byteConverters, meaning: meaning,
		here: "Keys, values and headers pass through as bytes, which other converters would change.", hint: "Remove it, or write " + byteArrays}
}
