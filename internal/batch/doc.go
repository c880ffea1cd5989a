// Package batch works on the bytes of Kafka record batches. It is pure: no IO, no clock, no goroutine.
//
// In come the bytes of a fetch answer. Next frames them into Views, one per record batch (format v2) or legacy message
// (formats v0 and v1, possibly a compressed wrapper around others), without copying. A Shaper turns the views at the
// front of a partition into ONE record batch that a broker accepts in a raw Produce request: base offset 0, consecutive
// offset deltas, CreateTime, not transactional. Stamp then gives it its producer id, epoch and sequence, and its CRC.
//
// The v2 batch, big-endian, as every file here counts it:
//
//	 0 base offset           int64    Stamp: 0
//	 8 length                int32    bytes that follow this field
//	12 partition leader epoch int32   Stamp: -1
//	16 magic                 int8     2
//	17 CRC-32C               uint32   of all bytes from 21 on
//	21 attributes            int16    codec 0-2, LogAppendTime 3, transactional 4, control 5, delete horizon 6
//	23 last offset delta     int32
//	27 base timestamp        int64    what the records' timestamp deltas count from
//	35 max timestamp         int64
//	43 producer id           int64
//	51 producer epoch        int16
//	53 base sequence         int32
//	57 records               int32
//	61 records, compressed as a whole when the codec says so
//
// The four forms, cheapest first; a reader of the target must see the same keys, values, headers and timestamps in the
// same order whichever was taken:
//
//	stamp   the fetched bytes themselves: only the header changes
//	merge   several views joined; keys and values are copied, not decoded
//	recode  one view rebuilt: holes, LogAppendTime, legacy formats, records below the resume offset
//	split   one view larger than the target takes, in several batches
//
// LogAppendTime: a reader of such a batch sees its max timestamp on every record, so that becomes each record's
// CreateTime. Delete horizon (KIP-534): the log cleaner puts the time at which tombstones may go into the base timestamp
// and counts the timestamp deltas from there, so timestamps read the same with the bit cleared; left set, a broker may
// keep it and the target's cleaner would drop tombstones at the source's time. Stamp clears it.
//
// A stamped batch is the fetched bytes, and Stamp writes into them: who needs them as they were fetched (the archive does)
// takes them before. A View goes on naming its source offsets after that.
//
// Not guaranteed: the CRC is checked by Verify alone, and Shape trusts that the caller did. Records that are copied are
// framed, not understood: a record whose key length lies about its bytes passes through and is left to the broker. A
// stamped batch is not decoded, so offset deltas that contradict its header are left to the broker too. Batch
// boundaries, and the codec of rebuilt batches that compression makes larger, are not kept. Bytes beyond the records of
// a compressed batch (after the end of its LZ4 frame) are not carried over.
//
// Memory: every length is checked against the bytes that are there before memory is taken. Decompression grows with what
// really comes out and stops at 512 MiB, beyond which a batch counts as corrupt. Between calls a Shaper keeps codec state
// and three scratch buffers; one that grew beyond 32 MiB goes when it is next wanted for another batch.
package batch
