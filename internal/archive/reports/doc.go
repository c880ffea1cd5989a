// Package reports keeps in the archive's store how the last verifications and drills of an archive came out, so that whoever looks at
// the archive from anywhere knows when it was proved last.
//
// In comes a Report, which becomes one small object below `reports/`; out go the newest ones of a kind. The words:
//
//   - kind: verify or drill.
//   - class: what reports of a kind are compared by: of two of one class the newer counts. For a verification it is its level, and whether
//     all of the archive was looked at; for a drill the target of its flow.
//
// Objects are created and never changed, and nothing but the status page, metrics and people depend on them: bundles say nothing of
// them, and an archive without any is whole. The newest of a class stands first in a listing, so that finding it costs one request
// however many there are. Nobody removes old ones.
//
// Files: report.go (the format), name.go (its names), keep.go (writing and finding).
//
// # Not guaranteed
//
// A report is as true as whoever may write to the store. It is not encrypted, so its summary must not have names of topics, groups or
// principals. Its time is that of the clock of who wrote it; one that lies ahead of the store's clock is passed over.
package reports
