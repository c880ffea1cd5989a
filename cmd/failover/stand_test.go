package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/checkpoint"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/stream"
	"tandem/internal/testkit/embedded"
)

// stand is two embedded clusters, orders mirrored from A to B by hand, and what the mirror notes of it.
type stand struct {
	t        *testing.T
	a, b     *kafka.Admin
	clusterA *embedded.Cluster
	clusterB *embedded.Cluster
	file     string
	ahead    int // records at the end of A that B does not have
}

const records = 100

func newStand(t *testing.T, twoWay bool, ahead int) *stand {
	t.Helper()
	start := func(id string, topics ...string) *embedded.Cluster {
		c, err := embedded.Start(id, 1, topics...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	a := start("cluster-a", "orders", "B.orders", "mm2-tandem.B.internal")
	b := start("cluster-b", "orders", "A.orders", "mm2-tandem.A.internal", "A.checkpoints.internal")
	admin := func(c *embedded.Cluster) *kafka.Admin {
		client, err := kafka.Parse(map[string]string{"bootstrap.servers": c.Bootstrap(), "request.timeout.ms": "5000"})
		if err != nil {
			t.Fatal(err)
		}
		admin := kafka.NewAdmin(client)
		t.Cleanup(func() { admin.Close() })
		return admin
	}
	s := &stand{t: t, a: admin(a), b: admin(b), clusterA: a, clusterB: b, ahead: ahead, file: filepath.Join(t.TempDir(), "mm2.properties")}
	properties := fmt.Sprintf("clusters = A, B\nA.bootstrap.servers = %s\nB.bootstrap.servers = %s\nA->B.enabled = true\nA->B.topics = orders\n", a.Bootstrap(), b.Bootstrap())
	if twoWay {
		properties += "B->A.enabled = true\nB->A.topics = orders\n"
	}
	if err := os.WriteFile(s.file, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write(s.a, "orders", records+ahead)
	s.write(s.b, "A.orders", records)
	s.noteMap(s.b, "A", "orders", "A.orders", 0, records)
	if twoWay {
		s.write(s.b, "orders", 40)
		s.write(s.a, "B.orders", 30) // the first ten were not copied
		s.noteMap(s.a, "B", "orders", "B.orders", 10, 30)
	}
	return s
}

func (s *stand) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) write(on *kafka.Admin, topic string, n int) {
	s.t.Helper()
	var list []stream.Record
	for i := range n {
		list = append(list, stream.Record{Value: []byte(fmt.Sprint(i)), Timestamp: time.Date(2026, 11, 20, 12, 0, i, 0, time.UTC)})
	}
	s.do(on.Append(s.t.Context(), topic, list))
}

// noteMap writes what mirror would have of one run of records.
func (s *stand) noteMap(on *kafka.Admin, source, topic, remote string, up, count int64) {
	s.t.Helper()
	m := offsetsync.NewMap(1<<20, nil)
	m.Stands(part(remote), part(topic), 0, 0)
	m.Ack(stream.Ack{Source: part(topic), Remote: part(remote), Topic: stream.TopicID{1}, Bytes: 1,
		Runs: []stream.Run{{Up: stream.Upstream(up), Count: count}}, Next: stream.Upstream(up + count), NextDown: stream.Downstream(count)})
	s.do(on.Append(s.t.Context(), stream.TandemTopic(source), m.Changed()))
}

func part(topic string) stream.Partition { return stream.Partition{Topic: topic} }

func (s *stand) commit(on *kafka.Admin, group, topic string, offset int64) {
	s.t.Helper()
	_, err := on.CommitOffsets(s.t.Context(), group, map[stream.Partition]stream.Committed{part(topic): {Offset: offset}})
	s.do(err)
}

func (s *stand) offsets(on *kafka.Admin, group string) map[string]int64 {
	s.t.Helper()
	all, _, err := on.GroupOffsets(s.t.Context(), []string{group})
	s.do(err)
	out := map[string]int64{}
	for p, c := range all[group] {
		out[p.Topic] = c.Offset
	}
	return out
}

// noteGroups lets the keeper of checkpoints write what it does, until B knows of the group.
func (s *stand) noteGroups(group string) {
	s.t.Helper()
	m := offsetsync.NewMap(1<<20, nil)
	s.do(s.b.ReadAll(s.t.Context(), stream.TandemTopic("A"), false, m.Load))
	ends, err := checkpoint.NewEnds(checkpoint.NewKnown()).Records(map[stream.Partition]stream.SourceEnd{
		part("orders"): {End: stream.Upstream(records + s.ahead), Acked: records, Newest: time.Now().Add(-2 * time.Second), At: time.Now()}})
	s.do(err)
	s.do(s.b.Append(s.t.Context(), stream.TandemTopic("A"), ends))
	k := checkpoint.New(checkpoint.Config{Flow: stream.Flow{Source: "A", Target: "B"}, Source: s.a, Target: s.b, Log: s.b,
		Translate: func(ctx context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, error) {
			remote := part("A." + p.Topic)
			t, err := m.Translate(ctx, remote, up)
			return remote, t, err
		},
		Durable: func(context.Context) error { return nil }, Groups: func(string) bool { return true },
		Topics: func(topic string) bool { return topic == "orders" }, CheckpointsTopic: "A.checkpoints.internal", TandemTopic: stream.TandemTopic("A"),
		Interval: 50 * time.Millisecond, Refresh: time.Second, Report: func(stream.Event) {}})
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	for known := false; !known; {
		now := checkpoint.NewKnown()
		s.do(s.b.ReadAll(ctx, stream.TandemTopic("A"), false, now.TakeTandem))
		_, known = now.Groups[group]
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		s.t.Fatal(err)
	}
}

type ran struct {
	status      int
	out, errors string
}

func (s *stand) run(args ...string) ran {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(s.t.Context(), args, &stdout, &stderr)
	return ran{status, stdout.String(), stderr.String()}
}

func (s *stand) must(status int, args ...string) ran {
	s.t.Helper()
	r := s.run(args...)
	if r.status != status {
		s.t.Fatalf("failover %s: status %d, want %d\n%s%s", strings.Join(args, " "), r.status, status, r.out, r.errors)
	}
	return r
}

type statuses struct{ Flows []failover.Status }

func (s *stand) status(args ...string) (all statuses) {
	s.t.Helper()
	s.do(json.Unmarshal([]byte(s.must(0, append([]string{"status", s.file, "--json"}, args...)...).out), &all))
	return all
}
