package main

import (
	"context"
	"errors"
	"slices"
	"testing"

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
