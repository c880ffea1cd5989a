// Package retain decides what may be removed from an archive. It is pure: footers in, a plan out; who calls it removes.
//
// In come all bundles of a source with their footers (Survey.Add); out goes a Plan: which bundles go, what has to be written before they
// do, which named points lose something by it.
//
// The words:
//
//   - cutoff: a moment by the archive's clock. A bundle is old if all that it has was archived before it; a bundle that was put together
//     from older ones is as old as these.
//   - leftover: a bundle that is named as removed, and is there all the same: whoever removed it was stopped, or a lock held it.
//   - island: an old bundle that stays, of whose partitions later offsets go. The hole behind it is named.
//   - point: a named moment. What it needs are the records below its positions that the source can still have had then: of a topic
//     with cleanup.policy=delete and a retention.ms, both set on it, those not older than that, and all from there on; of any other
//     one everything.
//
// # Which bundles stay
//
// Those that are not old, cannot be read, or have events that this program does not know; the newest ones of each writer, as a writer
// that starts goes on from there; those that a kept point needs; those with a chunk that does not end
// below what the younger bundles have of its partition, so that these begin somewhere and go on without a hole; and behind an island
// those where its open transactions end, so that it is known how.
//
// # What is carried over
//
// Events are not lost with the bundles that have them: after the removal the archive is the same as of the cutoff, any moment behind
// it, and each kept point: topics, configs, ACLs, group positions. Plan.Events has what has to be written for that, each with
// its own time. As of other moments before the cutoff configs, ACLs and groups are what they were at an earlier point, or nothing.
//
// # Files
//
// survey.go (what is looked at), plan.go (which bundles go), points.go (what points need), gone.go (what is said of them), fold.go (events
// that are carried over).
//
// # Not guaranteed
//
// Records that the source still has, as those of a compacted topic, go with old bundles all the same. Plan.Lasting names such topics.
//
// Age is told by the clock of the writers. Where one went back, what is contiguous stays so; a topic that was made anew within the time that
// the clock went back may have its lives in the wrong order, and after a removal the last of them may be taken for an earlier one.
package retain
