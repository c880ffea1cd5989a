// Package stream holds the words the rest of Tandem is written in: flows, partitions, upstream and downstream offsets,
// topics as a cluster describes them, and the acknowledgement that ties a stretch of source records to its place on the
// target. It does nothing and imports nothing of the project.
//
// Upstream and Downstream are distinct types on purpose: an offset of the source cluster is never an offset of the
// target, and the compiler finds the place where one is taken for the other.
package stream
