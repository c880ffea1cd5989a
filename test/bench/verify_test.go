package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

func TestSameRecordsSeesEveryPart(t *testing.T) {
	tests := []struct {
		name   string
		change func(*kgo.Record)
		same   bool
	}{
		{"nothing", func(*kgo.Record) {}, true},
		{"another topic", func(r *kgo.Record) { r.Topic = "A.t" }, true},
		{"key", func(r *kgo.Record) { r.Key = []byte("order-00000008") }, false},
		{"value", func(r *kgo.Record) { r.Value = slices.Concat(r.Value[:9], []byte("x"), r.Value[10:]) }, false},
		{"timestamp", func(r *kgo.Record) { r.Timestamp = r.Timestamp.Add(time.Millisecond) }, false},
		{"offset", func(r *kgo.Record) { r.Offset++ }, false},
		{"header name", func(r *kgo.Record) { r.Headers[0].Key = "tracer" }, false},
		{"header value", func(r *kgo.Record) { r.Headers[0].Value = nil }, false},
		{"header gone", func(r *kgo.Record) { r.Headers = nil }, false},
		{"header more", func(r *kgo.Record) { r.Headers = append(r.Headers, kgo.RecordHeader{Key: "by"}) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, got := record("t", 7), record("t", 7)
			tt.change(got)
			if err := sameRecords([]*kgo.Record{want}, []*kgo.Record{got}); (err == nil) != tt.same {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// Against real brokers: a true copy passes, one that lacks a record, has one more or one that differs does not.
func TestVerify(t *testing.T) {
	start := func(name string) *cluster {
		k := realkafka.Shared(t, name, realkafka.Options{Config: map[string]string{"log.retention.ms": "-1"}})
		c := &cluster{kafka: k}
		var err error
		if c.client, err = c.newClient(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.client.Close)
		return c
	}
	source, target := start("A"), start("B")
	j := job{name: "V", records: 1003, codec: "lz4", batchRecords: 20}
	// Partitions have 251, 251, 251 and 250 records.
	if w, err := j.write(t.Context(), source); err != nil || w.records != 1003 || w.batches != 4*13 {
		t.Fatalf("wrote %v, %v", w, err)
	}
	for _, tt := range []struct {
		name   string
		change func([]*kgo.Record) []*kgo.Record
		want   string
	}{
		{name: "true", change: func(r []*kgo.Record) []*kgo.Record { return r }},
		{name: "short", change: func(r []*kgo.Record) []*kgo.Record { return r[:len(r)-1] }, want: "the source has"},
		{name: "doubled", change: func(r []*kgo.Record) []*kgo.Record { return append(r, record("", 4)) }, want: "the source has"},
		{name: "first-differs", change: func(r []*kgo.Record) []*kgo.Record { r[0].Value = nil; return r }, want: "differs"},
		{name: "last-differs", change: func(r []*kgo.Record) []*kgo.Record { r[len(r)-1].Key = nil; return r }, want: "differs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remote := tt.name + ".job-V"
			if err := target.createTopic(t.Context(), remote); err != nil {
				t.Fatal(err)
			}
			var records []*kgo.Record
			for i := range j.records {
				records = append(records, record("", i))
			}
			producer, err := target.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(remote))
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			if err := producer.ProduceSync(t.Context(), tt.change(records)...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			err = verify(t.Context(), source, target, j, remote)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}
