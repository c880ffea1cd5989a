// Package position remembers how far replication has come, in two topics of the target cluster.
//
// The first is MM2's own, mm2-offsets.A.internal: for each source partition the upstream offset of the last replicated
// record, in the bytes that Kafka Connect writes. Tandem starts where MM2 stopped, keeps the topic up to date, and so
// MM2 can start where Tandem stopped. A [Store] reads and writes it.
//
// The second is Tandem's, mm2-tandem.A.internal: the flow's producer id, every id that it ever had (its origins, by which
// others know what it has written) and, for each remote partition, an [Anchor] that
// ties a source offset to a sequence number and a target offset. An [AnchorStore] reads and writes it. Records of other
// kinds share the topic and are passed over.
//
// In: positions as acknowledgements move them (Set). Out: records appended to the topic (Flush), only where something
// changed since the last successful Flush, and the positions found there (Load).
//
// Not guaranteed: that what was Set is stored before Flush has returned nil; a process that is killed loses up to one
// flush interval. What is stored is never ahead of what was Set. Flush after an error repeats records that may have been
// appended already, which a compacted topic does not mind.
package position
