// Package offsetsync holds MirrorMaker 2's offset syncs: their bytes, and the rhythm in which they are emitted.
//
// In: acknowledgements of the target cluster ([stream.Ack]), in the order of each source partition.
// Out: [Sync] values, each saying that the record at an upstream offset stands at a downstream offset, to be appended
// to partition 0 of the offset-syncs topic. From them MM2's own checkpoint task, and every client that reads the topic,
// translates the offsets of consumer groups.
//
// The terms are MM2's. A sync is due when translation would otherwise become wrong or too stale (see [Writer]); a due
// sync is pending until it is taken to be sent. A partition's newest record that was not due is its delayed sync, which
// becomes pending when the positions are flushed, so that the end of a quiet topic is exact as well.
//
// The Writer never walks through records: a run of a million records costs what a run of one costs.
//
// Not guaranteed: that a sync is sent (a failed one is not repeated; the next due one replaces it), and anything across
// a restart. The state is in memory only, as in MM2, so the first record of a partition after a start is always due.
package offsetsync
