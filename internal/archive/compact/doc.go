// Package compact rewrites old bundles into few large objects, with the records compressed better. What the archive says stays the same, as of any
// moment.
//
// In come a store and an age; out come a Plan (New), which writes nothing, and what came of it (Plan.Run).
//
// What becomes of a batch: one that its producer compressed is rebuilt with zstd, one for one: base offset, leader epoch, attributes but for
// the codec, producer, sequence, timestamps and the records with their offsets are the same; length and CRC are new. One that does not become
// smaller, and one that is not compressed, stays as it is; bundle compresses chunks of the latter as it ever did. Chunks keep their
// boundaries, but small neighbors become one where no transaction is open between them; an event in the new bundle (bundle.Compacted) keeps
// what was archived when.
//
// # Order, and what a kill leaves
//
// New objects are stored, read back, and each record compared with the old one's. When all are there, what the catalog would say without the old
// ones is compared with what it says. Then a last object is stored: it has the events of the old bundles, and their names (bundle.Removed).
// Only then are the old ones deleted. Killed before the last object, there are some objects more, which the next run takes away once it has
// stored its own of the same offsets; killed behind it, the next run deletes what was to be deleted. What a lock holds is deleted by a run
// after its end.
//
// Two runs at once do no harm: each deletes only what it has copies of that it has proved.
//
// # What is left alone
//
// Bundles that are young; the newest whole one of each writer, since it goes on from there; damaged ones; those with a chunk that is not
// read from the first to the last offset, as where a truncation of the source or another bundle has a say; those of partitions whose source
// was truncated; what was compacted before.
//
// # Files
//
// plan.go (what is rewritten), joined.go (which chunks become one), recode.go (batches), run.go and write.go (the order above), prove.go (records), same.go (the
// catalog), leftovers.go.
//
// # Not guaranteed
//
// Two events of one millisecond, of which one is moved and the other is not, may change places. Batches are not what the source's
// broker served any more, byte for byte; records are.
//
// Memory: one object (Options.ObjectBytes), some chunks for each processor, the catalog, and the footers of at most Options.Bundles.
package compact
