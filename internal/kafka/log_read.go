package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// logReader is one ReadAll, ReadFrom or ReadAt.
type logReader struct {
	admin     *Admin
	cl        *kgo.Client
	topic     string
	committed bool
	each      func(stream.Record) error
	only      *span // nil: all there is
	maxBytes  int32 // of a partition in one fetch

	id      [16]byte
	leaders map[int32]int32   // by partition
	unread  map[int32]*extent // by partition, those with records still to come
}

// span is the one stretch of a topic that is asked for: from <= offset < to.
type span struct {
	partition int32
	from, to  int64
	extent    *extent // what of it is there, once that is known
}

// extent is the stretch of a partition that is still to be read.
type extent struct {
	next int64 // first offset to read
	end  int64 // offset to stop before
	// quiet counts answers in a row that had no bytes although the broker's log reaches the end.
	quiet int
}

func (r *logReader) run(ctx context.Context) error {
	var network *net.OpError
	if err := r.lead(ctx); errors.As(err, &network) && network.Op == "dial" {
		return err // not one broker is there: how long to wait for the cluster is the caller's to decide
	}
	if err := r.retry(ctx, r.prepare); err != nil {
		return err
	}
	for len(r.unread) > 0 {
		if err := r.retry(ctx, r.round); err != nil {
			return err
		}
	}
	return nil
}

// lasting marks an error that no repetition changes, whatever it looks like: that of the caller's function, or a partition
// that is not there.
type lasting struct{ error }

func (e lasting) Unwrap() error { return e.error }

// retry repeats step while it fails in ways that pass (elections, brokers that are away) and request.timeout.ms is not
// over since it last worked.
func (r *logReader) retry(ctx context.Context, step func(context.Context) error) error {
	deadline := time.Now().Add(r.admin.client.requestTimeout)
	for n := 1; ; n++ {
		err := step(ctx)
		if err == nil {
			return nil
		}
		if last, ok := errors.AsType[lasting](err); ok {
			return last.error
		}
		kind := Classify(err)
		if ctx.Err() != nil || kind != Retriable && kind != Unreachable && kind != UnknownTopic || errors.Is(err, ErrUnknownTopic) {
			return err
		}
		pause := r.admin.client.backoff(n)
		if time.Now().Add(pause).After(deadline) {
			return err
		}
		if wait(ctx, pause) != nil {
			return err // the reason says more than that time was up
		}
		if r.unread != nil { // leaders may have moved; when this fails too, the step will say so
			if err := r.lead(ctx); Classify(err) == UnknownTopic {
				return err
			}
		}
	}
}

// prepare finds the leaders and the first and last offsets of all partitions.
func (r *logReader) prepare(ctx context.Context) error {
	if err := r.lead(ctx); err != nil {
		return err
	}
	const earliest, latest = -2, -1
	first, err := r.offsets(ctx, earliest)
	if err != nil {
		return err
	}
	end, err := r.offsets(ctx, latest)
	if err != nil {
		return err
	}
	r.unread = make(map[int32]*extent)
	for p := range r.leaders {
		x := &extent{next: first[p], end: end[p]}
		if r.only != nil {
			x.next, x.end = max(x.next, r.only.from), min(x.end, r.only.to)
			r.only.extent = x
		}
		if x.next < x.end {
			r.unread[p] = x
		}
	}
	return nil
}

// lead asks for the leaders of all partitions that are to be read.
func (r *logReader) lead(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(r.topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return kerr.UnknownServerError
	}
	answer := resp.Topics[0]
	if answer.ErrorCode == kerr.UnknownTopicOrPartition.Code {
		return ErrUnknownTopic
	}
	if err := brokerError(answer.ErrorCode, nil); err != nil {
		return err
	}
	if r.unread != nil && r.id != answer.TopicID {
		return fmt.Errorf("deleted and made anew meanwhile: %w", brokerError(kerr.UnknownTopicID.Code, nil))
	}
	r.id, r.leaders = answer.TopicID, make(map[int32]int32, len(answer.Partitions))
	for _, p := range answer.Partitions {
		if r.only != nil && r.only.partition != p.Partition {
			continue
		}
		if p.Leader < 0 {
			return brokerError(kerr.LeaderNotAvailable.Code, nil)
		}
		r.leaders[p.Partition] = p.Leader
	}
	if r.only != nil && len(r.leaders) == 0 {
		return lasting{fmt.Errorf("no partition %d: %w", r.only.partition, brokerError(kerr.UnknownTopicOrPartition.Code, nil))}
	}
	return nil
}

// offsets asks for the earliest or latest offset of every partition.
func (r *logReader) offsets(ctx context.Context, at int64) (map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = r.isolation()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = r.topic
	for p := range r.leaders {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition = p
		part.Timestamp = at
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := brokerError(p.ErrorCode, nil); err != nil {
				return nil, fmt.Errorf("list offsets of partition %d: %w", p.Partition, err)
			}
			offsets[p.Partition] = p.Offset
		}
	}
	if len(offsets) != len(r.leaders) {
		return nil, brokerError(kerr.LeaderNotAvailable.Code, nil)
	}
	return offsets, nil
}

