package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

// Sizes of a fetch: what is held in memory at a time, before decompression.
const (
	readPartitionBytes = 1 << 20
	readRequestBytes   = 4 << 20
	readOneBytes       = 16 << 10 // ReadAt: the batch with the record comes whole, however large it is
)

// ErrNoRecord says that a log has no record at an offset: compacted away, deleted by retention, not a record but a
// transaction marker, or not written yet.
var ErrNoRecord = errors.New("no record at this offset")

// ReadAll hands every record of an internal topic to each: partition by partition in the order of offsets, from the
// log's beginning to where it ended when the call began; with committed, up to the last stable offset and without the
// records of aborted transactions. An error of each ends it. A topic that is not there is ErrUnknownTopic.
//
// The fetches are franz-go's although this is the control plane: sarama leaves out record batches that compaction has
// emptied and does not say so, and a reader that cannot see them cannot tell a log's end from a stretch without records.
func (a *Admin) ReadAll(ctx context.Context, topic string, committed bool, each func(stream.Record) error) error {
	cl, err := a.requester()
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	r := &logReader{admin: a, cl: cl, topic: topic, committed: committed, each: each, maxBytes: readPartitionBytes}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	return nil
}

// ReadFrom is ReadAll for one partition and from an offset on. It returns the offset to go on from: where the log ended when
// the call began, or, with an error, where it came to: behind the last record that each took. An offset before the log's beginning stands
// for the beginning. A result below from says that the log is shorter than it was, such as that of a topic made anew.
func (a *Admin) ReadFrom(ctx context.Context, topic string, partition int32, from int64, committed bool, each func(stream.Record) error) (next int64, err error) {
	cl, err := a.requester()
	if err != nil {
		return from, fmt.Errorf("read %s/%d from %d: %w", topic, partition, from, err)
	}
	r := &logReader{
		admin: a, cl: cl, topic: topic, committed: committed, each: each, maxBytes: readPartitionBytes,
		only: &span{partition: partition, from: from, to: math.MaxInt64},
	}
	err = r.run(ctx)
	if x := r.only.extent; x != nil {
		next = min(x.next, x.end) // a batch that reaches over the end has more than was asked for
	} else {
		next = from
	}
	if err != nil {
		return next, fmt.Errorf("read %s/%d from %d: %w", topic, partition, from, err)
	}
	return next, nil
}

// Gone says that an error of ReadAt is of a record that is not there any more, or of a topic.
func Gone(err error) bool { return errors.Is(err, ErrNoRecord) || errors.Is(err, ErrUnknownTopic) }

// ReadAt reads the record at one offset, whether or not its transaction is committed; ErrNoRecord says that there is none,
// ErrUnknownTopic that there is no such topic.
func (a *Admin) ReadAt(ctx context.Context, topic string, partition int32, offset int64) (stream.Record, error) {
	var found *stream.Record
	cl, err := a.requester()
	if err == nil {
		r := &logReader{
			admin: a, cl: cl, topic: topic, maxBytes: readOneBytes,
			each: func(r stream.Record) error { found = &r; return nil },
			only: &span{partition: partition, from: offset, to: offset + 1},
		}
		err = r.run(ctx)
	}
	if err == nil && (found == nil || found.Offset != offset) {
		err = ErrNoRecord
	}
	if err != nil {
		return stream.Record{}, fmt.Errorf("read %s/%d at %d: %w", topic, partition, offset, err)
	}
	return *found, nil
}

// groupRequestVersion pins the requests for group offsets: from version 10 on they name topics by id, and an offset of a
// topic whose id is not known here could be neither read nor written.
const groupRequestVersion = 9

// requester is the franz-go client of the control plane: it reads internal topics and asks about groups.
func (a *Admin) requester() (*kgo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	if a.reader == nil {
		opts, err := a.client.kgoOpts()
		if err != nil {
			return nil, err
		}
		versions := kversion.Stable()
		versions.SetMaxKeyVersion(kmsg.OffsetFetch.Int16(), groupRequestVersion)
		versions.SetMaxKeyVersion(kmsg.OffsetCommit.Int16(), groupRequestVersion)
		opts = append(opts, kgo.MaxVersions(versions), kgo.RequestRetries(3)) // callers repeat by their own rules
		if a.reader, err = kgo.NewClient(opts...); err != nil {
			a.reader = nil
			return nil, err
		}
	}
	return a.reader, nil
}
