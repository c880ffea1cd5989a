package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

// produceVersion pins Produce requests: from version 13 on they name topics by id, which a replicator does not need, since
// a remote topic that was made anew is still the one to write to.
const produceVersion = 12

// Wire is the data plane's connection to one cluster: raw fetches and produces, and the few requests around them.
// Its methods may be called at the same time.
type Wire struct {
	client *kgo.Client
	grace  time.Duration // of the producer's request.timeout.ms, the part that a broker may use up

	mu      sync.Mutex
	senders map[int32]*Sender  // one for each broker that was produced to
	leads   map[string]leaders // of topics that ReadPlace reads
}

// NewWire prepares a data-plane client. It connects when the first request is made.
func NewWire(c Client) (*Wire, error) { return newWire(c, func(*kversion.Versions) {}) }

// newWire lets its caller hold more requests at old versions.
func newWire(c Client, pin func(*kversion.Versions)) (*Wire, error) {
	opts, err := c.kgoOpts()
	if err != nil {
		return nil, err
	}
	w := &Wire{grace: c.requestTimeout * 3 / 4, senders: make(map[int32]*Sender), leads: make(map[string]leaders)}
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Produce.Int16(), produceVersion)
	pin(versions)
	opts = append(opts, kgo.MaxVersions(versions), kgo.WithHooks(writeHook{w}))
	w.client, err = kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare client for %s: %w", c.Bootstrap(), err)
	}
	return w, nil
}

// Close ends all connections; requests under way fail.
func (w *Wire) Close() { w.client.Close() }

// Leaders asks for the current leader of each partition of the topics. A partition without a leader is left out.
func (w *Wire) Leaders(ctx context.Context, topics []string) (map[stream.Partition]stream.Leader, error) {
	leaders := make(map[stream.Partition]stream.Leader)
	if len(topics) == 0 {
		return leaders, nil
	}
	req := kmsg.NewPtrMetadataRequest()
	for i := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topics[i]
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, w.client)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				continue
			}
			leaders[stream.Partition{Topic: *t.Topic, Number: p.Partition}] = stream.Leader{Broker: p.Leader, Epoch: p.LeaderEpoch}
		}
	}
	return leaders, nil
}

// places are where topics stand in the list of a request.
type places map[string]int

// at is the place of a topic; add appends one that is new.
func (p places) at(topic string, add func()) int {
	i, ok := p[topic]
	if !ok {
		i = len(p)
		p[topic] = i
		add()
	}
	return i
}

// InitProducerID asks for a new idempotent producer id.
func (w *Wire) InitProducerID(ctx context.Context) (int64, int16, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := req.RequestWith(ctx, w.client)
	if err != nil {
		return 0, 0, fmt.Errorf("init producer id: %w", err)
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return 0, 0, fmt.Errorf("init producer id: %w", err)
	}
	return resp.ProducerID, resp.ProducerEpoch, nil
}

