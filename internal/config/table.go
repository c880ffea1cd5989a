package config

import (
	"slices"

	"tandem/internal/policy"
)

const mirror = "org.apache.kafka.connect.mirror."

// table holds every key that is not a client setting. Where MM2 versions differ it follows 4.3; what 3.9 had otherwise stands
// beside it.
var table = slices.Concat(processKeys, statusKeys, flowKeys, ownFlowKeys, internalTopicKeys, groupKeys, archiveKeys, drillKeys, workerKeys, connectKeys)

var processKeys = []key{
	{name: "clusters", scopes: process, kind: list, meaning: "Aliases of the clusters. Remote topics carry them in their names.", change: "required"},
	{name: "config.providers", scopes: process, kind: list,
		meaning: "Names of the providers that fill in `${NAME:KEY}` and `${NAME:PATH:KEY}`; each has `config.providers.NAME.class` and `config.providers.NAME.param.*`.",
		here:    "better: a placeholder that cannot be filled in is an error, not left as it is. Classes: EnvVar-, File- and DirectoryConfigProvider. They are asked again at each reload.",
		change:  "To keep secrets out of the file."},
	{name: "dedicated.mode.enable.internal.rest", scopes: process, kind: boolean, def: "false", effect: needless,
		meaning: "Workers of several processes talk over REST; without it they miss new topics.",
		here:    "processes share the work through a group of the target and need no connection between them."},

	{name: "mm2.compatibility", scopes: process, kind: text, def: "4.x", oneOf: []string{"4.x", "3.9"}, own: true,
		meaning: "Which MM2 the file was written for. `4.x` is 4.3. `3.9` brings back its defaults of `topics.exclude` and `config.properties.exclude`, its notion of an internal topic (all that end in `.internal` or `-internal`), and lists with empty elements.",
		change:  "3.9 where a file of 3.x must mirror exactly the topics it did."},
	{name: "memory.bytes", scopes: process, kind: long, def: "67108864", min: 8 << 20, own: true,
		meaning: "Memory for records on the way between the clusters, for the whole process.",
		change:  "Raise it for many partitions over a link with a long delay; lower it on a small machine."},
	{name: "offset.map.bytes", scopes: process, kind: long, def: "16777216", min: 1 << 20, own: true,
		meaning: "Memory for segments of the exact offset maps, for the whole process, beside what every partition needs at least. What does not fit is read from the target again when it is asked for.",
		change:  "Raise it where many groups lag far behind on topics full of transactions, and rounds of checkpoints take long."},
	{name: "log.level", scopes: process, kind: text, def: "info", live: true, oneOf: []string{"debug", "info", "warn", "error"}, own: true,
		meaning: "The least severe messages that are logged. `debug` shows no more than `info`: what each record goes through is counted, not logged.",
		change:  "warn where starts, stops and new topics need not be told."},
	{name: "group.instance.id", scopes: process, kind: text, own: true,
		meaning: "Name of this process among those that share the work, by which it gets its partitions back after a restart. Empty: it finds one itself. Two processes must not have the same.",
		change:  "Where the host name changes with each start and another name does not, as with a StatefulSet."},
}

// renamed are keys of 3.x under their names since 4.0, which does not know the old ones any more. A file that still has
// the old key, and not the new one, is read as 3.x did.
var renamed = map[string]string{
	"topics.blacklist":            "topics.exclude",
	"groups.blacklist":            "groups.exclude",
	"config.properties.blacklist": "config.properties.exclude",
}

const noClasses = "Java classes cannot be loaded."

// policyHint and filterHint say what to do where the file has a class of its own. These are errors: without the class other
// topics would be mirrored, or under other names.
const (
	policyHint = "classes of one's own cannot be loaded: one that only changes what stands between alias and topic is replication.policy.separator"
	topicHint  = "a filter of one's own cannot be loaded: say the same with topics and topics.exclude"
	groupHint  = "a filter of one's own cannot be loaded: say the same with groups and groups.exclude"
	configHint = "a filter of one's own cannot be loaded: say the same with config.properties.exclude and A->B.use.defaults.from"
)

