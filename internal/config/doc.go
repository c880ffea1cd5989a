// Package config reads mm2.properties: the file and the aliases of --clusters come in, one Flow for every pair of clusters
// that has work to do goes out, with every setting resolved as MirrorMaker 2 (4.3) resolves it.
//
//	bytes --> lines (Java's Properties) --> providers (${env:...}) --> checks --> cluster, connector, worker and client
//	settings per pair --> []Flow
//
// Effective tells of each setting what it came to and by which line; Diff what changed between two readings, and whether that can be
// taken over while running; Flow.Hash whether two processes run a flow alike. Nothing is kept between two calls of Load: files
// and variables behind placeholders are read again.
//
// One table (table.go and the files beside it) holds every key: it drives the checks, the defaults, the warnings about
// unknown keys and docs/config.md.
//
// Terms, by the way a key is written:
//   - bare: KEY, the value for every flow, or a setting of the process
//   - cluster: ALIAS.KEY, a setting of the Connect worker that MM2 runs for flows into that cluster
//   - client: ALIAS.producer.KEY, ALIAS.consumer.KEY, ALIAS.admin.KEY; and, at every level, the keys that all clients
//     share (bootstrap.servers, security.protocol, ssl.*, sasl.*)
//   - flow: A->B.KEY, for one flow
//
// Load collects every error, each with file, line and key, before it gives up. Where MM2 drops a key without a word, Load
// drops it too and says so in a warning, with the key to write instead. Values of secret keys are never printed.
//
// Not guaranteed: that a client setting has an effect (internal/kafka decides that), and that addresses, files or
// credentials work.
package config
