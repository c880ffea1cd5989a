// Package bundle is the format of the archive's objects: what stands in one, and how it is written and read. It knows no
// store, no network and no clock, and starts no goroutine. docs/archive-format.md draws the format for those who write a
// reader of their own.
//
// A bundle holds what one writer archived of one flow during a short time: chunks of many partitions and, behind them, a
// footer that says what they are.
//
//	header   who wrote it, when, of which flow; the wrapped data key where it is encrypted
//	chunk*   record batches of one partition as the broker served them; none | zstd, then none | AES-256-GCM
//	footer   the header again; an entry for each chunk, the events, the positions; zstd, none | AES-256-GCM
//	trailer  where the footer stands, its SHA-256, the digest of the writer's bundle before, a CRC
//
// In come chunks (Writer.Append), events (Writer.Event) and, at the end, the positions of all partitions (Writer.Finish);
// out comes an Object to be stored under its Name. Open reads the tail of an object, with one ranged read or two, and
// Reader.Chunk one chunk with one more.
//
// The words:
//
//   - chunk: the source offsets First <= o < Next of a partition, and all batches that the broker had there. Its first batch
//     may begin before First, when reading began inside of it; records below First belong to the chunk before, or to none.
//   - incarnation: a topic that is deleted and made anew has the same name, another id, and the next incarnation.
//   - position: where the archive of a partition goes on. A bundle holds those of all partitions of its writer, so that a
//     writer that starts again reads one footer.
//   - digest: SHA-256 over the trailer. The trailer holds the footer's SHA-256, the footer those of the chunks, so it
//     stands for the whole object and costs no second pass over it.
//   - chain: each trailer holds the digest of the bundle that its writer made before.
//
// # Transactions
//
// Batches are kept with their markers, of aborted transactions too. To give a reader what a read_committed consumer saw,
// one has to know which transactions were aborted before their records are met; the footers say it, and no chunk has to
// be read for it. See Entry.Aborted and Entry.Open, and the rule in docs/archive-format.md.
//
// # What is found
//
// Open and reading all chunks find any change of any byte: the trailer has a CRC, the footer and each chunk a SHA-256,
// chunks follow one another without a space between, and the header in front must be equal to the one in the footer (it
// is read along with chunk 0). ErrCorrupt says so, with a *ChunkError where it is a chunk.
//
// # Not guaranteed
//
// A SHA-256 protects against accidents. Who can write to the store can make a plain bundle that is whole and lies;
// only an encrypted one is authentic, and only to the extent that the key is kept. The chain shows a bundle that was
// taken away or exchanged if a later one of its writer is still there.
//
// Batches are framed and their headers read, but no CRC of a batch is checked and no record is decoded: that is for those
// who fetch and for those who verify. An encrypted bundle shows without the key who wrote how many bytes of which flow
// and when, not more: topic names, group names and offsets are in the footer.
//
// Memory: a Writer holds the whole bundle. A Reader holds the footer; every length is checked against a limit and against
// the size of the object before memory is taken for it.
package bundle
