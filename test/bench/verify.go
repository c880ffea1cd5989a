package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Verification reads this many stretches of every partition, each this long, evenly spread and with both ends.
const (
	stretches     = 6
	stretchLength = 250
)

// verify sees that the remote topic has exactly the records of the source: counts by the offsets, contents by stretches. The
// remote topic was empty and the source has no holes, so a record has the same offset on both sides.
func verify(ctx context.Context, source, target *cluster, j job, remote string) error {
	ends, err := target.endOffsets(ctx, remote)
	if err != nil {
		return err
	}
	for p, end := range ends {
		if want := j.perPartition(int32(p)); end != want {
			return fmt.Errorf("verify %s/%d: %d records, the source has %d", remote, p, end, want)
		}
	}
	for i := range stretches {
		var from [partitions]int64
		for p := range from {
			from[p] = max(0, ends[p]-stretchLength) * int64(i) / (stretches - 1)
		}
		want, err := readStretch(ctx, source, j.topic(), from, ends)
		if err != nil {
			return err
		}
		got, err := readStretch(ctx, target, remote, from, ends)
		if err != nil {
			return err
		}
		for p := range want {
			if err := sameRecords(want[p], got[p]); err != nil {
				return fmt.Errorf("verify %s/%d: %w", remote, p, err)
			}
		}
	}
	return nil
}

func sameRecords(want, got []*kgo.Record) error {
	for i, w := range want {
		g := got[i]
		same := w.Offset == g.Offset && w.Timestamp.Equal(g.Timestamp) && bytes.Equal(w.Key, g.Key) &&
			bytes.Equal(w.Value, g.Value) && len(w.Headers) == len(g.Headers)
		for h := 0; same && h < len(w.Headers); h++ {
			same = w.Headers[h].Key == g.Headers[h].Key && bytes.Equal(w.Headers[h].Value, g.Headers[h].Value)
		}
		if !same {
			return fmt.Errorf("record at %d differs from the source: key %q instead of %q at %d", g.Offset, g.Key, w.Key, w.Offset)
		}
	}
	return nil
}

// readStretch reads stretchLength records, or as many as there are, from each partition.
func readStretch(ctx context.Context, c *cluster, topic string, from, ends [partitions]int64) (got [partitions][]*kgo.Record, err error) {
	offsets := map[int32]kgo.Offset{}
	missing := 0
	var want [partitions]int
	for p := range from {
		offsets[int32(p)] = kgo.NewOffset().At(from[p])
		want[p] = int(min(stretchLength, ends[p]-from[p]))
		missing += want[p]
	}
	client, err := c.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
		kgo.FetchMaxPartitionBytes(512<<10))
	if err != nil {
		return got, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return got, fmt.Errorf("read back %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if p := r.Partition; len(got[p]) < want[p] {
				got[p] = append(got[p], r)
				missing--
			}
		})
	}
	return got, nil
}
