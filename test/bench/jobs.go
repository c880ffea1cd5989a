package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 4

// job is a topic to copy, and how its batches are made.
type job struct {
	name         string
	records      int
	codec        string // compression of the source batches, and what a copier that decodes is to use again
	batchRecords int
}

// The sizes are those of producers: L with lz4 and batch.size=65536 (the Java client counts compressed bytes), P
// uncompressed with batch.size=262144, S one that sends each record as it comes.
var jobs = map[string]job{
	"L": {name: "L", records: 2_000_000, codec: "lz4", batchRecords: 260},
	"P": {name: "P", records: 1_000_000, codec: "none", batchRecords: 277},
	"S": {name: "S", records: 300_000, codec: "none", batchRecords: 1},
}

func (j job) scaled(scale float64) job {
	j.records = max(partitions, int(math.Round(float64(j.records)*scale)))
	return j
}

func (j job) topic() string { return "job-" + j.name }

// perPartition is the number of records of a partition: record i goes to partition i modulo four.
func (j job) perPartition(p int32) int64 {
	return int64((j.records + partitions - 1 - int(p)) / partitions)
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

var firstTimestamp = time.UnixMilli(1_750_000_000_000)

// record is the i-th record of every job: the same bytes on every machine.
func record(topic string, i int) *kgo.Record {
	trace := binary.BigEndian.AppendUint64(nil, mix(uint64(i)))
	return &kgo.Record{
		Topic:     topic,
		Partition: int32(i % partitions),
		Key:       fmt.Appendf(nil, "order-%08d", i),
		Value:     order(i),
		Headers:   []kgo.RecordHeader{{Key: "trace", Value: trace}},
		Timestamp: firstTimestamp.Add(time.Duration(i) * time.Millisecond),
	}
}

var (
	cities   = []string{"Amsterdam", "Buenos Aires", "Casablanca", "Dresden", "Edinburgh", "Fukuoka", "Guadalajara", "Helsinki"}
	products = []string{"coffee grinder, burr, black", "desk lamp, brass, dimmable", "trail shoes, waterproof",
		"bicycle tube 28 inch", "notebook, dotted, A5", "kettle, gooseneck, 0.9 l", "headphones, closed", "garden hose, 20 m"}
	states   = []string{"received", "paid", "picked", "packed", "shipped", "delivered", "returned", "closed"}
	carriers = []string{"northern parcel, two days", "harbor express, same day", "city bike courier, evening", "pick up at the counter"}
	cents    = []int{0, 50, 90, 95, 99}
)

// order is a JSON document of about 890 bytes which lz4 brings to less than a quarter and zstd to an eighth, as they do with real
// orders: names and times repeat, identifiers and amounts do not.
func order(i int) []byte {
	seed := uint64(i)
	next := func() uint64 { seed++; return mix(seed ^ uint64(i)<<20) }
	pick := func(words []string) string { return words[next()%uint64(len(words))] }
	flip := func() bool { return next()%2 == 0 }

	b := make([]byte, 0, 960)
	b = fmt.Appendf(b, `{"schema":"com.example.shop.order.v3","order_id":"%08d","status":%q,`, i, pick(states))
	b = fmt.Appendf(b, `"created_at":"2026-03-%02dT%02d:%02d:%02d.%03dZ","customer":{"id":%d,"tier":"standard","email_verified":%t,`,
		1+i/100_000%28, i/3600%24, i/60%60, next()%60, next()%1000, next()%1_000_000, flip())
	b = fmt.Appendf(b, `"address":{"street":"Long Harbor Road %d","city":%q,"postal_code":"%05d"}},`, next()%300, pick(cities), next()%100_000)
	b = append(b, `"lines":[`...)
	for n := range 4 {
		if n > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"SKU-%06d","name":%q,"quantity":%d,"unit_price":"%d.%02d","currency":"EUR"}`,
			next()%1_000_000, pick(products), 1+next()%9, next()%500, cents[next()%uint64(len(cents))])
	}
	b = append(b, `],"total":"`...)
	b = strconv.AppendUint(b, next()%5000, 10)
	b = fmt.Appendf(b, `.00","gift":%t,"insured":%t,"pickup":%t,"business":%t,"carrier":%q`, flip(), flip(), flip(), flip(), pick(carriers))
	return fmt.Appendf(b, `,"payment":{"method":"card","token":"%016x%08x"},"source":"web"}`, next(), uint32(next()))
}

// mix is the output function of splitmix64: neighbors in, unrelated numbers out.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
