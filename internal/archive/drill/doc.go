// Package drill is the thinking part of a rehearsal of restores: which stretches of which partitions are tried, and whether what came back,
// and what the replica holds, is what was archived. It knows no broker and no store.
//
// In come the lives of a catalog.State (Choose) and records, as Read takes them out of batches: those that are archived, those that
// were restored, those of the replica. Out go stretches, differences and counts.
//
// The words:
//
//   - stretch: source offsets From <= o < End of one partition.
//   - scratch topic: what a stretch is restored into, for the length of the drill (Name, Left).
//   - other side: where the archived records ought to be found as well: the replica, or where there is none the source. Expected says
//     at which offset each of them stands there.
//   - wanted: an archived record that a restore brings back. Those of aborted and open transactions are not.
//
// What the other side may lack without being wrong: what its retention deleted (below the log start), what its cleaner removed (the
// topic is compacted, and a later record has the key, or it was a tombstone), and what a flow does not copy, which Expected says.
//
// # Not guaranteed
//
// Keys, values and headers are compared by hashes of 64 bits each. Whether the cleaner was right to remove a record is asked of the
// archive, and only as far ahead as the caller looks.
package drill
