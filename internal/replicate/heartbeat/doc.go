// Package heartbeat writes MirrorMaker 2's heartbeats: one small record an interval, into partition 0 of the topic
// heartbeats on the target cluster. A flow of the opposite direction replicates the topic, so that its copy there shows
// that replication is alive and how far it lags; chained copies tell through how many clusters a topic came.
//
// In: a flow, an interval, a log to append to. Out: records, and an event when they begin to fail and when they are back.
//
// Not guaranteed: a heartbeat for each interval. One that fails is not repeated, since the next one says more.
package heartbeat
