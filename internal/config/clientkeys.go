package config

import (
	"slices"
	"strings"
)

// sharedKeys are what MM2 calls client keys: written for a cluster, or bare, they reach all clients of it.
var sharedKeys = append([]string{"bootstrap.servers", "security.protocol"}, strings.Fields(`
	sasl.client.callback.handler.class sasl.jaas.config sasl.kerberos.kinit.cmd
	sasl.kerberos.min.time.before.relogin sasl.kerberos.service.name sasl.kerberos.ticket.renew.jitter
	sasl.kerberos.ticket.renew.window.factor sasl.login.callback.handler.class sasl.login.class
	sasl.login.connect.timeout.ms sasl.login.read.timeout.ms sasl.login.refresh.buffer.seconds
	sasl.login.refresh.min.period.seconds sasl.login.refresh.window.factor sasl.login.refresh.window.jitter
	sasl.login.retry.backoff.max.ms sasl.login.retry.backoff.ms sasl.mechanism sasl.oauthbearer.assertion.algorithm
	sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.exp.seconds
	sasl.oauthbearer.assertion.claim.iss sasl.oauthbearer.assertion.claim.jti.include
	sasl.oauthbearer.assertion.claim.nbf.seconds sasl.oauthbearer.assertion.claim.sub
	sasl.oauthbearer.assertion.file sasl.oauthbearer.assertion.private.key.file
	sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.template.file
	sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
	sasl.oauthbearer.clock.skew.seconds sasl.oauthbearer.expected.audience sasl.oauthbearer.expected.issuer
	sasl.oauthbearer.header.urlencode sasl.oauthbearer.jwks.endpoint.refresh.ms
	sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms sasl.oauthbearer.jwks.endpoint.retry.backoff.ms
	sasl.oauthbearer.jwks.endpoint.url sasl.oauthbearer.jwt.retriever.class sasl.oauthbearer.jwt.validator.class
	sasl.oauthbearer.scope sasl.oauthbearer.scope.claim.name sasl.oauthbearer.sub.claim.name
	sasl.oauthbearer.token.endpoint.url ssl.cipher.suites ssl.enabled.protocols
	ssl.endpoint.identification.algorithm ssl.engine.factory.class ssl.key.password ssl.keymanager.algorithm
	ssl.keystore.certificate.chain ssl.keystore.key ssl.keystore.location ssl.keystore.password ssl.keystore.type
	ssl.protocol ssl.provider ssl.secure.random.implementation ssl.trustmanager.algorithm
	ssl.truststore.certificates ssl.truststore.location ssl.truststore.password ssl.truststore.type
`)...)

// anyClientKeys are those that producers, consumers and admin clients have besides.
var anyClientKeys = strings.Fields(`
	auto.include.jmx.reporter client.dns.lookup client.id config.providers connections.max.idle.ms
	enable.metrics.push metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy
	metric.reporters metrics.num.samples metrics.recording.level metrics.sample.window.ms receive.buffer.bytes
	reconnect.backoff.max.ms reconnect.backoff.ms request.timeout.ms retry.backoff.max.ms retry.backoff.ms
	security.providers send.buffer.bytes socket.connection.setup.timeout.max.ms socket.connection.setup.timeout.ms
`)

var clientKeys = map[string][]string{
	"consumer": strings.Fields(`
	allow.auto.create.topics auto.commit.interval.ms auto.offset.reset check.crcs client.rack default.api.timeout.ms
	enable.auto.commit exclude.internal.topics fetch.max.bytes fetch.max.wait.ms fetch.min.bytes group.id
	group.instance.id group.protocol group.remote.assignor heartbeat.interval.ms interceptor.classes
	internal.throw.on.fetch.stable.offset.unsupported isolation.level key.deserializer max.partition.fetch.bytes
	max.poll.interval.ms max.poll.records partition.assignment.strategy session.timeout.ms
	share.acknowledgement.mode share.acquire.mode value.deserializer
`),
	"producer": strings.Fields(`
	acks batch.size buffer.memory compression.gzip.level compression.lz4.level compression.type
	compression.zstd.level delivery.timeout.ms enable.idempotence interceptor.classes key.serializer linger.ms
	max.block.ms max.in.flight.requests.per.connection max.request.size metadata.max.idle.ms
	partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms partitioner.class
	partitioner.ignore.keys retries transaction.timeout.ms transaction.two.phase.commit.enable transactional.id
	value.serializer
`),
	"admin": strings.Fields(`
	bootstrap.controllers default.api.timeout.ms retries
`),
}

