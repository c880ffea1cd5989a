// Package offsetsync ties offsets of the source to offsets of the target: exactly, in a [Map] of its own, and as MirrorMaker 2
// does, by offset syncs.
//
// # The map
//
// In: acknowledgements of the target cluster ([stream.Ack]), in the order of each remote partition; runs that were counted in a gap;
// the map's own records of mm2-tandem.A.internal at the start. Out: a source offset on the target ([Map.Translate]) and back
// ([Map.Return]), each with a class that says how far it can be trusted; what is to be counted ([Map.Gaps]); and the records to
// append ([Map.Changed]).
//
// A run is a stretch of records that follow one another on both sides. Between two runs of one partition
//
//   - only the source offset jumps: a hole (markers, compaction, aborted data), which has no copy. Exact.
//   - only the target offset jumps: foreign records. Exact.
//   - both jump: a gap. Records were copied there that no acknowledgement told of: before the map was there, between the last flush
//     and a kill, or at a place that the target no longer knew. It is counted elsewhere and given to [Map.Fill].
//
// A place is a pair of offsets: source records below the one stand below the other. The map ends at a place, and so does each
// segment, which is a row of runs without a gap inside, a record in the topic, and an entry of some hundred bytes in memory. Steps
// of segments (steps.go) are in memory for the last segment of each partition, for those not yet in the topic, and for those lately
// used; others are read again when an offset inside is asked for.
//
// A generation begins where source offsets go back, or the topic has another id: the source was truncated, or made anew. Up to the
// offset where the next one begins an older generation of the same topic stays valid; one of a deleted topic never is.
//
// # MM2
//
// [Sync] is an offset sync in MM2's bytes. [Writer] decides when one is due, from the same acknowledgements: when translation would
// otherwise become wrong or too stale. A due sync is pending until it is taken to be sent. A partition's newest record that was not
// due is its delayed sync, which becomes pending when the positions are flushed, so that the end of a quiet topic is exact as well.
// [Store] is the reader's side: MM2's 64 slots. Its syncs are points of the map below the first own run ([Map.Below]), where they
// also keep small what has to be counted.
//
// Neither Map nor Writer walks through records: a run of a million costs what a run of one costs.
//
// # Not guaranteed
//
// What was not flushed is a gap after a kill, and Gaps says so once Stands was called. Two things do not show afterwards, and are
// to be flushed soon ([Map.Urgent]): that the source was truncated, or the target, when either has grown past the old end again. A
// source that was truncated where the last acknowledgements told no place looks like one that was not, until the gap is filled. A
// source that goes on with markers after a truncation is taken to go on with the first record behind them; records of before the
// truncation may then be read again. The map knows of what the target deleted only through Trim; offsets below its log start are
// given as they were.
//
// The Writer does not guarantee that a sync is sent (a failed one is not repeated; the next due one replaces it), and nothing across
// a restart. The state is in memory only, as in MM2, so the first record of a partition after a start is always due.
package offsetsync
