package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// Ends is where a partition ends, and the offset below which no transaction is open: both of one moment, as the leader had them. Where
// they are equal nothing was open.
type Ends struct {
	End    stream.Upstream // the high watermark
	Stable stream.Upstream // the last stable offset
}

// Ends asks the leaders for the ends of all partitions of some topics. ListOffsets would give the two by two requests, between which a
// transaction can end; a fetch gives both at once. Partitions that could not be answered are in the second map, by reason. The
// error says that nothing could be asked.
func (w *Wire) Ends(ctx context.Context, topics []stream.Topic) (map[stream.Partition]Ends, map[stream.Partition]error, error) {
	var names []string
	places := make(map[stream.Partition]stream.Place)
	for _, t := range topics {
		names = append(names, t.Name)
		for n := range t.Partitions {
			p := stream.Partition{Topic: t.Name, Number: n}
			places[p] = stream.Place{Partition: p, Topic: t.ID, Epoch: -1, LastEpoch: -1, MaxBytes: 1}
		}
	}
	leaders, err := w.Leaders(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	failed := make(map[stream.Partition]error)
	latest, _, err := w.Offsets(ctx, slices.Collect(maps.Keys(places)), stream.Latest)
	if err != nil {
		return nil, nil, err
	}
	by := make(map[int32][]stream.Place)
	for p, place := range places {
		leader, led := leaders[p]
		end, known := latest[p]
		if !led || !known {
			failed[p] = &stream.BrokerError{Code: stream.CodeLeaderNotAvailable, Name: "LEADER_NOT_AVAILABLE"}
			continue
		}
		place.Offset = stream.Upstream(end)
		by[leader.Broker] = append(by[leader.Broker], place)
	}
	return w.endsOf(ctx, by, failed)
}

func (w *Wire) endsOf(ctx context.Context, by map[int32][]stream.Place, failed map[stream.Partition]error) (map[stream.Partition]Ends, map[stream.Partition]error, error) {
	var mu sync.Mutex
	var brokers sync.WaitGroup
	found := make(map[stream.Partition]Ends)
	for id, list := range by {
		brokers.Go(func() {
			for part := range slices.Chunk(list, partitionsPerRequest) {
				ends, refused, err := w.fetchEnds(ctx, id, part)
				mu.Lock()
				maps.Copy(found, ends)
				for _, place := range part {
					if _, ok := ends[place.Partition]; ok {
						continue
					}
					why := refused[place.Partition]
					if why == nil {
						why = err
					}
					if why == nil {
						why = brokerError(-1, nil) // it did not answer for it
					}
					failed[place.Partition] = why
				}
				mu.Unlock()
			}
		})
	}
	brokers.Wait()
	return found, failed, nil
}

// fetchEnds fetches at the ends: there is nothing to be read, or little.
func (w *Wire) fetchEnds(ctx context.Context, broker int32, list []stream.Place) (map[stream.Partition]Ends, map[stream.Partition]error, error) {
	s := w.Session(broker, false)
	s.epoch = -1 // no session
	for _, p := range list {
		s.Set(p)
	}
	answer, err := s.client.Request(ctx, s.request(stream.FetchBounds{MaxBytes: 1}))
	if err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return nil, nil, errors.New("fetch: an answer of another kind")
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	ends, refused := make(map[stream.Partition]Ends), make(map[stream.Partition]error)
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = s.byID[t.TopicID]
		}
		for _, p := range t.Partitions {
			key := stream.Partition{Topic: name, Number: p.Partition}
			if err := brokerError(p.ErrorCode, nil); err != nil {
				refused[key] = err
				continue
			}
			e := Ends{End: stream.Upstream(p.HighWatermark), Stable: stream.Upstream(p.LastStableOffset)}
			if p.LastStableOffset < 0 { // a broker without transactions (before Kafka 0.11)
				e.Stable = e.End
			}
			ends[key] = e
		}
	}
	return ends, refused, nil
}
