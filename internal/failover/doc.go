// Package failover moves consumer groups from one cluster to another: it makes a plan, carries it out, puts it back, and
// notes on the target what was done. It reaches no cluster by itself.
//
// What comes in: a [Situation], which is what both clusters and the mirror's own records say (cmd/failover gathers it).
// What goes out: a [Plan], which a person reads and a file keeps, and from [Applier] commits of group offsets and a [Record]
// of the failover in mm2-tandem.A.internal.
//
// Terms. The groups leave the cluster From and go on at the cluster To. A partition of From is found on To in one of three
// ways: it was mirrored there (orders is A.orders there), it is a copy from there (B.orders at A is orders at B: home), or,
// with one name on both sides and a mirror in both directions, both. A failover follows the flow From->To; a way back goes
// against the flow of the failover before it, and is otherwise planned by the same rules.
//
// Nothing is ever skipped: wherever the exact place is not known, a place before it is taken, and the plan says how many
// records may be read again. Where no such place is known the plan is blocked.
//
// Not guaranteed: that producers have stopped writing to From, which only their owners know; and that a group stays without
// members between the last look at it and its commit: the broker refuses the commit then, and the group keeps its offsets.
package failover
