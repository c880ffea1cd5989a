// Package checkpoint knows where consumer groups of the source would go on at the target.
//
// In: the groups of the source and their committed offsets, and a function that translates an offset. Out, in rounds:
//   - checkpoints, in MM2's bytes, in A.checkpoints.internal on B: what MM2's client reads
//   - the committed offsets themselves, in mm2-tandem.A.internal on B, so that `failover` has them when the source is gone
//   - where group sync is on, commits on the target, for groups without members there that no failover has moved
//
// and beside the rounds, from the standings of the source's partitions, records of their ends ([Ends]). [Known] reads all
// of it back. A [Keeper] is the thin shell that talks to the clusters; what it decides is in decide.go, without IO.
//
// Terms. The upstream offset is what a group committed at the source, the downstream offset its place on the target. A
// round fetches the offsets of all groups, translates them, and writes what changed. A checkpoint is more recent than the
// one before if its downstream offset is greater, or if the group was reset: if its upstream offset is less.
//
// A partition counts if the flow replicates its topic, or if it is home: B.orders at A is orders at B, and a group of A
// that moves to B goes on in orders.
//
// What is safe at any moment: a checkpoint is written after the maps that it rests on; the offsets of the groups, which
// rest on nothing, before. A process that dies in between writes the rest in its first round.
//
// Not guaranteed: that a group is set back on the target when its reset fell into the moment before the process died, that
// is between the checkpoint and the commit. And not more than the brokers give: a group that starts on the target, runs and
// stops again within the milliseconds between the last look and the commit is set to where the source has it.
package checkpoint
