package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// writtenLog notes to which topics was written, and fails when it is told to.
type writtenLog struct {
	topics []string
	fail   string
}

func (l *writtenLog) ReadAll(context.Context, string, bool, func(stream.Record) error) error {
	return nil
}

func (l *writtenLog) Append(_ context.Context, topic string, _ []stream.Record) error {
	if topic == l.fail {
		return errors.New("timed out")
	}
	l.topics = append(l.topics, topic)
	return nil
}

// TestMemoryOfATopicMadeAnew: the position of the deleted topic goes before the anchor of the new one comes, or a kill
// between the two would leave a position that seems to speak of the new topic.
func TestMemoryOfATopicMadeAnew(t *testing.T) {
	flow := stream.Flow{Source: "A", Target: "B"}
	source, remote := stream.Partition{Topic: "orders"}, stream.Partition{Topic: "A.orders"}
	log := &writtenLog{fail: "offsets"}
	m := &memory{
		store: position.NewAnchorStore(log, "anchors", flow), notes: position.New(log, "offsets", 1, flow),
		positions: map[stream.Partition]stream.Upstream{source: 5000},
		anchors:   map[stream.Partition]position.Anchor{remote: {Source: stream.TopicID{1}, NextUp: 5001}},
	}
	anew := map[stream.Partition]replicate.Place{remote: {Source: source, Topic: stream.TopicID{2}, Anew: true}}
	if err := m.Remember(t.Context(), anew); err == nil || len(log.topics) > 0 {
		t.Errorf("the anchor was written without the position: %v, %v", err, log.topics)
	}
	log.fail = ""
	if err := m.Remember(t.Context(), anew); err != nil {
		t.Fatal(err)
	}
	if want := []string{"offsets", "anchors"}; !slices.Equal(log.topics, want) {
		t.Errorf("written: %v, want %v", log.topics, want)
	}
	if last, ok := m.Position(source); ok {
		t.Errorf("position %d is still known", last)
	}
	if at, topic, _ := m.Anchor(remote); at.Next != 0 || topic != (stream.TopicID{2}) {
		t.Errorf("anchor %+v of %v", at, topic)
	}
}

// TestMemoryTellsTheMapWherePartitionsBegin: the first 15 records were aborted, and a group among them goes on at the first
// that was copied. A place of which more is noted is for the map itself to know.
func TestMemoryTellsTheMapWherePartitionsBegin(t *testing.T) {
	flow := stream.Flow{Source: "A", Target: "B"}
	source, remote := stream.Partition{Topic: "orders"}, stream.Partition{Topic: "A.orders"}
	for _, anew := range []bool{true, false} {
		log, exact := &writtenLog{}, offsetsync.NewMap(1<<20, nil)
		m := &memory{
			store: position.NewAnchorStore(log, "anchors", flow), notes: position.New(log, "offsets", 1, flow), exact: exact,
			anchors: map[stream.Partition]position.Anchor{},
		}
		begin := replicate.Place{Start: replicate.Start{Down: replicate.BaseOf(0)}, Source: source, Anew: anew}
		if err := m.Remember(t.Context(), map[stream.Partition]replicate.Place{remote: begin}); err != nil {
			t.Fatal(err)
		}
		exact.Ack(stream.Ack{Source: source, Remote: remote, Next: 20, NextDown: 5, Bytes: 100, Runs: []stream.Run{{Up: 15, Count: 5}}})
		at, err := exact.Translate(t.Context(), remote, 3)
		want := map[bool]stream.Class{true: stream.Exact, false: stream.Clamped}[anew]
		if err != nil || at.Offset != 0 || at.Class != want {
			t.Errorf("anew %v: %+v, %v; want 0, %s", anew, at, err, want)
		}
	}
}

// TestMemoryOfASharedPartition: with auto.offset.reset=latest, groups at older records go on at the first that is copied. What the
// target held before is known to be of others, and is not counted.
func TestMemoryOfASharedPartition(t *testing.T) {
	flow, orders := stream.Flow{Source: "A", Target: "B"}, stream.Partition{Topic: "orders"}
	for _, shared := range []bool{true, false} {
		log, exact := &writtenLog{}, offsetsync.NewMap(1<<20, nil)
		m := &memory{
			store: position.NewAnchorStore(log, "anchors", flow), notes: position.New(log, "offsets", 1, flow), exact: exact,
			anchors: map[stream.Partition]position.Anchor{}, shared: shared,
		}
		begin := replicate.Place{Start: replicate.Start{Next: 100, Down: replicate.BaseOf(40)}, Source: orders, Anew: true}
		if err := m.Remember(t.Context(), map[stream.Partition]replicate.Place{orders: begin}); err != nil {
			t.Fatal(err)
		}
		exact.Ack(stream.Ack{Source: orders, Remote: orders, Next: 105, NextDown: 48, Bytes: 100, Runs: []stream.Run{{Up: 100, Down: 43, Count: 5}}})
		at, err := exact.Translate(t.Context(), orders, 3)
		if known := at.Class == stream.Exact && at.Offset <= 43; err != nil || known != shared {
			t.Errorf("shared %v: %+v, %v", shared, at, err)
		}
		if gaps := exact.Gaps(); (len(gaps) == 0) != shared {
			t.Errorf("shared %v: gaps %v", shared, gaps)
		}
	}
}