// ProducerStates asks the leaders of the partitions what they remember of a producer id (DescribeProducers, KIP-664).
// A partition that knows nothing of the id is in neither map; brokers older than 2.8 cannot be asked, and so know
// nothing.
func (w *Wire) ProducerStates(ctx context.Context, id int64, partitions []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error) {
	if supported, err := supports(ctx, w.client, kmsg.DescribeProducers); err != nil || !supported {
		return nil, nil, err
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	topics := make(places)
	for _, p := range partitions {
		i := topics.at(p.Topic, func() {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		})
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p.Number)
	}
	states, failed := make(map[stream.Partition]stream.ProducerState), make(map[stream.Partition]error)
	for _, shard := range w.client.RequestSharded(ctx, req) {
		if shard.Err != nil { // as in Offsets
			for _, t := range shard.Req.(*kmsg.DescribeProducersRequest).Topics {
				for _, n := range t.Partitions {
					failed[stream.Partition{Topic: t.Topic, Number: n}] = fmt.Errorf("describe producers: %w", shardError(shard.Err))
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, p := range t.Partitions {
				key := stream.Partition{Topic: t.Topic, Number: p.Partition}
				if err := brokerError(p.ErrorCode, p.ErrorMessage); err != nil {
					failed[key] = err
					continue
				}
				for _, a := range p.ActiveProducers {
					if a.ProducerID == id {
						states[key] = stream.ProducerState{Epoch: int16(a.ProducerEpoch), LastSequence: a.LastSequence}
					}
				}
			}
		}
	}
	return states, failed, nil
}

// EpochEnds asks the leaders where leader epochs end (OffsetForLeaderEpoch, KIP-320): for each partition, the largest
// epoch known there that is not above the one asked for, and the first offset after it. An epoch of -1 in the
// answer means that nothing is known of such an epoch. Brokers that cannot be asked know nothing of any.
func (w *Wire) EpochEnds(ctx context.Context, epochs map[stream.Partition]int32) (map[stream.Partition]stream.EpochEnd, map[stream.Partition]error, error) {
	if supported, err := supports(ctx, w.client, kmsg.OffsetForLeaderEpoch); err != nil || !supported {
		return nil, nil, err
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	topics := make(places)
	for p, epoch := range epochs {
		i := topics.at(p.Topic, func() {
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		})
		part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		part.Partition = p.Number
		part.CurrentLeaderEpoch = -1
		part.LeaderEpoch = epoch
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	ends, failed := make(map[stream.Partition]stream.EpochEnd), make(map[stream.Partition]error)
	for _, shard := range w.client.RequestSharded(ctx, req) {
		if shard.Err != nil { // as in Offsets
			for _, t := range shard.Req.(*kmsg.OffsetForLeaderEpochRequest).Topics {
				for _, p := range t.Partitions {
					failed[stream.Partition{Topic: t.Topic, Number: p.Partition}] = fmt.Errorf("find the end of a leader epoch: %w", shardError(shard.Err))
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.OffsetForLeaderEpochResponse).Topics {
			for _, p := range t.Partitions {
				key := stream.Partition{Topic: t.Topic, Number: p.Partition}
				if err := brokerError(p.ErrorCode, nil); err != nil {
					failed[key] = err
					continue
				}
				ends[key] = stream.EpochEnd{Epoch: p.LeaderEpoch, End: stream.Upstream(p.EndOffset)}
			}
		}
	}
	return ends, failed, nil
}

// Read fetches from one partition once, outside of any session: what lies at and after an offset, up to about so many
// bytes. It serves the comparison of tails, which happens seldom; the data plane itself reads in sessions.
func (w *Wire) Read(ctx context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &p.Topic
	req.Topics = append(req.Topics, t)
	meta, err := req.RequestWith(ctx, w.client)
	if err != nil {
		return stream.Fetched{}, fmt.Errorf("read metadata: %w", err)
	}
	for _, t := range meta.Topics {
		if err := brokerError(t.ErrorCode, nil); err != nil {
			return stream.Fetched{}, fmt.Errorf("read metadata of %s: %w", p.Topic, err)
		}
		for _, part := range t.Partitions {
			if part.Partition != p.Number || part.Leader < 0 {
				continue
			}
			s := w.Session(part.Leader, committed)
			s.epoch = -1 // no session
			s.Set(stream.Place{Partition: p, Topic: t.TopicID, Offset: stream.Upstream(offset), Epoch: -1, LastEpoch: -1, MaxBytes: maxBytes})
			all, err := s.Fetch(ctx, stream.FetchBounds{MaxWaitMillis: 100, MinBytes: 1, MaxBytes: maxBytes})
			if err != nil {
				return stream.Fetched{}, err
			}
			if len(all) == 1 {
				return all[0], all[0].Err
			}
			return stream.Fetched{Partition: p}, nil
		}
	}
	return stream.Fetched{}, fmt.Errorf("read %s: %w", p, &stream.BrokerError{Code: stream.CodeLeaderNotAvailable, Name: "LEADER_NOT_AVAILABLE"})
}

// supports asks a broker, or any one of a cluster, whether it knows a request.
func supports(ctx context.Context, to kmsg.Requestor, key kmsg.Key) (bool, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = softwareName, softwareVersion // a broker refuses the nameless
	resp, err := req.RequestWith(ctx, to)
	if err == nil {
		err = brokerError(resp.ErrorCode, nil)
	}
	if err != nil {
		return false, fmt.Errorf("read api versions: %w", err)
	}
	for _, k := range resp.ApiKeys {
		if k.ApiKey == key.Int16() {
			return true, nil
		}
	}
	return false, nil
}

// shardError is an error of a part of a request; where it is a code of the protocol, as what a broker would have said.
func shardError(err error) error {
	if known, ok := errors.AsType[*kerr.Error](err); ok {
		return brokerError(known.Code, nil)
	}
	return err
}

// brokerError turns a protocol error code into an error, nil for code 0.
func brokerError(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	e := &stream.BrokerError{Code: stream.Code(code), Name: fmt.Sprintf("ERROR_%d", code)}
	if known := kerr.TypedErrorForCode(code); known != nil {
		e.Name = known.Message
	}
	if message != nil {
		e.Message = *message
	}
	return e
}

// writeHook tells a sender when the bytes of its request have gone out, so that the next one may follow on the same
// connection, in order, without waiting for an answer.
type writeHook struct{ w *Wire }

func (h writeHook) OnBrokerWrite(meta kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key != kmsg.Produce.Int16() {
		return
	}
	h.w.mu.Lock()
	s := h.w.senders[meta.NodeID]
	h.w.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.written <- struct{}{}:
	default:
	}
}
