// Command bench measures Tandem beside MirrorMaker 2 and beside a copier on sarama, in one go, on the same two
// brokers, so that the machine's speed falls out of the comparison.
//
//	go run ./test/bench [--scale 0.1] [--jobs L,P,S,latency,partitions] [--only tandem,mm2,sarama] [--repeat 3] [--json FILE]
//	go run ./test/bench --jobs archive,restore,verify,space,cost [--only tandem,tee,oso] [--s3]
//	go run ./test/bench --jobs link,recovery [--scale 0.1] [--repeat 2]
//
// A job is a source topic, written once before anything is measured. A contender is a process that copies it. Everybody
// finds the same: data and (empty) remote topic exist; each run has cluster aliases of its own, so that no contender
// resumes from what an earlier run has left. From outside we take the wall time from start to the first record on
// the target and from there to the last, the processor time that the process had used when the last arrived, and its
// peak memory at that moment. After each run the records are counted and stretches of every partition are compared, record by record.
//
// MirrorMaker 2 runs in its best shape for the jobs that copy (large batches, large fetches, four tasks), and with its
// defaults for the latency. Its heartbeats and the reverse flow are off. Compression is that of the source data: lz4 for
// L, none for P and S. Tandem gets the same file without the settings that tune MirrorMaker 2. Brokers are warmed up by a run
// that does not count before the latency is measured, and then contenders take turns at being first.
//
// The job `partitions`, which runs only when it is named, copies 2,000 partitions of 40 topics with a record in each: the time until
// all are copied, then the processor's share while nothing is written, and while each partition gets a record every 4 s.
//
// # The archive
//
// Five more jobs run only when they are named. The first four are about the topic of L: `archive` is the mirror alone, the mirror with its
// archive in a local folder (tee; with --s3 also on a real S3 server), and a backup by the peer, OSO Kafka Backup's engine,
// into a local folder (oso); `restore` brings it back into a cluster that does not have it, beside the mirror that copies it;
// `verify` and `space` read and compact what tee has left. Processor time is that of the whole process here, with what is stored while it
// stops: the archive is read then, and must hold every record. `cost` counts the objects that a minute's trickle over 1,000
// partitions makes. Where the rows are there for it, a claim is printed with how it stood.
//
// The peer is compiled with cargo at the first use, into .cache. It runs with its defaults, but adds no headers to records.
//
// # Recovery
//
// The job `link` copies topics of one and of twelve partitions from a source that is 0, 20 and 100 ms away, by a delay before its broker.
//
// The job `recovery`, which runs only when it is named, loses things and measures what is gone and how long it takes until it is back: source and
// mirror are killed at a random moment of a steady load (what was acknowledged and is neither on the target nor in the archive); the source
// alone (until /readyz says so, until groups are planned, moved, and a consumer has a record, and the way back); processes that share a flow
// (how long their partitions stand); a topic is restored from a folder and from an S3 server; a topic is deleted and brought back as of the second
// before. It prints the table of docs/sizing.md in Markdown, with the median and the worst of the runs; --repeat multiplies their number.
//
// Not measured: brokers' own load. One machine holds everything, so on few cores a contender
// also competes with the brokers it feeds.
package main
