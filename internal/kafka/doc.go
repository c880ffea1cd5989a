// Package kafka is the only package that talks to brokers.
//
// In come one set of Java client properties for a cluster (Parse makes a Client of it) and the words of package stream;
// out go requests, and answers in the same words. Three things are made from a Client, each for as long as the process
// runs; none connects before it is first used, and each comes back by itself after brokers died:
//
//   - Wire, the data plane: record batches as bytes, fetched and produced over franz-go's requests.
//   - Admin, the control plane: topics, configs and partitions over sarama; consumer groups and their committed offsets, and
//     offsets by time, over franz-go (docs/adr/0004-groups-by-franz-go.md says why).
//   - Admin's ReadAll, ReadFrom, ReadAt and Append, for the small internal topics (positions, offset syncs, heartbeats)
//     whose records are decoded.
//
// Classify sorts every error that comes out of here by what it asks for, and Explain says it in one line.
//
// Not guaranteed: that a call which ended with an error did nothing. A request may have been carried out and its answer
// lost; callers repeat calls whose repetition is harmless, as all of Admin's are except Append.
package kafka
