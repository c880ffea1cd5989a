package offsetsync

import (
	"context"
	"fmt"

	"tandem/internal/stream"
)

// Topic are segments in partition 0 of the topic that keeps them.
type Topic struct {
	Log interface {
		// ReadAt reads the record at one offset.
		ReadAt(ctx context.Context, topic string, partition int32, offset int64) (stream.Record, error)
	}
	Name string
	Gone func(error) bool // of ReadAt: there is no such record, or no such topic
}

// Segment implements Segments.
func (t Topic) Segment(ctx context.Context, at int64) (stream.Record, error) {
	r, err := t.Log.ReadAt(ctx, t.Name, 0, at)
	if err != nil && t.Gone(err) {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	return r, err
}
