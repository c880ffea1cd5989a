package replicate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// The simulated clusters of the tests: a source that serves batches from memory, and a target that checks a produced
// batch as a broker does (base offset, record count, CRC, sequence numbers, the last five batches) and then keeps its
// values. Faults are drawn from a seed.

// simTarget is one partition of the target.
type simTarget struct {
	values   []string
	producer int64
	last     int32
	known    bool
	recent   []simRange
	refuse   error            // what every produce gets
	largest  int              // max.message.bytes, if not 0
	refused  map[string]error // values that are not taken

	start     int64          // where retention has moved it
	foreign   map[int64]bool // offsets that somebody else has written
	compacted map[int64]bool // offsets that are gone
	safe      *simTarget     // as all replicas have it; what is beyond goes with its leader
}

// replicated is called when an append was acknowledged, since all replicas have it then.
func (t *simTarget) replicated() {
	t.safe = &simTarget{values: slices.Clip(t.values), known: t.known, last: t.last, recent: append([]simRange(nil), t.recent...)}
}

// readable is the high watermark.
func (t *simTarget) readable() int64 {
	if t.safe == nil {
		return int64(len(t.values))
	}
	return int64(len(t.safe.values))
}

// fail takes back what was not replicated.
func (t *simTarget) fail() {
	safe := t.safe
	if safe == nil {
		return // the first append of all is safe here: a broker that has never heard of us takes any sequence
	}
	t.values, t.known, t.last, t.recent = safe.values, safe.known, safe.last, append([]simRange(nil), safe.recent...)
}

type simRange struct {
	first, last int32
	base        int64
}

// append is a broker's decision on one batch.
func (t *simTarget) append(raw []byte) (int64, error) {
	if t.refuse != nil {
		return 0, t.refuse
	}
	if t.largest > 0 && len(raw) > t.largest {
		return 0, &stream.BrokerError{Code: stream.CodeMessageTooLarge, Name: "MESSAGE_TOO_LARGE"}
	}
	for _, value := range simValues(raw) {
		if err := t.refused[value]; err != nil {
			return 0, err
		}
	}
	v, rest, err := batch.Next(raw)
	if err != nil || len(rest) > 0 || v.Verify() != nil {
		return 0, &stream.BrokerError{Code: stream.CodeCorruptMessage, Name: "CORRUPT_MESSAGE"}
	}
	if v.BaseOffset() != 0 || v.LastOffset()+1 != int64(v.Records()) || v.Transactional() || v.Control() {
		return 0, &stream.BrokerError{Code: stream.CodeInvalidRecord, Name: "INVALID_RECORD"}
	}
	first := v.BaseSequence()
	last := following(first, int64(v.Records())-1)
	for _, r := range t.recent {
		if r.first == first && r.last == last {
			return r.base, nil
		}
	}
	if t.known && first != following(t.last, 1) {
		return 0, &stream.BrokerError{Code: stream.CodeOutOfOrderSequence, Name: "OUT_OF_ORDER_SEQUENCE_NUMBER"}
	}
	base := int64(len(t.values))
	t.values = append(t.values, simValues(raw)...)
	t.known, t.last, t.producer = true, last, v.ProducerID()
	t.recent = append(t.recent, simRange{first, last, base})
	if t.safe == nil {
		t.replicated()
	}
	if len(t.recent) > 5 {
		t.recent = t.recent[1:]
	}
	return base, nil
}

// sim is both clusters. Leaders are drawn from brokers 1 to 3.
type sim struct {
	mu      sync.Mutex
	rand    *rand.Rand
	faults  int // one of so many requests meets one; 0 is none
	logs    map[stream.Partition]*simLog
	targets map[stream.Partition]*simTarget
	leads   map[stream.Partition]int32 // of source and remote partitions
	acks    map[stream.Partition][]stream.Ack
	events  []stream.Event
	fetches int
	reads   int   // outside of the data plane
	asked   int   // questions for producer states
	silent  error // the answer to them, if not nil
	mute    bool  // brokers before 2.8, which cannot be asked

	// Scripts of single tests, called with mu held; nil does nothing. An error of before is the answer, and nothing is
	// appended; an error of after is the answer though the batch was appended.
	before  func(broker int32, item stream.Appending) error
	after   func(broker int32, item stream.Appending) error
	reading func(place stream.Place) error // the answer to a partition's part of a fetch

	lag       atomic.Int64 // of the way to the target
	hung      atomic.Int64 // a broker of the target that answers nothing before requests time out
	followNew bool         // topic.recreated=follow
	haltAtGap bool         // retention.gap=halt
	unguarded bool         // brokers before 2.7, which pay no attention to the last epoch of a fetch
	tee       Tee          // may be nil

	frozen  atomic.Bool // the source answers nothing
	polled  int         // questions for ends
	observe Observer    // may be nil

	rough bool           // single partitions meet errors too, requests arrive late, leaders go missing
	late  sync.WaitGroup // requests that their sender has given up
}

