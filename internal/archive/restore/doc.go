// Package restore makes an archive readable as if it were a Kafka cluster that ended at a moment, so that what replicates clusters can
// write it into one. It knows no broker.
//
// In come a catalog's State and what a person asks for (Selection); out go
//
//   - a Plan: which partitions, from which offset up to which, into which topics, with which configs, and what stands against it;
//   - a Source: partitions with a leader, fetch sessions, and an end, made of chunks that are read by range (Source, Log);
//   - counts: how many records of the cut stand below a source offset (Log.Below), and where the n-th stands (Log.At). Records are
//     written in order and none is left out, so the record at a source offset has the target offset base + Below, and a target that
//     has n of them goes on at At(n).
//
// The words:
//
//   - cut: what of a partition is restored: a range of offsets and, by the records' clock, a range of timestamps.
//   - span: what of a cut one chunk has.
//   - page: a span's batches as a reader sees them: verbatim where whole batches are in, made anew where some of their records are,
//     and an empty batch where offsets are without a record, so that whoever reads is moved on.
//   - fate: what became of a transaction, as of the cut.
//   - ledger: the objects that say what a restore set out to do and how far it is. They are created, never changed. Once the records are
//     there it has the positions of groups too: from then on nothing is read from the archive.
//   - lane: a pretended broker. There are a few; one where chunks are small, since those of one object are then read together, whatever
//     their partitions. Partitions advance side by side, object by object.
//
// # What is in
//
// By the records' clock: a record whose timestamp is not behind the moment, or that has none (-1), and, if it is of a transaction, only if
// that was committed by a marker whose timestamp is not behind the moment. By the archive's clock: what had been archived by then. Of
// a named point: what stands below its positions. Aborted transactions and those without a marker at the cut are out, unless Raw
// says otherwise. Markers themselves can be written by a broker alone.
//
// # Not guaranteed
//
// Of a transaction that reaches into a hole nobody knows what became of it, unless entries on both sides say so: where its commit marker is
// lost, and no chunk says that it was aborted, or open at the cut, it counts as committed.
//
// By the archive's clock transactions that had been read as committed count as committed, wherever their markers stand.
//
// What was passed over or left out is counted as far as it is read: chunks that are wholly out are not read, and a run that goes on does
// not count what those before it have read.
//
// Records that others write into a topic while it is being restored are found where they stand among ours. Behind our last one they are
// told of, and harm nothing.
package restore
