// Package drill holds what a rehearsal says when it is over: its report as JSON and as one HTML page, and the short record of it that
// is kept so that the status page and metrics can tell of the last one.
//
// In: what a drill found and measured. Out: bytes, and two files in a directory that the caller names. Brokers are not touched here;
// `failover drill` and `archive drill` do the rehearsing.
//
// Not guaranteed: that two drills of one kind and flow which started in the same second keep a report each.
package drill
