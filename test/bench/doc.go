// Command bench measures Tandem beside MirrorMaker 2 and beside a copier on sarama, in one go, on the same two
// brokers, so that the machine's speed falls out of the comparison.
//
//	go run ./test/bench [--scale 0.1] [--jobs L,P,S,latency,partitions] [--only tandem,mm2,sarama] [--repeat 3] [--json FILE]
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
// Not measured: brokers' own load, and recovery. One machine holds everything, so on few cores a contender
// also competes with the brokers it feeds.
package main
