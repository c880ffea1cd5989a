// Package compare holds a stretch of a source partition against its replica, record by record.
//
// In: both logs as their readers see them, and what the map of offsets says of which record stands where. Out: how many records are the same,
// what may rightly be missing, and differences, each with its offsets. Contents of records are never told.
//
// What is a difference. Key, value, headers and timestamp of two records that the map puts together must be the same. A record of the source
// must stand on the target, and one of the target must come from the source, but for what these explain:
//
//	retention       it lies before the log's start on the side that does not have it
//	the log cleaner the topic is compacted there, and a later record of the same key exists, or it is a tombstone
//	others          the partition is one that both directions copy under one name: records of the target's own producers stand between
//
// Not guaranteed: that a record which the source had lost before it was copied was copied rightly, since nobody has it any more.
package compare
