// Package policy decides names: what a source topic is called on the target, where a remote topic came from, which topics
// belong to MirrorMaker 2 itself, and which topics and topic configs a flow replicates. It is pure: names in, names and
// answers out, no IO.
//
//	source topic --> Selector (topic filter, heartbeats, internal topics, cycles) --> Policy.RemoteTopic --> remote topic
//
// Terms:
//   - A remote topic is the copy of a source topic on the target; the upstream topic is its name one hop closer to where it
//     was written, the original topic its name where it was written.
//   - The separator stands between alias and topic in a remote name ("." unless set); the internal separator stands in the
//     names of internal topics and is "." again when replication.policy.internal.topic.separator.enabled is false.
//   - A Filter is an include and an exclude list of Java regular expressions. As in MM2 each list is joined with "|" into
//     one expression, which must match the whole name; an empty list matches nothing; exclude wins.
//
// Expressions are read in the dialect of java.util.regex and rewritten to a common core that means the same everywhere.
// Go's regexp runs them, in linear time, unless they look around, are possessive or atomic, or refer back to a group: those
// run on a backtracking engine, and a match that takes longer than a second is given up (Filter.Err tells).
//
// Not guaranteed: names that hold line terminators (Kafka allows them in group ids only) where "^", "$" or "\Z" would tell
// them apart; outside ASCII, word boundaries; what a group holds after the attempt that set it has failed. Refused by
// name: the flags x and U, \G, \R, \X, \N{...}, Unicode blocks, the java* properties, atomic groups in a lookbehind, a
// reference to a group that does not exist, and corners of && that Java itself reads unpredictably.
package policy
