package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Order is a record of the demo.
type Order struct {
	Number    int // from 0; -1 is no order: its value cannot be read
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Value     string
	At        time.Time // when it was written
}

// orderOf is the order in a record.
func orderOf(r *kgo.Record) Order {
	var value struct {
		Order *int `json:"order"`
	}
	o := Order{Number: -1, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: string(r.Value), At: r.Timestamp}
	if err := json.Unmarshal(r.Value, &value); err == nil && value.Order != nil {
		o.Number = *value.Order
	}
	return o
}

// Sale is how orders are written.
type Sale struct {
	Topic     string
	PerSecond int
	First     int         // number of the first order
	Asked     func(Order) // hears of each order before it is sent; may be nil
	Written   func(Order) // hears of each one that the cluster has acknowledged, with its place
}

// Sell writes orders until ctx ends, and then waits for their acknowledgements. If the cluster dies it ends at once: which orders
// without an answer were written then, nobody knows. After it has returned nobody hears of any.
func (c *Cluster) Sell(ctx context.Context, s Sale) error {
	client, alive, done, err := c.client(ctx, kgo.DefaultProduceTopic(s.Topic), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return fmt.Errorf("write orders: %w", err)
	}
	defer done()
	var failed atomic.Pointer[error]
	acknowledged := func(r *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		s.Written(orderOf(r))
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	start := time.Now()
	for n := 0; ; {
		select {
		case <-c.gone:
			return nil
		case <-ctx.Done():
			flush, cancel := context.WithTimeout(alive, leaveWait)
			defer cancel()
			err := client.Flush(flush)
			if first := failed.Load(); first != nil && err == nil {
				err = *first
			}
			if err != nil && alive.Err() == nil {
				return fmt.Errorf("write orders: %w", err)
			}
			return nil
		case <-ticker.C:
		}
		for due := int(time.Since(start).Seconds() * float64(s.PerSecond)); n < due && alive.Err() == nil && ctx.Err() == nil; n++ {
			r := recordOf(s.First + n)
			if s.Asked != nil {
				s.Asked(orderOf(r))
			}
			client.Produce(alive, r, acknowledged)
		}
	}
}

func recordOf(number int) *kgo.Record {
	key := fmt.Sprintf("customer-%d", number%997)
	return &kgo.Record{
		Key:       []byte(key),
		Value:     fmt.Appendf(nil, `{"order":%d,"customer":%q,"item":"book","amount":%d.%02d}`, number, key, number%90+9, number%100),
		Timestamp: time.Now().Truncate(time.Millisecond), // more a broker does not keep
	}
}

// WriteOrders writes orders, so many a second, until ctx ends, and then waits for their acknowledgements. written
// hears of each one with its place.
func (c *Cluster) WriteOrders(ctx context.Context, topic string, perSecond int, written func(Order)) error {
	return c.Sell(ctx, Sale{Topic: topic, PerSecond: perSecond, Written: written})
}

// WriteBroken writes records that are no orders.
func (c *Cluster) WriteBroken(ctx context.Context, topic string, records int) error {
	client, alive, done, err := c.client(ctx, kgo.DefaultProduceTopic(topic))
	if err != nil {
		return fmt.Errorf("write broken orders: %w", err)
	}
	defer done()
	all := make([]*kgo.Record, records)
	for i := range all {
		all[i] = &kgo.Record{Key: fmt.Appendf(nil, "customer-%d", i), Value: []byte(`{"order":null}`)}
	}
	bounded, cancel := context.WithTimeout(alive, leaveWait)
	defer cancel()
	if err := client.ProduceSync(bounded, all...).FirstErr(); err != nil {
		return fmt.Errorf("write broken orders: %w", err)
	}
	return nil
}
