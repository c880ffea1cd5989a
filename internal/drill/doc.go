// Package drill holds what a rehearsal says when it is over: its report as JSON and as one HTML page, and the short record of it that
// is kept so that the status page and metrics can tell of the last one.
//
// In: what a drill found and measured. Out: bytes. Neither brokers nor files are touched here; `failover drill` and `archive drill`
// do the rehearsing.
package drill
