// Package topics keeps the remote topics of a flow in step with its source topics, as MM2's source connector does: it
// finds what is to be replicated, creates the remote topics that are missing, widens those that have too few
// partitions, and carries topic configs and ACLs over.
//
// In: what two clusters say of their topics, configs and ACLs, and the [Rules] of the flow. Out: a [Snapshot] that tells which
// source topic goes to which remote topic and whether it can be written yet, changes on the target, and events; or, with
// nothing changed, a [Plan] of them.
//
// plan.go and acls_plan.go decide, values in and values out; [Keeper] asks the clusters and does what they say. No topic on the
// target is ever deleted, and partitions never become fewer; of ACLs only those are deleted, where [ACLRules] want it, that
// [Notes] say this flow made. Where MM2 alters every config and creates every ACL at every interval, only what differs is
// written here, with the same result.
//
// Not guaranteed: that all of a source's topics are in step when a method returns nil. What fails for one topic is
// reported, does not hold up the others, and is tried again the next time. Nor is a Keeper alone on the target: topics
// and partitions that someone else makes in between are taken as they are.
package topics