// code is a broker's error of that code.
func code(c stream.Code) error { return &stream.BrokerError{Code: c, Name: fmt.Sprintf("CODE_%d", c)} }

func newSim(seed uint64) *sim {
	return &sim{
		rand: rand.New(rand.NewPCG(seed, 7)),
		logs: make(map[stream.Partition]*simLog), targets: make(map[stream.Partition]*simTarget),
		leads: make(map[stream.Partition]int32), acks: make(map[stream.Partition][]stream.Ack),
	}
}

func (m *sim) assignment(topic string, number int32) Assignment {
	return Assignment{Source: stream.Partition{Topic: topic, Number: number}, Remote: stream.Partition{Topic: "A." + topic, Number: number}, MaxBatch: 1 << 20}
}

func (m *sim) add(topic string, number int32, batches int) Assignment {
	a := m.assignment(topic, number)
	l := &simLog{}
	l.fill(m.rand, a.Source.String(), batches)
	m.logs[a.Source], m.targets[a.Remote] = l, &simTarget{}
	m.leads[a.Source], m.leads[a.Remote] = 1+m.rand.Int32N(3), 1+m.rand.Int32N(3)
	return a
}

func (m *sim) Leaders(context.Context, []string) (map[stream.Partition]stream.Leader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaders := make(map[stream.Partition]stream.Leader)
	for p, b := range m.leads {
		if m.rough && m.fault() {
			continue
		}
		leaders[p] = stream.Leader{Broker: b}
	}
	return leaders, nil
}

func (m *sim) fault() bool { return m.faults > 0 && m.rand.IntN(m.faults) == 0 }

// simSession serves fetches.
type simSession struct {
	sim    *sim
	broker int32
	places map[stream.Partition]stream.Place
	told   map[stream.Partition]int64 // high watermarks
}

func (s *simSession) Set(p stream.Place)        { s.places[p.Partition] = p }
func (s *simSession) Forget(p stream.Partition) { delete(s.places, p); delete(s.told, p) }

func (s *simSession) Fetch(ctx context.Context, bounds stream.FetchBounds) ([]stream.Fetched, error) {
	if err := s.sim.thaws(ctx); err != nil {
		return nil, err
	}
	if all, err := s.fetch(bounds); len(all) > 0 || err != nil {
		return all, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Duration(bounds.MaxWaitMillis) * time.Millisecond):
		return nil, nil
	}
}

func (s *simSession) fetch(bounds stream.FetchBounds) ([]stream.Fetched, error) {
	m := s.sim
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetches++
	if m.fault() {
		return nil, fmt.Errorf("connection reset")
	}
	var all []stream.Fetched
	left := int(bounds.MaxBytes)
	for p, place := range s.places {
		log := m.logs[p]
		f := stream.Fetched{Partition: p, HighWatermark: stream.Upstream(log.end), Unguarded: m.unguarded}
		if m.reading != nil {
			if f.Err = m.reading(place); f.Err != nil {
				all = append(all, f)
				continue
			}
		}
		if m.rough && m.fault() {
			f.Err = code(misreadings[m.rand.IntN(len(misreadings))])
			all = append(all, f)
			continue
		}
		switch {
		case place.Topic != log.id:
			f.Err = &stream.BrokerError{Code: stream.CodeUnknownTopicID, Name: "UNKNOWN_TOPIC_ID"}
			all = append(all, f)
			continue
		case m.leads[p] != s.broker:
			f.Err = &stream.BrokerError{Code: stream.CodeNotLeaderOrFollower, Name: "NOT_LEADER_OR_FOLLOWER"}
			all = append(all, f)
			continue
		case int64(place.Offset) > log.end && (m.unguarded || place.LastEpoch < 0), int64(place.Offset) < log.start,
			!m.unguarded && place.LastEpoch >= 0 && log.epochEnd(place.LastEpoch).Epoch < 0:
			f.Err = &stream.BrokerError{Code: stream.CodeOffsetOutOfRange, Name: "OFFSET_OUT_OF_RANGE"}
			all = append(all, f)
			continue
		}
		if place.LastEpoch >= 0 && !m.unguarded {
			end := log.epochEnd(place.LastEpoch)
			if end.Epoch < place.LastEpoch || end.End < place.Offset {
				f.Diverged = &end
				all = append(all, f)
				continue
			}
		}
		for _, e := range log.batches {
			if e.last < int64(place.Offset) {
				continue
			}
			if left <= 0 || len(f.Records) > int(place.MaxBytes) {
				break
			}
			f.Records = append(f.Records, e.raw...)
			left -= len(e.raw)
		}
		f.Aborted = log.aborted
		if told, ok := s.told[p]; len(f.Records) > 0 || !ok || told != log.end { // a broker tells a high watermark that is new to the session
			s.told[p] = log.end
			all = append(all, f)
		}
	}
	return all, nil
}

