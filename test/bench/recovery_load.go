package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ledger is what brokers have acknowledged to a producer.
type ledger struct {
	mu    sync.Mutex
	acked [partitions][]acked // in the order of the offsets
}

type acked struct {
	offset int64
	at     time.Time // of the acknowledgement
	stamp  time.Time // the record's own
}

func (l *ledger) add(r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[r.Partition] = append(l.acked[r.Partition], acked{offset: r.Offset, at: time.Now(), stamp: r.Timestamp})
}

// loss is what was acknowledged and is not there.
type loss struct {
	records int
	seconds float64 // from the acknowledgement of the oldest of them to the moment of the loss
}

// lost compares with a copy that ends before the offsets of next.
func (l *ledger) lost(next []int64, moment time.Time) (lost loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, list := range l.acked {
		for _, a := range slices.Backward(list) {
			if a.offset < next[p] {
				break
			}
			lost.records++
			lost.seconds = max(lost.seconds, moment.Sub(a.at).Seconds())
		}
	}
	return lost
}

// before counts the records with timestamps up to a moment of whole milliseconds, as brokers keep them, and says where they end.
func (l *ledger) before(moment time.Time) (records int, next [partitions]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, list := range l.acked {
		for _, a := range list {
			if !a.stamp.Truncate(time.Millisecond).After(moment) {
				records++
				next[p] = a.offset + 1
			}
		}
	}
	return records, next
}

// last is the offset of the newest record of each partition, -1 without any.
func (l *ledger) last() (offsets [partitions]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, list := range l.acked {
		offsets[p] = -1
		if len(list) > 0 {
			offsets[p] = list[len(list)-1].offset
		}
	}
	return offsets
}

// load is a producer that writes at a steady rate.
type load struct {
	client *kgo.Client
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// startLoad writes records to all partitions of a topic, in the manner of a Java producer with its defaults, until the load is stopped.
func (c *cluster) startLoad(topic string, rate int, to *ledger) (*load, error) {
	client, err := c.newClient(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{client: client, end: cancel}
	l.wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for sent := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
				value := make([]byte, recoveryBytes)
				for i := 0; i < len(value); i += 8 {
					binary.BigEndian.PutUint64(value[i:], mix(uint64(sent*recoveryBytes+i)))
				}
				client.TryProduce(ctx, &kgo.Record{Partition: int32(sent % partitions), Value: value}, func(r *kgo.Record, err error) {
					if err == nil {
						to.add(r)
					}
				})
			}
		}
	})
	return l, nil
}

// stop lets what was sent be acknowledged.
func (l *load) stop(ctx context.Context) error {
	defer l.abandon()
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	err := l.client.Flush(ctx)
	if err != nil {
		return fmt.Errorf("end the load: %w", err)
	}
	return nil
}

// abandon gives up what was not acknowledged. It may be called again.
func (l *load) abandon() {
	l.end()
	l.wg.Wait()
	l.client.Close()
}
