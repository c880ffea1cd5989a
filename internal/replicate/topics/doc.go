// Package topics keeps the remote topics of a flow in step with its source topics, as MM2's source connector does: it
// finds what is to be replicated, creates the remote topics that are missing, widens those that have too few
// partitions, and carries topic configs over.
//
// In: what two clusters say of their topics and configs, and the [Rules] of the flow. Out: a [Snapshot] that tells which
// source topic goes to which remote topic and whether it can be written yet, changes on the target, and events.
//
// plan.go decides, values in and values out; [Keeper] asks the clusters and does what the plan says. Nothing on the target
// is ever deleted, and partitions never become fewer. Where MM2 alters every config at every interval, only what differs
// is altered here, with the same result.
//
// Not guaranteed: that all of a source's topics are in step when a method returns nil. What fails for one topic is
// reported, does not hold up the others, and is tried again the next time. Nor is a Keeper alone on the target: topics
// and partitions that someone else makes in between are taken as they are.
package topics
