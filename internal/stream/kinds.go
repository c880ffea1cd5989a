package stream

// Records of Tandem's own topic, mm2-tandem.A.internal on the target. A key begins with an INT8 version, 1, and an INT8 that
// says of which kind the record is; packages that keep something there have a kind each, and pass over the others.
// docs/internal-topic.md draws them all.
const (
	TandemVersion = 1

	KindProducer = 'P' // the producer id of the flow (package position)
	KindOrigin   = 'O' // every producer id that the flow ever had (package position)
	KindAnchor   = 'A' // where a partition goes on (package position)
	KindRuns     = 'M' // a segment of the exact map (package offsetsync)
	KindEnds     = 'E' // where the partitions of a source topic ended (package checkpoint)
	KindGroup    = 'G' // what a group had committed at the source (package checkpoint)
	KindFailover = 'F' // a failover, its boundaries and its state (package failover)
	KindDrill    = 'D' // how the last drill of a kind ended (package drill)
	KindACL      = 'B' // an ACL binding of the target that the flow made (package topics)
)

// TandemTopic is Tandem's own topic of the flows from a cluster, by its alias; it stands on the target.
func TandemTopic(source string) string { return "mm2-tandem." + source + ".internal" }
