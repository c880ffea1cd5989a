// Package catalog knows what an archive holds. Nothing but bundles is the truth: a catalog is made from a listing and the footers, and
// index objects only save requests.
//
// In come a listing, footers and index objects of one source; out go a View: the topics in all their lives, which chunk has which
// offsets of a partition, what is missing, topic configs, ACLs, group positions and named points, all as of a moment.
//
// The words:
//
//   - object: a bundle as the listing has it.
//   - life: a topic between its creation and its deletion. Two lives of a name have nothing in common. Topic ids tell them apart; where the
//     brokers have none, incarnations do.
//   - moment: a time by the archive's clock up to which events count.
//   - branch: the history of a partition that leads to the moment. Where the source was truncated another one parts from it.
//   - stretch: source offsets of a partition that one chunk has and that are to be read from it. Stretches of a partition do not overlap.
//   - hole: source offsets that no chunk has, between two places that the archive is known to have come to.
//   - claim: the word of a footer's positions that everything below an offset is archived.
//
// # The order of things
//
// A View gives the same State whatever the order of Add is. Things are ordered by time, writer, generation, sequence and index. Events
// have a time of their own, chunks that of their bundle or, where it was put together of older ones, that of their steps. What a writer
// archived before a truncation that it saw itself, its chain tells and no clock. Truncations that several writers tell of with one
// offset and leader epoch within ten minutes are one.
//
// The moment does not cut chunks: one that was archived later may hold records that are older. Part.ArchivedUntil is for those who
// cut by the archive's clock. What was first seen of a topic that the archive found when it first looked stands for the time before,
// as its partitions and configs.
//
// # Files
//
// list.go (the listing), walk.go (footers), source.go (an object by range), open.go (chunks), index.go (the format of index objects),
// indexed.go (footers from them), rebuild.go (writing them); view.go (folding), life.go, part.go, branch.go, hole.go, sweep.go
// (which piece has an offset), chain.go, order.go and state.go (what it all says); overview.go, overview_fold.go and overview_follow.go
// (since when and until when topics can be brought back, for archives of any size that grow meanwhile).
//
// # Not guaranteed
//
// What a writer had not stored is not known. Events are as late as their writer was to see them.
//
// A writer that gave up a partition and did not see its truncation may store what waited after others have told of it. Where nobody
// archived those offsets again, the old records show. One that saw the truncation minutes before another, and died before that other
// one got as far, may have archived what the State does not show, but for a hole.
//
// A transaction that was open where the source was truncated is as good as aborted if its abort was cut off; of one whose commit was
// cut off nothing is known.
//
// Lives of a name are in the order of the clock. Where a writer's clock went back behind the moment at which a topic was made anew, the older
// life may be taken for the later one. Two lives may have one number (an archiver forgets deleted topics); their ids tell them apart.
//
// Index objects are believed: Walk reads the bundles themselves with Options.Direct. A bundle that is missing at the end of its writer's
// chain, and that no position tells of, does not show.
package catalog