var flowKeys = []key{
	{name: "enabled", scopes: flow | bare, kind: boolean, def: "false",
		meaning: "Replicate topics from A to B. Written bare it reaches every pair that heartbeats give a worker to.",
		change:  "Set `A->B.enabled = true` for each direction wanted."},
	{name: "topics", scopes: flow | bare, kind: regexList, live: true, def: ".*",
		meaning: "Topics to replicate: each expression must match a whole name. Java's dialect; a comma ends an expression.",
		change:  "To replicate less than everything."},
	{name: "topics.exclude", scopes: flow | bare, kind: regexList, live: true, def: `mm2.*\.internal, .*\.replica, __.*`, def39: `.*[\-\.]internal, .*\.replica, __.*`,
		meaning: "Topics to leave out; wins over `topics`.", change: "Repeat the default when adding to it."},
	{name: "topic.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultTopicFilter", oneOf: []string{mirror + "DefaultTopicFilter"}, hint: topicHint,
		meaning: "The class that reads the two.", here: "same; another class is an error.", change: "Leave it."},
	{name: "heartbeats.replication.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Replicate heartbeats topics, whatever `topics` says.", change: "Rarely: without them lag over several hops cannot be seen."},
	{name: "replication.policy.class", scopes: flow | bare, kind: class, def: policy.DefaultClass, oneOf: []string{policy.DefaultClass, policy.IdentityClass}, hint: policyHint,
		meaning: "How remote topics are named: with the alias of their source in front, or (Identity) as on the source.",
		here:    "better: under Identity two clusters can mirror each other without a loop. Another class is an error.",
		change:  "Identity where consumers must not notice. Flows that lead in a circle over three clusters are refused."},
	{name: "replication.policy.separator", scopes: flow | bare, kind: text, def: ".",
		meaning: "Stands between alias and topic.", change: "When topic names contain dots that must not look like aliases. Must be the same for all flows and clients."},
	{name: "replication.policy.internal.topic.separator.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Use the separator in the names of internal topics too.", change: "false to keep internal topics that were made with `.`."},
	{name: "replication.factor", scopes: flow | bare, kind: integer, def: "2", min: -1,
		meaning: "Replication factor of new remote topics.", change: "3 in production; 1 on a single broker."},
	{name: "refresh.topics.enabled", scopes: flow | bare, kind: boolean, def: "true", meaning: "Look for new topics and partitions.", change: "Rarely."},
	{name: "refresh.topics.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, live: true,
		meaning: "How often; negative is never.", here: "better: partitions that are replicated already do not stop for new ones.", change: "Lower it where topics are created often."},
	{name: "sync.topic.configs.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Carry topic configs to remote topics.", change: "false to keep configs by hand on the target."},
	{name: "sync.topic.configs.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, live: true,
		meaning: "How often; negative is never.", here: "better: written only where something differs.", change: "Rarely."},
	{name: "config.properties.exclude", scopes: flow | bare, kind: regexList, live: true,
		def:     "follower.replication.throttled.replicas, leader.replication.throttled.replicas, message.timestamp.difference.max.ms, log.message.timestamp.before.max.ms, log.message.timestamp.after.max.ms, message.timestamp.type, unclean.leader.election.enable, min.insync.replicas",
		def39:   `follower\.replication\.throttled\.replicas, leader\.replication\.throttled\.replicas, message\.timestamp\.difference\.max\.ms, message\.timestamp\.type, unclean\.leader\.election\.enable, min\.insync\.replicas`,
		meaning: "Topic configs to leave as the target has them.", change: "Add configs that are set on the target only: they are reset otherwise."},
	{name: "config.property.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultConfigPropertyFilter", oneOf: []string{mirror + "DefaultConfigPropertyFilter"}, hint: configHint,
		meaning: "The class that reads it.", here: "same; another class is an error.", change: "Leave it."},
	{name: "use.defaults.from", scopes: flow, kind: text, def: "target",
		meaning: "`source`: a config that the source has by default is written out on the target; any other value: the target's default applies.",
		change:  "When brokers have different defaults and topics must behave alike."},
	{name: "sync.topic.acls.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Carry ACLs of topics to remote topics, without the right to write.", change: "false where rights are kept by hand on the target."},
	{name: "sync.topic.acls.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, live: true,
		meaning: "How often; negative is never.", here: "better: written only where something differs.", change: "Rarely."},
	{name: "emit.heartbeats.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Write heartbeats into the target. This alone gives a pair of clusters work to do, enabled or not.",
		change:  "false where the process may not write into a cluster that it only reads."},
	{name: "emit.heartbeats.interval.seconds", scopes: flow | bare, kind: long, def: "1", min: anyNumber, live: true,
		meaning: "How often; 0 is without a pause.", here: "better: once a second at most.", change: "Rarely."},
	{name: "exactly.once.support", scopes: flow, kind: text, def: "requested", oneOf: []string{"requested", "required"}, anyCase: true,
		meaning: "required: refuse to start a flow without transactions, or without read_committed on the source.", change: "required to be told where one of the two is missing."},
	{name: "admin.timeout.ms", scopes: flow | bare, kind: long, def: "60000", min: 1, effect: needless,
		meaning: "Time limit of a step at the start.", here: "each request has `request.timeout.ms`, and what fails is tried again."},
}

