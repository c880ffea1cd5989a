// Package archive keeps one flow's record batches in object storage, byte for byte, as one process sees them: the writer's side.
// The format of the objects is package bundle, the stores are package store.
//
// In come the partitions that this process has (Assign), what replication has fetched of them (Offer) and what happened to
// topics, groups and configs (Event). Out go bundles, one at a time, and after each the durable positions (Config.Durable).
//
// The words:
//
//   - offer: a stretch of a partition that replication has fetched. It is taken if it goes on where the archive of the partition ends
//     and memory is free; nobody ever waits for it.
//   - gap read: what was not offered, or not taken, the archiver reads from the source itself, from where it is until it meets
//     the offers again. Of partitions of which nothing is offered it asks every few seconds where they end, and reads those that have
//     more, so the archive goes on while the target is away, or without one.
//   - ledger: where the archive of each partition goes on, counting the bundle that is on its way. Each bundle has it whole, with what
//     was read from other writers; so a writer that starts reads one footer of each writer. Ten minutes after a topic was told to be
//     deleted its positions are dropped.
//   - survey: the reading of those footers, at the start and whenever partitions are assigned.
//   - life: a topic between its creation and its deletion; its number is the incarnation.
//
// # Order of a commit
//
// Pieces are taken from the queue, a bundle is built, it is created in the store, the durable positions advance. Where the process
// dies before the create, nothing has happened; where it dies after it, the next survey finds the bundle. An error of the store is
// no answer: the same object is created again under the same name until it is there. An object of that name with other bytes
// ends Run.
//
// # Files
//
// archiver.go (the whole), offer.go and follow.go (what is taken), queue.go (what waits), build.go (a bundle of it), flush.go (the
// commit), gaps.go and glance.go (reading from the source), assign.go, survey.go and ledger.go (where to go on).
//
// # Not guaranteed
//
// A writer's name must be its own among all that live and archive the same source. Two processes that have one partition at the
// same time, as one that was taken for dead, archive the same offsets twice, with the same bytes. So does a process that gets a
// partition while the last bundle of the one before is still on its way, and one whose partition nobody has had for so long that
// the survey did not go back to its last bundle.
//
// Of a topic of which anything is archived a partition without a position is archived from its beginning, with archive.from=now
// too: it may be new. Where several processes begin together, one may so begin earlier than now.
//
// Each process that has partitions of a topic notes that it was made anew.
//
// A broker without topic ids (Kafka before 3.1) gives no sign that a topic was made anew; one older than 2.7 gives none of a
// truncated log, unless the log ends before what is archived.
//
// Events that were handed over and are not durable yet are lost with the process.
//
// Memory: Config.Memory bounds what waits and what is on its way; the building of a bundle takes a chunk more, a gap read may
// take one batch more than its page.
package archive