func (r *logReader) isolation() int8 {
	if r.committed {
		return 1
	}
	return 0
}

// round fetches once from every broker that leads an unread partition.
func (r *logReader) round(ctx context.Context) error {
	byLeader := make(map[int32][]int32)
	for p := range r.unread {
		byLeader[r.leaders[p]] = append(byLeader[r.leaders[p]], p)
	}
	for leader, partitions := range byLeader {
		slices.Sort(partitions)
		if err := r.fetch(ctx, leader, partitions); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads the next stretch of some partitions from their leader. A broker fills its answer up to the request's bound
// and always gives at least one batch of the first partition that has any; so where no partition got a byte, none has any.
func (r *logReader) fetch(ctx context.Context, leader int32, partitions []int32) error {
	kresp, err := r.cl.Broker(int(leader)).Request(ctx, r.fetchRequest(partitions))
	if err != nil {
		return fmt.Errorf("fetch from broker %d: %w", leader, err)
	}
	resp := kresp.(*kmsg.FetchResponse)
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return fmt.Errorf("fetch from broker %d: %w", leader, err)
	}
	var answers []*kmsg.FetchResponseTopicPartition
	var bytes int
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			answers = append(answers, p)
			bytes += len(p.RecordBatches)
		}
	}
	for _, p := range answers {
		if err := r.take(ctx, p, bytes == 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *logReader) fetchRequest(partitions []int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxBytes = readRequestBytes
	req.IsolationLevel = r.isolation()
	req.SessionEpoch = -1 // no fetch session: every request says all it wants
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.topic, r.id // older versions use the name, newer ones the id
	for _, number := range partitions {
		x := r.unread[number]
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = number
		p.CurrentLeaderEpoch = -1
		p.FetchOffset = x.next
		p.LogStartOffset = -1
		p.PartitionMaxBytes = r.maxBytes
		t.Partitions = append(t.Partitions, p)
		if x.quiet > 0 { // it was asked in vain: now let the broker wait for bytes
			req.MinBytes, req.MaxWaitMillis = 1, 500
		}
	}
	req.Topics = append(req.Topics, t)
	return req
}

// take hands over the records of one partition's answer and moves its extent; silent says that the whole answer had no
// bytes.
func (r *logReader) take(ctx context.Context, p *kmsg.FetchResponseTopicPartition, silent bool) error {
	x := r.unread[p.Partition]
	if x == nil {
		return nil
	}
	if p.ErrorCode == kerr.OffsetOutOfRange.Code {
		return r.catchUp(ctx, p.Partition, x)
	}
	if err := brokerError(p.ErrorCode, nil); err != nil {
		return fmt.Errorf("fetch partition %d at %d: %w", p.Partition, x.next, err)
	}
	opts := kgo.ProcessFetchPartitionOpts{Offset: x.next, Topic: r.topic, Partition: p.Partition}
	if r.committed {
		opts.IsolationLevel = kgo.ReadCommitted()
	}
	records, next := kgo.ProcessFetchPartition(opts, p, kgo.DefaultDecompressor(), nil)
	if records.Err != nil {
		return fmt.Errorf("decode partition %d at %d: %w", p.Partition, x.next, records.Err)
	}
	for _, rec := range records.Records {
		if rec.Offset >= x.end {
			break
		}
		err := r.each(stream.Record{Partition: rec.Partition, Offset: rec.Offset, Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp})
		if err != nil {
			return lasting{err}
		}
		x.next = rec.Offset + 1 // a later error must not hand it over again
	}
	switch {
	case next > x.next:
		x.next, x.quiet = next, 0 // over markers, emptied batches and aborted records too
	case silent && r.reach(p) >= x.end:
		// Nothing is stored from here to the end: compaction or a lost leader took it. Asked twice, the second time with
		// a wait, so that an answer that was empty for want of time is not taken for an empty log.
		if x.quiet++; x.quiet > 1 {
			x.next = x.end
		}
	case silent:
		// A new leader learns the high watermark from its followers; until then it shows less than there is.
		return fmt.Errorf("fetch partition %d at %d: %w", p.Partition, x.next, brokerError(kerr.OffsetNotAvailable.Code, nil))
	}
	if x.next >= x.end {
		delete(r.unread, p.Partition)
	}
	return nil
}

// reach is the offset up to which the broker shows its log to us.
func (r *logReader) reach(p *kmsg.FetchResponseTopicPartition) int64 {
	if r.committed {
		return p.LastStableOffset
	}
	return p.HighWatermark
}

// catchUp goes on after retention deleted records that were still to be read, or an unclean election took the log's end.
func (r *logReader) catchUp(ctx context.Context, partition int32, x *extent) error {
	first, err := r.offsets(ctx, -2)
	if err != nil {
		return err
	}
	if now := first[partition]; now > x.next && now < x.end {
		x.next = now
	} else {
		delete(r.unread, partition) // all that was to be read is gone
	}
	return nil
}