// clientRows are the client settings that have an effect, or are asked for in vain, by kind of client; "" are those that all
// clients share, "any" those that each kind has. An empty default leaves the choice to the program.
var clientRows = map[string][]key{
	"": {
		{name: "bootstrap.servers", kind: list, meaning: "Brokers to start from.", change: "required for each cluster"},
		{name: "security.protocol", kind: text, def: "PLAINTEXT", oneOf: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, anyCase: true,
			meaning: "How connections are secured. Upper and lower case are the same.", change: "As the brokers ask."},
	},
	"any": {
		{name: "client.id", kind: text, meaning: "Name of the client in the brokers' logs and quotas.",
			here: "same, without the name of the flow and the role behind it; unset it is `tandem`.", change: "Where quotas go by client."},
		{name: "request.timeout.ms", kind: integer, def: "30000", min: 1, meaning: "How long an answer may take.", change: "Raise it for slow links and very many topics."},
		{name: "socket.connection.setup.timeout.ms", kind: long, def: "10000", min: 1, meaning: "How long a connection may take.", change: "Rarely."},
		{name: "connections.max.idle.ms", kind: long, def: "540000", min: anyNumber, meaning: "When to close a connection without traffic; negative is never.", change: "Below what a firewall allows."},
		{name: "metadata.max.age.ms", kind: long, def: "300000", min: 1000, meaning: "When to ask again who leads what.", change: "Rarely."},
		{name: "retry.backoff.ms", kind: long, def: "100", min: 0, meaning: "Pause before the second try; it doubles.", change: "Rarely."},
		{name: "reconnect.backoff.ms", kind: long, def: "50", min: 0, meaning: "The same for connections.", here: "same; the longer one of the two counts for both.", change: "Rarely."},
		{name: "reconnect.backoff.max.ms", kind: long, def: "1000", min: 0, meaning: "Longest pause.", here: "same, for both.", change: "Rarely."},
		{name: "metric.reporters", kind: list, effect: absent, quiet: []string{"", jmxReporter}, meaning: "Classes that metrics are given to.", here: noClasses, hint: "Prometheus finds the metrics at status.address"},
		{name: "security.providers", kind: list, effect: absent, quiet: []string{""}, meaning: "Java's security providers.", here: noClasses, hint: "Remove it"},
	},
	"consumer": {
		{name: "auto.offset.reset", kind: text, def: "earliest", oneOf: []string{"earliest", "latest", "none"},
			meaning: "Where a partition starts that has no position yet.", here: "same; behind a position that the source has deleted see `retention.gap`.", change: "latest to leave out what was written before."},
		{name: "isolation.level", kind: text, def: "read_uncommitted", oneOf: []string{"read_uncommitted", "read_committed"},
			meaning: "read_committed leaves out records of transactions that were aborted.", change: "read_committed where producers use transactions."},
		{name: "fetch.max.bytes", kind: integer, min: 1, meaning: "Most bytes of one fetch.", here: "better: unset, it follows the link and `memory.bytes`.", change: "Rarely."},
		{name: "max.partition.fetch.bytes", kind: integer, min: 1, meaning: "Most bytes of one partition in one fetch.", here: "better: unset, it follows the link and `memory.bytes`.", change: "Rarely."},
		{name: "client.rack", kind: text, effect: absent, quiet: []string{""}, meaning: "Read from a replica nearby.", here: "Records are read from leaders.", hint: "Remove it"},
		{name: "interceptor.classes", kind: list, effect: absent, quiet: []string{""}, meaning: "Classes that see each record.", here: noClasses, hint: "Remove it"},
	},
	"producer": {
		{name: "compression.type", kind: text, oneOf: []string{"none", "gzip", "snappy", "lz4", "zstd"},
			meaning: "Compression of record batches on the target; unset, none.", here: "better: unset, each stays as the source has it, which costs least.", change: "To compress what arrives uncompressed."},
		{name: "max.request.size", kind: integer, min: 1, effect: needless, meaning: "Largest request; larger records stop the flow.", here: "batches are as large as the remote topic's `max.message.bytes` lets them be."},
		compressionLevel("gzip"), compressionLevel("lz4"), compressionLevel("zstd"),
		{name: "interceptor.classes", kind: list, effect: absent, quiet: []string{""}, meaning: "Classes that see each record.", here: noClasses, hint: "Remove it"},
	},
	"admin": {
		{name: "bootstrap.controllers", kind: list, effect: absent, quiet: []string{""}, meaning: "Controllers to start from.", here: "Brokers are asked.", hint: "Write bootstrap.servers"},
	},
}