// thaws waits while the source is frozen.
func (m *sim) thaws(ctx context.Context) error {
	for m.frozen.Load() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// Ends answers for a broker of the source.
func (m *sim) Ends(ctx context.Context, broker int32, partitions []stream.Partition) (map[stream.Partition]stream.Upstream, map[stream.Partition]error, error) {
	if err := m.thaws(ctx); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polled++
	if m.fault() {
		return nil, nil, fmt.Errorf("connection reset")
	}
	ends, failed := make(map[stream.Partition]stream.Upstream), make(map[stream.Partition]error)
	for _, p := range partitions {
		if m.leads[p] != broker {
			failed[p] = code(stream.CodeNotLeaderOrFollower)
			continue
		}
		ends[p] = stream.Upstream(m.logs[p].end)
	}
	return ends, failed, nil
}

// simSender answers produces, in order, from a goroutine.
type simSender struct {
	sim    *sim
	broker int32
	calls  chan func()
}

func (m *sim) sender(ctx context.Context, broker int32) Sender {
	s := &simSender{sim: m, broker: broker, calls: make(chan func(), 16)}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case call := <-s.calls:
				time.Sleep(time.Millisecond + time.Duration(m.lag.Load())) // of the test's clock
				if m.hung.Load() == int64(broker) {
					select {
					case <-ctx.Done():
						return
					case <-time.After(40 * time.Second):
					}
				}
				if ctx.Err() != nil {
					return
				}
				call()
			}
		}
	}()
	return s
}

func (s *simSender) Send(_ context.Context, items []stream.Appending, done func([]stream.Appended, error)) {
	s.calls <- func() { done(s.produce(items)) }
}

func (s *simSender) produce(items []stream.Appending) ([]stream.Appended, error) {
	m := s.sim
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hung.Load() == int64(s.broker) {
		return nil, fmt.Errorf("timed out")
	}
	if m.fault() {
		return nil, fmt.Errorf("connection refused")
	}
	if m.rough && m.fault() {
		m.arriveLate(items)
		return nil, fmt.Errorf("timed out")
	}
	var all []stream.Appended
	for _, item := range items {
		a := stream.Appended{Remote: item.Remote, Base: -1}
		t := m.targets[item.Remote]
		var scripted error
		if m.before != nil {
			scripted = m.before(s.broker, item)
		}
		if m.rough && m.fault() {
			scripted = code(refusals[m.rand.IntN(len(refusals))])
		}
		if scripted != nil {
			a.Err = scripted
		} else if m.leads[item.Remote] != s.broker {
			a.Err = &stream.BrokerError{Code: stream.CodeNotLeaderOrFollower, Name: "NOT_LEADER_OR_FOLLOWER"}
		} else {
			base, err := t.append(item.Batch)
			a.Base, a.Err = stream.Downstream(base), err
			if err == nil && m.fault() {
				a.Err = &stream.BrokerError{Code: stream.CodeRequestTimedOut, Name: "REQUEST_TIMED_OUT"} // and yet it is there
			}
			if err == nil && m.after != nil {
				if scripted := m.after(s.broker, item); scripted != nil {
					a.Err = scripted
				}
			}
		}
		all = append(all, a)
		if m.fault() {
			m.leads[item.Remote] = 1 + m.rand.Int32N(3)
			if m.rough {
				t.fail()
				a.Base, a.Err = -1, fmt.Errorf("connection reset")
				all[len(all)-1] = a
			}
		}
	}
	if m.fault() {
		return nil, fmt.Errorf("connection reset after the append")
	}
	for _, a := range all {
		if a.Err == nil {
			m.targets[a.Remote].replicated()
		}
	}
	return all, nil
}