// ownFlowKeys are Tandem's, for a flow.
var ownFlowKeys = []key{
	{name: "sync.topic.acls.mode", scopes: flow | bare, kind: text, def: "mm2", oneOf: []string{"mm2", "full"}, own: true,
		meaning: "`mm2`: what MM2 copies, literal ACLs of topics, and nothing is ever deleted. `full`: prefixed ones, groups and transactional ids as well, and what is gone on the source goes on the target.",
		change:  "full where applications move to the target with all their rights."},
	{name: "throttle.bytes.per.second", scopes: flow | bare, kind: long, def: "0", min: 0, own: true, live: true,
		meaning: "The most that a flow reads from its source, in each process; 0 is no bound.", change: "Where the link is shared with others."},
	{name: "throttle.topics", scopes: flow | bare, kind: throttles, own: true, live: true,
		meaning: "The same for topics: a list of PATTERN=BYTES, each pattern as in `topics`. All topics of one pattern together have that many bytes a second; for a topic the first pattern that matches counts, beside the flow's own bound.",
		change:  "To keep a few large topics from holding up the others."},
	{name: "topic.recreated", scopes: flow | bare, kind: text, def: "halt", oneOf: []string{"halt", "follow"}, own: true,
		meaning: "What to do when a source topic was deleted and made anew: stop its partitions and say so, or go on with the new topic from its beginning, behind the records of the old one.",
		change:  "follow where topics are made anew as a matter of course, and readers can tell old records from new ones."},
	{name: "retention.gap", scopes: flow | bare, kind: text, def: "report", oneOf: []string{"report", "halt"}, own: true,
		meaning: "What to do when the source has deleted records before they were replicated: name them and go on behind them, or stop the partition.",
		change:  "halt where a gap must not pass without a decision."},
	{name: "on.refused", scopes: flow | bare, kind: text, def: "quarantine", oneOf: []string{"quarantine", "skip"}, own: true,
		meaning: "What to do with a record that the target refuses (too large, timestamp out of range, null key on a compacted topic): hold its partition until the target takes it, or set the record aside in `mm2-tandem-refused.A.internal` and go on.",
		change:  "skip where it is worse to stand still than to miss a record."},
	{name: "failover.tail", scopes: flow | bare, kind: text, def: "halt", oneOf: []string{"halt", "copy"}, own: true,
		meaning: "After a failover away from a source that was lost, what the source turns out to hold beyond the mirrored end is not copied: halt keeps its partitions halted until `failover back` or `failover undo`; copy appends it late.",
		change:  "copy where records that arrive late, behind what was written on the target meanwhile, do no harm."},
}

