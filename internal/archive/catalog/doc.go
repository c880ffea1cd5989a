// Package catalog knows what an archive holds. Nothing but bundles is the truth: a catalog is made from a listing and the footers, and
// index objects only save requests.
//
// In come a listing, footers and index objects of one source; out go a View: the topics in all their lives, which chunk has which
// offsets of a partition, what is missing, topic configs, ACLs, group positions and named points, all as of a moment.
//
// The words:
//
//   - object: a bundle as the listing has it.
//   - life: a topic between its creation and its deletion. Two lives of a name have nothing in common.
//   - moment: a time by the archive's clock up to which events count.
//   - stretch: source offsets of a partition that one chunk has and that are to be read from it. Stretches of a partition do not overlap.
//   - hole: source offsets that no chunk has, between some that chunks have.
//
// # Files
//
// list.go (the listing), walk.go (footers), index.go (index objects), open.go (chunks), view.go, part.go and state.go (what it all says).
//
// # Not guaranteed
//
// What a writer had not stored is not known. Events are as late as their writer was to see them.
package catalog
