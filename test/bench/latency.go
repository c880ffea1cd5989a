package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/proc"
)

const (
	latencyJob    = "latency"
	latencyRate   = 1000 // records a second
	latencyBytes  = 512
	latencyTime   = 30 * time.Second
	latencyWarmUp = 5 * time.Second // after the first arrival, for JVMs to compile what is hot

	// Brokers that have just started answer several times more slowly, which would count against whoever is first.
	latencyBrokers = 20 * time.Second
)

// delayed is what was seen of one latency run, from the producer's call to the consumer's on the target.
type delayed struct {
	Contender string  `json:"contender"`
	Records   int     `json:"records"`
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	CPU       float64 `json:"cpu_s_while_measured"`
}

func (d delayed) String() string {
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f, p99 %.1f, max %.1f; cpu %.2f s", d.P50, d.P95, d.P99, d.Max, d.CPU)
}

func (b *bench) runLatency(ctx context.Context, f flags, report *report) error {
	length := max(2*time.Second, time.Duration(float64(latencyTime)*f.scale))
	// sarama's figure would be that of its 20 ms of patience.
	contenders := slices.DeleteFunc(slices.Clone(b.contenders), func(c contender) bool { return c.name == "sarama" })
	if len(contenders) > 0 {
		say("%s: warming up the brokers", latencyJob)
		if _, err := b.latency(ctx, contenders[0], "latency-warm-up", latencyBrokers); err != nil {
			return fmt.Errorf("warm up the brokers with %s: %w", contenders[0].name, err)
		}
	}
	for i := range f.repeat {
		for _, c := range contenders {
			d, err := b.latency(ctx, c, fmt.Sprintf("latency-%s-%d", c.name, i), length)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			say("latency: %-6s  %s", c.name, d)
			report.Delays = append(report.Delays, d)
		}
		slices.Reverse(contenders)
	}
	return nil
}

// latency has a contender copy a topic while a producer writes to it and a consumer reads the copy.
func (b *bench) latency(ctx context.Context, c contender, topic string, length time.Duration) (delayed, error) {
	d := delayed{Contender: c.name}
	t, err := b.newTask(c, topic, "none", false)
	if err != nil {
		return d, err
	}
	if err := errors.Join(b.a.createTopic(ctx, topic), b.b.createTopic(ctx, t.remoteTopic())); err != nil {
		return d, err
	}
	p, err := c.start(c, t)
	if err != nil {
		return d, err
	}
	defer p.Kill()
	if err := d.measure(ctx, b, t, p, length); err != nil {
		return d, fmt.Errorf("%w\nthe end of its log:\n%s", err, p.LogTail(40))
	}
	if err := p.Stop(stopPatience); errors.Is(err, proc.ErrKilled) {
		say("%s did not stop within %s of SIGTERM and was killed", c.name, stopPatience)
	}
	return d, errors.Join(b.a.deleteTopic(ctx, topic), b.b.deleteTopic(ctx, t.remoteTopic()))
}

func (d *delayed) measure(ctx context.Context, b *bench, t task, p *proc.Process, length time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("not done after %s", runPatience))
	defer cancel()
	consumer, err := b.b.newClient(kgo.ConsumeTopics(t.remoteTopic()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer consumer.Close()
	producer, err := b.a.newClient(kgo.DefaultProduceTopic(t.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer producer.Close()

	epoch := time.Now()
	producing, stopProducing := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stopProducing()
	wg.Go(func() { produceSteadily(producing, producer, epoch) })
	return d.collect(ctx, consumer, p, epoch, length, stopProducing)
}

// produceSteadily sends records at the rate, each with its time of sending since the epoch. A late tick is made up for at once.
func produceSteadily(ctx context.Context, producer *kgo.Client, epoch time.Time) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(epoch).Seconds() * latencyRate); sent < due; sent++ {
			value := make([]byte, latencyBytes)
			for i := 8; i < len(value); i += 8 {
				binary.BigEndian.PutUint64(value[i:], mix(uint64(sent*latencyBytes+i)))
			}
			binary.BigEndian.PutUint64(value, uint64(time.Since(epoch)))
			producer.TryProduce(ctx, &kgo.Record{Partition: int32(sent % partitions), Value: value}, nil)
		}
	}
}

// collect waits for the first arrival, lets the contender warm up, and then takes the delays of the records that are sent
// within the given time. All of them must arrive.
func (d *delayed) collect(ctx context.Context, consumer *kgo.Client, p *proc.Process, epoch time.Time, length time.Duration, stopProducing func()) error {
	var delays []time.Duration
	from, to := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64) // sending times that count
	var cpuBefore, cpuAfter time.Duration
	var last [partitions]time.Duration // latest sending time seen, by partition
	for {
		fetches := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%d records measured: %w", len(delays), context.Cause(ctx))
		}
		if err := errors.Join(fetches.Err(), p.ExitedWith()); err != nil {
			return err
		}
		now := time.Since(epoch)
		fetches.EachRecord(func(r *kgo.Record) {
			sent := time.Duration(binary.BigEndian.Uint64(r.Value))
			last[r.Partition] = max(last[r.Partition], sent)
			if sent >= from && sent < to {
				delays = append(delays, now-sent)
			}
		})
		var err error
		switch {
		case from == math.MaxInt64:
			from, to = now+latencyWarmUp, now+latencyWarmUp+length
		case cpuBefore == 0 && now >= from:
			cpuBefore, err = p.CPU()
		case cpuAfter == 0 && now >= to:
			cpuAfter, err = p.CPU()
		}
		if err != nil {
			return err
		}
		if cpuAfter > 0 && slices.Min(last[:]) >= to {
			break
		}
	}
	stopProducing()
	d.CPU = (cpuAfter - cpuBefore).Seconds()
	return d.sum(delays, length)
}

func (d *delayed) sum(delays []time.Duration, length time.Duration) error {
	want := int(length.Seconds() * latencyRate)
	// Half a tick's worth may fall to either side of the ends.
	if d.Records = len(delays); d.Records < want*99/100 || d.Records > want*101/100 {
		return fmt.Errorf("%d records arrived of %d sent within %s", d.Records, want, length)
	}
	slices.Sort(delays)
	at := func(q float64) float64 { return delays[int(q*float64(len(delays)-1))].Seconds() * 1000 }
	d.P50, d.P95, d.P99, d.Max = at(.5), at(.95), at(.99), at(1)
	return nil
}
