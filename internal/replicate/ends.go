package replicate

import (
	"context"

	"tandem/internal/stream"
)

// Ends tells where source partitions end.
type Ends interface {
	// Ends asks one broker of the source where partitions end that it leads: the high watermark, or for a reader with
	// read_committed the last stable offset. A partition that it does not answer for is in the second map, by reason; the error
	// says that it has not answered at all. It may take as long as a request may, and must not try again by itself.
	Ends(ctx context.Context, broker int32, partitions []stream.Partition) (map[stream.Partition]stream.Upstream, map[stream.Partition]error, error)
}
