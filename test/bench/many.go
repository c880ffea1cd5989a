package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/proc"
)

const (
	partitionsJob = "partitions"
	manyTopics    = 40
	manyEach      = 50                     // partitions of each of them
	manyIdle      = 20 * time.Second       // nothing is written
	manyTrickle   = 20 * time.Second       // each partition gets a record now and then
	manySettle    = 5 * time.Second        // between phases, for what follows a burst
	manyRound     = 4 * time.Second        // in which each partition gets one record
	manyTick      = 100 * time.Millisecond // of the trickle
)

// spreadOut is what was seen of one run over many partitions.
type spreadOut struct {
	Contender  string  `json:"contender"`
	Partitions int     `json:"partitions"`
	Creating   float64 `json:"source_topics_created_s"` // by the bench: what brokers take for as many partitions
	ToAll      float64 `json:"start_to_all_caught_up_s"`
	Again      float64 `json:"second_start_to_all_caught_up_s"` // with the remote topics there
	Start      float64 `json:"cpu_s_of_that"`
	Idle       float64 `json:"idle_cpu_share_of_a_core"`
	Trickle    float64 `json:"trickle_cpu_share_of_a_core"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
}

func (m spreadOut) String() string {
	return fmt.Sprintf("all caught up after %.2f s (cpu %.2f s; topics created on the source in %.2f s), at a second start %.2f s; idle %.1f %% of a core, trickle %.1f %%; peak %s",
		m.ToAll, m.Start, m.Creating, m.Again, 100*m.Idle, 100*m.Trickle, megabytes(m.PeakRSS))
}

// runMany has each contender copy many partitions that hardly anything is written to.
func (b *bench) runMany(ctx context.Context, f flags, report *report) error {
	topics := max(1, int(math.Round(manyTopics*f.scale)))
	for i := range f.repeat {
		for _, c := range b.contenders {
			if c.name == "sarama" {
				continue // it copies one topic
			}
			m, err := b.many(ctx, c, fmt.Sprintf("many-%s-%d", c.name, i), topics)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			say("%s: %-6s  %s", partitionsJob, c.name, m)
			report.Many = append(report.Many, m)
		}
	}
	return nil
}

// many creates the source topics, with one record in each partition, starts the contender, which has to make the remote topics,
// looks at it while nothing is written and while a little is, and starts it again when each partition has one record more.
func (b *bench) many(ctx context.Context, c contender, prefix string, count int) (spreadOut, error) {
	m := spreadOut{Contender: c.name, Partitions: count * manyEach}
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("not done after %s", runPatience))
	defer cancel()
	t, err := b.newTask(c, prefix+".*", "none", false)
	if err != nil {
		return m, err
	}
	var topics, remotes []string
	for n := range count {
		topics = append(topics, fmt.Sprintf("%s-%02d", prefix, n))
		remotes = append(remotes, t.alias+"."+topics[n])
	}
	begun := time.Now()
	if err := b.a.createMany(ctx, topics); err != nil {
		return m, err
	}
	m.Creating = time.Since(begun).Seconds()
	writer, err := b.a.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return m, err
	}
	defer writer.Close()
	w := manyWriter{client: writer, topics: topics}
	if err := w.write(ctx, m.Partitions); err != nil {
		return m, err
	}
	for _, phase := range []func(context.Context, *cluster, *manyWriter, []string, *proc.Process, time.Time) error{m.watch, m.watchAgain} {
		start := time.Now()
		p, err := c.start(c, t)
		if err != nil {
			return m, err
		}
		defer p.Kill()
		if err := phase(ctx, b.b, &w, remotes, p, start); err != nil {
			return m, fmt.Errorf("%w\nthe end of its log:\n%s", err, p.LogTail(40))
		}
		if err := p.Stop(stopPatience); errors.Is(err, proc.ErrKilled) {
			say("%s did not stop within %s of SIGTERM and was killed", c.name, stopPatience)
		}
		if err := w.write(ctx, m.Partitions); err != nil { // for the next start
			return m, err
		}
	}
	return m, errors.Join(b.a.deleteMany(ctx, topics), b.b.deleteMany(ctx, remotes))
}

func (m *spreadOut) watchAgain(ctx context.Context, target *cluster, w *manyWriter, remotes []string, p *proc.Process, start time.Time) error {
	err := target.holdsAll(ctx, remotes, w.sent, p)
	m.Again = time.Since(start).Seconds()
	return err
}

func (m *spreadOut) watch(ctx context.Context, target *cluster, w *manyWriter, remotes []string, p *proc.Process, start time.Time) error {
	if err := target.holdsAll(ctx, remotes, w.sent, p); err != nil {
		return err
	}
	m.ToAll = time.Since(start).Seconds()
	cpu, err := p.CPU()
	if err != nil {
		return err
	}
	m.Start = cpu.Seconds()
	if m.Idle, err = share(ctx, p, func(ctx context.Context) error { return rest(ctx, manyIdle) }); err != nil {
		return err
	}
	if m.Trickle, err = share(ctx, p, func(ctx context.Context) error { return w.trickle(ctx, manyTrickle) }); err != nil {
		return err
	}
	if err := target.holdsAll(ctx, remotes, w.sent, p); err != nil {
		return err
	}
	m.PeakRSS, err = p.PeakRSS()
	return err
}

// share is the part of a core that the process uses during a phase.
func share(ctx context.Context, p *proc.Process, phase func(context.Context) error) (float64, error) {
	if err := rest(ctx, manySettle); err != nil {
		return 0, err
	}
	start := time.Now()
	before, err := p.CPU()
	if err == nil {
		err = phase(ctx)
	}
	if err != nil {
		return 0, err
	}
	after, err := p.CPU()
	return (after - before).Seconds() / time.Since(start).Seconds(), err
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// manyWriter writes to all partitions in turn.
type manyWriter struct {
	client *kgo.Client
	topics []string
	sent   int
}

func (w *manyWriter) write(ctx context.Context, records int) error {
	batch := make([]*kgo.Record, records)
	for i := range batch {
		n := w.sent + i
		batch[i] = &kgo.Record{
			Topic: w.topics[n%len(w.topics)], Partition: int32(n / len(w.topics) % manyEach), Value: fmt.Appendf(nil, "%d", n),
		}
	}
	w.sent += records
	if err := w.client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		return fmt.Errorf("write to %d topics: %w", len(w.topics), err)
	}
	return nil
}

func (w *manyWriter) trickle(ctx context.Context, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 2*length)
	defer cancel()
	tick := time.NewTicker(manyTick)
	defer tick.Stop()
	each := max(1, len(w.topics)*manyEach*int(manyTick)/int(manyRound))
	for range length / manyTick {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.write(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) createMany(ctx context.Context, names []string) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(stopPatience.Milliseconds())
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, manyEach, 1
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return fmt.Errorf("create %d topics: %w", len(names), err)
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", t.Topic, err)
		}
	}
	return c.holdsAll(ctx, names, 0, nil)
}

func (c *cluster) deleteMany(ctx context.Context, names []string) error {
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, c.deleteTopic(ctx, name))
	}
	return failed
}

// holdsAll returns when all partitions answer and hold so many records together.
func (c *cluster) holdsAll(ctx context.Context, topics []string, records int, p *proc.Process) error {
	tick := time.NewTicker(10 * pollInterval) // the question is a large one
	defer tick.Stop()
	var ended <-chan struct{}
	if p != nil {
		ended = p.Done()
	}
	for {
		sum, err := c.sumOfEnds(ctx, topics)
		switch {
		case err == nil && sum == int64(records):
			return nil
		case err == nil && sum > int64(records):
			return fmt.Errorf("%d records instead of %d", sum, records)
		case err != nil && ctx.Err() == nil && !kerr.IsRetriable(err):
			return err
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended by itself with %d of %d records copied", sum, records)
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records: %w", sum, records, errors.Join(context.Cause(ctx), err))
		}
	}
}

// sumOfEnds adds the log end offsets of all partitions.
func (c *cluster) sumOfEnds(ctx context.Context, topics []string) (sum int64, err error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	for _, name := range topics {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = name
		for n := range int32(manyEach) {
			partition := kmsg.NewListOffsetsRequestTopicPartition()
			partition.Partition, partition.Timestamp = n, -1
			topic.Partitions = append(topic.Partitions, partition)
		}
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return 0, fmt.Errorf("list offsets of %d topics: %w", len(topics), err)
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return sum, fmt.Errorf("list offsets of %s/%d: %w", t.Topic, p.Partition, err)
			}
			sum += p.Offset
		}
	}
	return sum, nil
}