// refusals and misreadings are answers that a partition may get for a moment.
var (
	refusals = []stream.Code{stream.CodeUnknownServer, stream.CodeUnknownTopicOrPartition, stream.CodeNotEnoughReplicas,
		stream.CodeMessageTooLarge, stream.CodeOutOfOrderSequence, stream.CodeInvalidProducerEpoch, stream.CodeTopicAuthorization}
	misreadings = []stream.Code{stream.CodeOffsetOutOfRange, stream.CodeFencedLeaderEpoch, stream.CodeUnknownTopicOrPartition,
		stream.CodeTopicAuthorization, stream.CodeKafkaStorageError}
)

// arriveLate appends a request some time after its sender has given it up.
func (m *sim) arriveLate(items []stream.Appending) {
	after := time.Duration(m.rand.Int64N(int64(3 * time.Second)))
	for i := range items {
		items[i].Batch = append([]byte(nil), items[i].Batch...) // as they stood on the wire
	}
	m.late.Go(func() {
		time.Sleep(after)
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, item := range items {
			_, _ = m.targets[item.Remote].append(item.Batch)
		}
	})
}

func (m *sim) ProducerStates(_ context.Context, _ int64, partitions []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.silent != nil {
		return nil, nil, m.silent
	}
	if m.mute {
		return nil, nil, nil
	}
	states := make(map[stream.Partition]stream.ProducerState)
	for _, p := range partitions {
		if t := m.targets[p]; t.known {
			states[p] = stream.ProducerState{LastSequence: t.last}
		}
	}
	return states, nil, nil
}

func (m *sim) Offsets(_ context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offsets := make(map[stream.Partition]int64)
	for _, p := range partitions {
		if t, remote := m.targets[p]; remote {
			if at == stream.Latest {
				if t.safe != nil && m.rand.IntN(3) == 0 { // followers get there sooner or later
					t.replicated()
				}
				offsets[p] = t.readable()
			} else {
				offsets[p] = t.start
			}
			continue
		}
		if at == stream.Latest {
			offsets[p] = m.logs[p].end
		} else {
			offsets[p] = m.logs[p].start
		}
	}
	return offsets, nil, nil
}

// simMemory remembers what was acknowledged, as the internal topics do.
type simMemory struct {
	mu        *sync.Mutex // guards what Remember writes
	anchors   map[stream.Partition]Start
	topics    map[stream.Partition]stream.TopicID // of the anchors
	positions map[stream.Partition]stream.Upstream
}

func newSimMemory() simMemory {
	return simMemory{&sync.Mutex{}, make(map[stream.Partition]Start), make(map[stream.Partition]stream.TopicID), make(map[stream.Partition]stream.Upstream)}
}

func (m simMemory) Anchor(remote stream.Partition) (Start, stream.TopicID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.anchors[remote]
	return s, m.topics[remote], ok
}

func (m simMemory) Remember(_ context.Context, places map[stream.Partition]Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for remote, p := range places {
		m.anchors[remote], m.topics[remote] = p.Start, p.Topic
	}
	return nil
}

func (m simMemory) Position(source stream.Partition) (stream.Upstream, bool) {
	last, ok := m.positions[source]
	return last, ok
}

func (m *sim) pipe(memory Memory, budget *Budget) *Pipe { return New(m.config(memory, budget)) }

func (m *sim) config(memory Memory, budget *Budget) Config {
	return Config{
		Flow: stream.Flow{Source: "A", Target: "B"}, Producer: batch.Producer{ID: 4711},
		Source: m, Target: m,
		Session: func(b int32) Session {
			return &simSession{sim: m, broker: b, places: make(map[stream.Partition]stream.Place), told: make(map[stream.Partition]int64)}
		},
		Sender: m.sender,
		Resume: &Resumption{Flow: stream.Flow{Source: "A", Target: "B"}, ProducerID: 4711, Memory: memory, Source: m, Target: m, Remote: m, ReadSource: simReader{m}, ReadRemote: simReader{m}, Committed: true, FollowNew: m.followNew, HaltAtGap: m.haltAtGap, Reset: ResetEarliest, Report: m.report},
		Budget: budget, Codec: batch.KeepCodec, Tee: m.tee, Ends: m, Observe: m.observe, Heartbeats: "heartbeats",
		Acked:  func(a stream.Ack) { m.mu.Lock(); m.acks[a.Remote] = append(m.acks[a.Remote], a); m.mu.Unlock() },
		Report: m.report,
	}
}

func (m *sim) report(e stream.Event) { m.mu.Lock(); m.events = append(m.events, e); m.mu.Unlock() }

// complete says whether every target holds as many values as its source has.
func (m *sim) complete() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, l := range m.logs {
		if len(m.targets[stream.Partition{Topic: "A." + p.Topic, Number: p.Number}].values) < len(l.want) {
			return false
		}
	}
	return true
}