var internalTopicKeys = []key{
	{name: "emit.offset-syncs.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Write offset syncs, which tie source offsets to target offsets. false stops checkpoints.",
		here:    "better: offsets are translated without them, exactly.", change: "false where neither MM2 nor its clients read them."},
	{name: "offset-syncs.topic.location", scopes: flow | bare, kind: text, def: "source", oneOf: []string{"source", "target"},
		meaning: "The cluster that holds the offset syncs topic.", change: "target where the process may not write into the source."},
	{name: "offset-syncs.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1,
		meaning: "Replication factor of the offset syncs topic.", change: "1 on a single broker."},
	{name: "offset.lag.max", scopes: flow | bare, kind: long, def: "100", min: 0,
		meaning: "How many records offsets may drift apart before an offset sync is written; 0 writes one for every record.", change: "Rarely."},
	{name: "heartbeats.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1,
		meaning: "Replication factor of `heartbeats`.", change: "1 on a single broker."},
}

// groupKeys are about consumer groups: checkpoints and group sync.
var groupKeys = []key{
	{name: "groups", scopes: flow | bare, kind: regexList, live: true, def: ".*",
		meaning: "Consumer groups whose offsets are translated: each expression must match a whole name. Of them only those count that have offsets on a topic that `topics` accepts.",
		change:  "To look after fewer groups than all."},
	{name: "groups.exclude", scopes: flow | bare, kind: regexList, live: true, def: "console-consumer-.*, connect-.*, __.*",
		meaning: "Groups to leave out; wins over `groups`.", change: "Repeat the default when adding to it. Take `connect-.*` out where sink connectors must go on after a failover."},
	{name: "group.filter.class", scopes: flow | bare, kind: class, def: mirror + "DefaultGroupFilter", oneOf: []string{mirror + "DefaultGroupFilter"}, hint: groupHint,
		meaning: "The class that reads the two.", here: "same; another class is an error.", change: "Leave it."},
	{name: "refresh.groups.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Look for new and deleted groups. With false the groups of the start stay those that are looked after.", change: "Rarely."},
	{name: "refresh.groups.interval.seconds", scopes: flow | bare, kind: long, def: "600", min: anyNumber, live: true,
		meaning: "How often; negative is never again.", here: "better: before each round of checkpoints, or every 5 seconds where rounds are closer together; a shorter interval makes it more often.", change: "Rarely."},
	{name: "emit.checkpoints.enabled", scopes: flow | bare, kind: boolean, def: "true",
		meaning: "Translate the offsets of groups and write checkpoints into `A.checkpoints.internal` on B. false is refused.",
		here:    "better: offsets are exact to the record. false writes none.",
		change:  "false only where no group is ever moved: without checkpoints nothing is known of the groups once the source is lost."},
	{name: "emit.checkpoints.interval.seconds", scopes: flow | bare, kind: long, def: "60", min: anyNumber, live: true,
		meaning: "How often. After the loss of the source a group reads again what it had read since the last round.",
		here:    "better: only changes are written; a round asks the source for all groups in a few requests. Once a second at most.",
		change:  "5, or 1, to read less again after a disaster."},
	{name: "checkpoints.topic.replication.factor", scopes: flow | bare, kind: short, def: "3", min: -1,
		meaning: "Replication factor of `A.checkpoints.internal`.", change: "1 on a single broker."},
	{name: "sync.group.offsets.enabled", scopes: flow | bare, kind: boolean, def: "false",
		meaning: "Commit the translated offsets on the target too, so that a group that starts there goes on where it was.",
		here:    "better: groups with members on the target are never touched. An offset is set back only where the group was reset on the source and has not run on the target since.",
		change:  "true to move groups without `failover`: they only need to be started on the target."},
	{name: "sync.group.offsets.interval.seconds", scopes: flow | bare, kind: long, def: "60", min: anyNumber, live: true,
		meaning: "How often; negative is never.", change: "Same as the interval of checkpoints."},
}
