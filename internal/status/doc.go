// Package status answers over HTTP how the process is: /healthz for whether it lives, /readyz for whether every partition
// moves, /metrics for Prometheus, /api/ for everything that a person wants to know, and / as a page that shows it.
//
// In: a Source that tells where everything stands, and a Prometheus gatherer. Out: a Server that Run serves until its context
// ends. Between them a memory of the last half hour, for what the page draws.
//
//	GET  /                                          the page; it has no data in itself, and reads /api/ while somebody looks
//	GET  /healthz                                   200 as long as the process lives
//	GET  /readyz                                    200, or 503 with what stands still; either with all problems
//	GET  /metrics
//	GET  /api/status                                Report
//	GET  /api/history?flow=A->B[&after=T]           []TimedSample, every two seconds of the last 30 minutes
//	GET  /api/partitions?flow=&state=&topic=&limit=&offset=   a page of them, the worst first
//	GET  /api/settings                              []Setting
//	POST /api/reload?dry=true                       see Server.Reload
//
// Who is answered is decided in guard.go: with a token, whoever has it; without one, whoever reaches the process other than through
// a web page of somebody else's.
//
// Not guaranteed: that an answer is newer than half a second, or that /readyz notices a partition that stands still before the pipe
// does. A history does not outlive the process, and is not the place of a monitoring system.
package status
