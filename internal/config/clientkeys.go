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

// clientRows are the client settings whose values are checked here. An empty default leaves the choice to the program.
var clientRows = map[string][]key{
	"": {
		{name: "bootstrap.servers", kind: list, meaning: "Brokers to start from.", change: "required for each cluster"},
		{name: "security.protocol", kind: text, def: "PLAINTEXT", oneOf: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, meaning: "How connections are secured. Upper and lower case are the same.", change: "As the brokers ask."},
	},
	"consumer": {
		{name: "auto.offset.reset", kind: text, def: "earliest", oneOf: []string{"earliest", "latest", "none"}, meaning: "Where a partition starts that has no position yet.", change: "latest to leave out what was written before."},
		{name: "isolation.level", kind: text, def: "read_uncommitted", oneOf: []string{"read_uncommitted", "read_committed"}, meaning: "read_committed leaves out records of transactions that were aborted.", change: "read_committed where producers use transactions."},
		{name: "fetch.max.bytes", kind: integer, min: 1, meaning: "Most bytes of one fetch.", change: "Rarely: unset, it follows the link and `memory.bytes`."},
		{name: "max.partition.fetch.bytes", kind: integer, min: 1, meaning: "Most bytes of one partition in one fetch.", change: "Rarely: unset, it follows the link and `memory.bytes`."},
	},
	"producer": {
		{name: "compression.type", kind: text, oneOf: []string{"none", "gzip", "snappy", "lz4", "zstd"}, meaning: "Compression of record batches on the target. Unset, each stays as the source has it, which costs least.", change: "To compress what arrives uncompressed."},
		{name: "max.request.size", kind: integer, min: 1, meaning: "Most bytes of one record batch on the way to the target.", change: "With the target's `max.message.bytes`."},
	},
}

// clientRow is the row of a client setting, where its value is checked.
func clientRow(client, name string) (key, bool) {
	for _, rows := range [][]key{clientRows[client], clientRows[""]} {
		if i := slices.IndexFunc(rows, func(k key) bool { return k.name == name }); i >= 0 {
			return rows[i], true
		}
	}
	return key{}, false
}

func isShared(name string) bool { return slices.Contains(sharedKeys, name) }

// knownClientKey says whether the Java client of this kind has the setting.
func knownClientKey(client, name string) bool {
	return isShared(name) || slices.Contains(anyClientKeys, name) || slices.Contains(clientKeys[client], name)
}
