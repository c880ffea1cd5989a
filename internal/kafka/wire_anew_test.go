package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// TestSessionTopicMadeAnew: a topic is deleted and made anew between two fetches. The broker has to hear that the old
// one is forgotten, and what it still says of that one is not about the new one.
func TestSessionTopicMadeAnew(t *testing.T) {
	old, fresh := stream.TopicID{1}, stream.TopicID{2}
	var forgotten []stream.TopicID
	answer := func(r *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
		for _, f := range r.ForgottenTopics {
			forgotten = append(forgotten, f.TopicID)
		}
		resp := kmsg.NewPtrFetchResponse()
		resp.SessionID = 77
		for id, code := range map[stream.TopicID]int16{old: 100, fresh: 0} {
			topic := kmsg.NewFetchResponseTopic()
			topic.TopicID = id
			p := kmsg.NewFetchResponseTopicPartition()
			p.ErrorCode, p.RecordBatches = code, []byte{byte(code)}
			topic.Partitions = append(topic.Partitions, p)
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil
	}
	for name, change := range map[string]func(*Session, stream.Place){
		"set over it":       func(s *Session, p stream.Place) { s.Set(p) },
		"forgotten and set": func(s *Session, p stream.Place) { s.Forget(p.Partition); s.Set(p) },
	} {
		t.Run(name, func(t *testing.T) {
			forgotten = nil
			b := &scriptedBroker{answers: []func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error){fetchAnswer(0), answer}}
			s := &Session{client: b, places: make(map[stream.Partition]stream.Place)}
			s.reopen()
			at := stream.Place{Partition: stream.Partition{Topic: "t"}, Topic: old}
			s.Set(at)
			if _, err := s.Fetch(t.Context(), stream.FetchBounds{}); err != nil {
				t.Fatal(err)
			}
			at.Topic = fresh
			change(s, at)
			got, err := s.Fetch(t.Context(), stream.FetchBounds{})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(forgotten, []stream.TopicID{old}) {
				t.Errorf("forgotten: %v", forgotten)
			}
			if len(got) != 1 || got[0].Err != nil {
				t.Errorf("fetched %+v", got)
			}
		})
	}
}

// TestWireOnePartitionDoesNotHideOthers: a partition that nobody leads has a reason of its own.
func TestWireOnePartitionDoesNotHideOthers(t *testing.T) {
	fake, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	w, err := NewWire(clientOf(t, strings.Join(fake.ListenAddrs(), ","), nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	here, away := stream.Partition{Topic: "t"}, stream.Partition{Topic: "t", Number: 7}
	offsets, failed, err := w.Offsets(t.Context(), []stream.Partition{here, away}, stream.Latest)
	if _, ok := offsets[here]; !ok || err != nil || failed[here] != nil {
		t.Errorf("offsets of %s: %v, %v, %v", here, offsets, failed, err)
	}
	if failed[away] == nil {
		t.Errorf("no reason for %s", away)
	}
	_, failed, err = w.ProducerStates(t.Context(), 1, []stream.Partition{here, away})
	if err != nil || failed[here] != nil || failed[away] == nil {
		t.Errorf("producer states: %v, %v", failed, err)
	}
}