func compressionLevel(codec string) key {
	return key{name: "compression." + codec + ".level", kind: integer, min: anyNumber, effect: absent, quiet: []string{""}, meaning: "Level of compression.",
		here: "What is compressed anew is at the codec's usual level.", hint: "Remove it"}
}

// idle are the client settings that have no meaning here, by the reason.
var idle = []struct {
	client string // empty: any
	keys   []string
	here   string
}{
	{"consumer", strings.Fields("group.id group.instance.id group.protocol group.remote.assignor session.timeout.ms heartbeat.interval.ms partition.assignment.strategy enable.auto.commit auto.commit.interval.ms max.poll.interval.ms internal.throw.on.fetch.stable.offset.unsupported share.acknowledgement.mode share.acquire.mode"),
		"the source is read without a group, and nothing is committed there; positions are on the target."},
	{"consumer", strings.Fields("fetch.min.bytes fetch.max.wait.ms max.poll.records"), "one fetch loop for each broker has the next one under way; it waits for nothing."},
	{"consumer", strings.Fields("key.deserializer value.deserializer exclude.internal.topics allow.auto.create.topics"), "batches are fetched as bytes, from topics that exist."},
	{"consumer", strings.Fields("check.crcs"), "always checked."},
	{"producer", strings.Fields("acks enable.idempotence retries delivery.timeout.ms max.block.ms max.in.flight.requests.per.connection"),
		"always acknowledged by all replicas in sync, idempotent, in order, five in flight, and tried until it succeeds."},
	{"producer", strings.Fields("batch.size linger.ms buffer.memory"),
		"batches go as the source has them, small ones joined, up to the remote topic's `max.message.bytes`; `memory.bytes` bounds all."},
	{"producer", strings.Fields("key.serializer value.serializer partitioner.class partitioner.ignore.keys partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms metadata.max.idle.ms"),
		"each batch goes as it is into the partition of the same number."},
	{"producer", strings.Fields("transactional.id transaction.timeout.ms transaction.two.phase.commit.enable"), "transactions are `exactly.once.source.support`'s, with names and times of their own."},
	{"admin", strings.Fields("retries default.api.timeout.ms"), alwaysRetry},
	{"consumer", strings.Fields("default.api.timeout.ms"), alwaysRetry},
	{"", strings.Fields("metrics.num.samples metrics.recording.level metrics.sample.window.ms enable.metrics.push auto.include.jmx.reporter"), noJMX},
	{"", strings.Fields("retry.backoff.max.ms socket.connection.setup.timeout.max.ms"), "pauses grow up to `reconnect.backoff.max.ms`."},
	{"", strings.Fields("receive.buffer.bytes send.buffer.bytes client.dns.lookup"), "the operating system's."},
	{"", strings.Fields("metadata.recovery.strategy metadata.recovery.rebootstrap.trigger.ms"), "where no broker answers, those of `bootstrap.servers` are asked again."},
	{"", strings.Fields("config.providers"), "providers are declared once, for the whole file."},
}

// clientRow is the row of a client setting, where it has one.
func clientRow(client, name string) (key, bool) {
	kinds := []string{client, ""}
	if client != "" {
		kinds = []string{client, "any", ""}
	}
	for _, kind := range kinds {
		if i := slices.IndexFunc(clientRows[kind], func(k key) bool { return k.name == name }); i >= 0 {
			return clientRows[kind][i], true
		}
	}
	return key{}, false
}

func isShared(name string) bool { return slices.Contains(sharedKeys, name) }

// knownClientKey says whether the Java client of this kind has the setting.
func knownClientKey(client, name string) bool {
	return isShared(name) || slices.Contains(anyClientKeys, name) || slices.Contains(clientKeys[client], name)
}
