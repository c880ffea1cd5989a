// Package export writes archived batches of a partition as plain log segments, as a Kafka broker has them on its disk: Kafka's own
// DumpLogSegments reads them.
//
// In come a partition of a catalog.State and offsets; out come batches, in order and each once, with the offsets and leader epochs that they
// had at the source (Copy), put into files (Segments) or told record by record (Lines).
//
// A batch is never cut: where the wanted offsets begin or end inside of one it comes whole, and the Result says so. Only where two
// chunks of the archive part inside of a batch, as where a source was truncated there, is a batch rebuilt to end, or begin, where they do:
// it then has no leader epoch.
//
// # Not guaranteed
//
// There are no index files: a broker makes them when it starts. What a segment does not have (holes) the log cleaner may have taken, or a
// bundle may be missing: Holes of the Result say which.
package export
