// Package placing makes the exact map of a flow whole: before records are copied or groups translated, it tells the map where
// a remote partition stands, and then has counted what the map lacks. `mirror` does so for what a kill or an older mirror
// left; `failover` for what a mirror that died a moment ago had not stored yet.
//
// In: what an anchor knows of a partition, the ends of its log, and a way to count records on both clusters. Out: a map
// (package offsetsync) with fewer gaps. It asks no cluster by itself, and stores nothing.
//
// Not guaranteed: that no gap is left. Where the records do not tell which source offsets they have, the gap stays, and the
// map translates offsets inside to a place before them.
package placing
