package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// soon are options of readers that hear of new topics at once.
var soon = []kgo.Opt{
	kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.UnknownTopicRetries(-1),
}

// ReadOrders reads a topic from its beginning until ctx ends.
func (c *Cluster) ReadOrders(ctx context.Context, topic string, read func(Order)) error {
	client, _, done, err := c.client(ctx, append(slices.Clip(soon), kgo.ConsumeTopics(topic))...)
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	defer done()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) { read(orderOf(r)) })
	}
}

// Count is how many records a topic holds, if none was ever removed.
func (c *Cluster) Count(ctx context.Context, topic string) (n int, err error) {
	client, _, done, err := c.client(ctx)
	if err != nil {
		return 0, fmt.Errorf("count orders of %s: %w", topic, err)
	}
	defer done()
	until, err := ends(ctx, client, topic)
	if err != nil {
		return 0, fmt.Errorf("count orders of %s: %w", topic, err)
	}
	for _, end := range until {
		n += int(end)
	}
	return n, nil
}

// Orders are those that a topic holds now, each partition in its order.
func (c *Cluster) Orders(ctx context.Context, topic string) (all []Order, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read orders of %s: %w", topic, err)
		}
	}()
	client, _, done, err := c.client(ctx, soon...)
	if err != nil {
		return nil, err
	}
	defer done()
	until, err := ends(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	from := make(map[int32]kgo.Offset)
	for p, end := range until {
		if end > 0 {
			from[p] = kgo.NewOffset().At(0)
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for left := len(from); left > 0; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset >= until[r.Partition] {
				return
			}
			all = append(all, orderOf(r))
			if r.Offset == until[r.Partition]-1 {
				left--
			}
		})
	}
	return all, nil
}

const commitEvery = 100 * time.Millisecond

// Consume handles the orders of topics as a member of a group, and commits what is handled, until ctx ends or an order cannot be
// handled: that is the error then. In both cases the last commit is of all that was handled before, unless the cluster has died.
func (c *Cluster) Consume(ctx context.Context, group string, topics []string, handle func(Order) error) error {
	client, alive, done, err := c.client(ctx, append(slices.Clip(soon), kgo.ConsumeTopics(topics...), kgo.ConsumerGroup(group),
		kgo.DisableAutoCommit())...)
	if err != nil {
		return fmt.Errorf("read as group %s: %w", group, err)
	}
	defer done()
	m := &member{client: client, handle: handle, handled: make(map[string]map[int32]kgo.EpochOffset)}
	failed := m.work(ctx, alive)
	end, cancel := context.WithTimeout(alive, leaveWait)
	defer cancel()
	if err := m.commit(end); failed == nil && alive.Err() == nil {
		failed = err
	}
	_ = client.LeaveGroupContext(end) // a member that is not heard of any more is gone as well
	if failed != nil {
		return fmt.Errorf("group %s: %w", group, failed)
	}
	return nil
}

type member struct {
	client    *kgo.Client
	handle    func(Order) error
	handled   map[string]map[int32]kgo.EpochOffset // and not committed
	committed time.Time
}

func (m *member) work(ctx, alive context.Context) error {
	for ctx.Err() == nil && alive.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, commitEvery)
		fetches := m.client.PollFetches(poll)
		cancel()
		for _, r := range fetches.Records() {
			if err := m.handle(orderOf(r)); err != nil {
				return err
			}
			if m.handled[r.Topic] == nil {
				m.handled[r.Topic] = make(map[int32]kgo.EpochOffset)
			}
			m.handled[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		}
		if time.Since(m.committed) >= commitEvery {
			if err := m.commit(alive); err != nil && alive.Err() == nil {
				return err
			}
		}
	}
	return nil
}

func (m *member) commit(ctx context.Context) (err error) {
	if len(m.handled) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	m.client.CommitOffsetsSync(bounded, m.handled, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, failed error) {
		if err = failed; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err == nil {
					err = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	})
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	m.committed, m.handled = time.Now(), make(map[string]map[int32]kgo.EpochOffset)
	return nil
}
