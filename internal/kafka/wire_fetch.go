package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// Session is an incremental fetch session with one broker (KIP-227): the broker remembers the partitions and their
// offsets, and a request names only what changed. It is used by one goroutine.
//
// The session's epoch counts requests; an answer that is lost leaves both sides apart, so after any error the next
// Fetch opens the session anew with every partition. Nothing is lost by that: places are the caller's.
type Session struct {
	client      broker
	committed   bool
	id          int32
	epoch       int32 // 0 opens a session
	places      map[stream.Partition]stream.Place
	changed     map[stream.Partition]bool
	forgotten   map[named]bool
	byID        map[stream.TopicID]string
	errSessions int
}

// named is a partition as a session knows it: of a topic made anew, the old and the new one are two.
type named struct {
	stream.Partition
	topic stream.TopicID
}

// broker is the part of a kgo.Broker that a session and a sender need.
type broker interface {
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// Session opens no connection yet. With committed, the broker holds back open transactions and names aborted ones
// (isolation.level=read_committed).
func (w *Wire) Session(id int32, committed bool) *Session {
	s := &Session{client: w.client.Broker(int(id)), committed: committed, places: make(map[stream.Partition]stream.Place)}
	s.reopen()
	return s
}

// Set adds a partition, or moves its place.
func (s *Session) Set(p stream.Place) {
	if old, ok := s.places[p.Partition]; ok && old.Topic != p.Topic {
		s.Forget(p.Partition)
	}
	s.places[p.Partition] = p
	s.changed[p.Partition] = true
	s.byID[p.Topic] = p.Partition.Topic
	delete(s.forgotten, named{p.Partition, p.Topic})
}

// Forget takes a partition out.
func (s *Session) Forget(p stream.Partition) {
	place, ok := s.places[p]
	if !ok {
		return
	}
	delete(s.places, p)
	delete(s.changed, p)
	s.forgotten[named{p, place.Topic}] = true
}

// reopen makes the next request a full one that opens a new session.
func (s *Session) reopen() {
	s.id, s.epoch = 0, 0
	s.changed = make(map[stream.Partition]bool)
	s.forgotten = make(map[named]bool)
	s.byID = make(map[stream.TopicID]string)
	for _, p := range s.places {
		s.Set(p)
	}
}

// Fetch asks the broker for records and returns the partitions that had something to say: records, an error, or a moved
// high watermark; of the others nothing has changed. An error means that the request as a whole failed.
func (s *Session) Fetch(ctx context.Context, bounds stream.FetchBounds) ([]stream.Fetched, error) {
	resp, err := s.client.Request(ctx, s.request(bounds))
	if err != nil {
		s.reopen()
		return nil, fmt.Errorf("fetch: %w", err)
	}
	fetch := resp.(*kmsg.FetchResponse)
	if err := brokerError(fetch.ErrorCode, nil); err != nil {
		s.reopen()
		if sessionLost(fetch.ErrorCode) {
			s.errSessions++
			if s.errSessions < 3 {
				return s.Fetch(ctx, bounds) // which opens a new session
			}
		}
		return nil, fmt.Errorf("fetch: %w", err)
	}
	s.errSessions = 0
	s.accept(fetch)
	return s.fetched(fetch), nil
}

// request builds the next request of the session: all partitions when it opens one, the differences otherwise.
func (s *Session) request(bounds stream.FetchBounds) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = bounds.MaxWaitMillis, bounds.MinBytes, bounds.MaxBytes
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	if s.committed {
		req.IsolationLevel = 1
	}
	topics := make(map[string]int)
	for p := range s.changed {
		place := s.places[p]
		i, ok := topics[p.Topic]
		if !ok {
			i = len(req.Topics)
			topics[p.Topic] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = p.Topic, place.Topic
			req.Topics = append(req.Topics, t)
		}
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition = p.Number
		part.CurrentLeaderEpoch = place.Epoch
		part.FetchOffset = int64(place.Offset)
		part.LastFetchedEpoch = place.LastEpoch
		part.LogStartOffset = -1
		part.PartitionMaxBytes = place.MaxBytes
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	if s.epoch == 0 {
		return req
	}
	type topic struct {
		name string
		id   stream.TopicID
	}
	gone := make(map[topic]int)
	for p := range s.forgotten {
		t := topic{p.Topic, p.topic}
		i, ok := gone[t]
		if !ok {
			i = len(req.ForgottenTopics)
			gone[t] = i
			t := kmsg.NewFetchRequestForgottenTopic()
			t.Topic, t.TopicID = p.Topic, p.topic
			req.ForgottenTopics = append(req.ForgottenTopics, t)
		}
		req.ForgottenTopics[i].Partitions = append(req.ForgottenTopics[i].Partitions, p.Number)
	}
	return req
}

// accept moves the session on after an answer: what was named in the request is now known to the broker.
func (s *Session) accept(resp *kmsg.FetchResponse) {
	clear(s.changed)
	clear(s.forgotten)
	s.id = resp.SessionID
	if s.id == 0 { // the broker keeps no session for us: every request is a full one
		s.reopen()
		return
	}
	if s.epoch == 1<<31-1 {
		s.epoch = 1
		return
	}
	s.epoch++
}

func (s *Session) fetched(resp *kmsg.FetchResponse) []stream.Fetched {
	var all []stream.Fetched
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = s.byID[t.TopicID]
		}
		for _, p := range t.Partitions {
			key := stream.Partition{Topic: name, Number: p.Partition}
			place, asked := s.places[key]
			if !asked || t.Topic == "" && stream.TopicID(t.TopicID) != place.Topic {
				continue // forgotten, or of a topic of that name that is no more
			}
			f := stream.Fetched{
				Partition:     key,
				Err:           brokerError(p.ErrorCode, nil),
				Unguarded:     resp.Version < 12, // KIP-595: from then on a fetch names the last epoch
				HighWatermark: stream.Upstream(p.HighWatermark),
				LogStart:      stream.Upstream(p.LogStartOffset),
				Records:       p.RecordBatches,
			}
			if d := p.DivergingEpoch; d.Epoch >= 0 || d.EndOffset >= 0 {
				f.Diverged = &stream.EpochEnd{Epoch: d.Epoch, End: stream.Upstream(d.EndOffset)}
			}
			if s.committed && p.LastStableOffset >= 0 {
				f.Unstable = max(p.HighWatermark-p.LastStableOffset, 0)
			}
			for _, a := range p.AbortedTransactions {
				f.Aborted = append(f.Aborted, stream.AbortedTransaction{ProducerID: a.ProducerID, First: stream.Upstream(a.FirstOffset)})
			}
			all = append(all, f)
		}
	}
	return all
}

// sessionLost says that the broker has forgotten the session or numbers it otherwise: both are mended by opening a new
// one, as Kafka's own consumer does.
func sessionLost(code int16) bool {
	switch code {
	case 70, // FETCH_SESSION_ID_NOT_FOUND: evicted from the broker's cache, or the broker restarted
		71,  // INVALID_FETCH_SESSION_EPOCH: an answer of ours was lost
		106: // FETCH_SESSION_TOPIC_ID_ERROR: the broker changed between names and ids while it was upgraded
		return true
	}
	return false
}
