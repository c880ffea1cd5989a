// Package verify proves that an archive is what was written: that nothing is missing, nothing is damaged, and that what is said of the
// records is true.
//
// In come a store and a level; out comes a Report: what was looked at, and a Finding for each thing that is odd, with the offsets that
// it touches. It writes nothing.
//
// The levels, each of which proves what the ones before prove and more:
//
//	list     names are those of bundles, no sequence number of a writer is missing or there twice, no object is too small
//	footer   each footer opens; bundles name the one before them, and it is there; no offsets are missing between chunks, and none
//	         that positions speak of; index objects say what the footers say
//	chunk    each stored byte has the SHA-256 that the footer has of it, and what comes out of decryption and decompression the CRC-32C
//	record   each batch has its own CRC; records can be read, and offsets, counts, timestamps and transactions are those of the
//	         entry; where two chunks have a record, it is the same one
//
// # Files
//
// verify.go (the whole), object.go and window.go (one object), record.go and carry.go (records and transactions), names.go (the
// listing), chain.go (bundles that others name), overlap.go (records that are there twice), index.go, finding.go.
//
// # Not guaranteed
//
// What nothing speaks of is not missed: see docs/guarantees.md. The last bundle of a writer that never wrote again is one, unless
// an index object, a later writer of its partitions, or a record of its removal names it.
//
// Memory: each worker has a window of the object (a few MiB) and one chunk; of the whole archive the catalog is kept, and two digests
// for each bundle.
package verify
