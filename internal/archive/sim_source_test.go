package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"

	"tandem/internal/stream"
)

// logs is a source cluster as far as the archiver sees it: logs of batches, which a test appends to, cuts off in front and behind,
// and deletes.
type logs struct {
	mu     sync.Mutex
	topics map[string]*simTopic
	lives  []*simTopic // all that ever were
	made   int
	fail   error // of all reads
	reads  int
}

type simTopic struct {
	name  string
	id    stream.TopicID
	parts []*simLog
}

type simLog struct {
	start, end int64
	epoch      int32
	batches    []simBatch
	ever       map[int64][]byte // by base offset, all that were appended and not truncated
	cut        bool             // was truncated
}

type simBatch struct {
	base, last int64
	epoch      int32
	bytes      []byte
}

func newLogs() *logs { return &logs{topics: make(map[string]*simTopic)} }

// create makes a topic, anew where there is one of its name.
func (l *logs) create(name string, parts int) *simTopic {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	t := &simTopic{name: name, id: stream.TopicID{byte(l.made >> 8), byte(l.made), 1}}
	for range parts {
		t.parts = append(t.parts, newLog())
	}
	l.topics[name] = t
	l.lives = append(l.lives, t)
	return t
}

func newLog() *simLog { return &simLog{epoch: 1, ever: make(map[int64][]byte)} }

// assigned are all partitions.
func (l *logs) assigned() map[stream.Partition]stream.Topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[stream.Partition]stream.Topic)
	for _, t := range l.topics {
		for n := range t.parts {
			all[stream.Partition{Topic: t.name, Number: int32(n)}] = stream.Topic{Name: t.name, ID: t.id, Partitions: int32(len(t.parts))}
		}
	}
	return all
}

func (l *logs) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads
}

// append adds a batch; a hole of offsets stands behind it.
func (l *logs) append(p stream.Partition, records, hole, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := l.topics[p.Topic].parts[p.Number]
	last := log.end + int64(records) - 1
	b := simBatch{log.end, last, log.epoch, plainBatch(log.end, records, log.epoch, fmt.Appendf(nil, "%s %d %*d", p, log.end, size, records))}
	log.batches = append(log.batches, b)
	log.ever[b.base] = b.bytes
	log.end = last + 1 + int64(hole)
}

func (l *logs) do(p stream.Partition, change func(*simLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.topics[p.Topic].parts[p.Number])
}

func (l *logs) end(p stream.Partition) (end stream.Upstream) {
	l.do(p, func(g *simLog) { end = stream.Upstream(g.end) })
	return end
}

// retain deletes what lies below an offset.
func (g *simLog) retain(from int64) {
	g.start = max(g.start, from)
	g.batches = slices.DeleteFunc(g.batches, func(b simBatch) bool { return b.last < g.start })
}

// truncate loses the end; the log goes on with a new leader.
func (g *simLog) truncate(to int64) {
	g.batches = slices.DeleteFunc(g.batches, func(b simBatch) bool { return b.base >= to })
	maps.DeleteFunc(g.ever, func(base int64, _ []byte) bool { return base >= to })
	g.end = to
	g.epoch++
	g.cut = true
}

func (l *logs) find(p stream.Partition, id stream.TopicID) (*simLog, error) {
	t := l.topics[p.Topic]
	if l.fail != nil {
		return nil, l.fail
	}
	if t == nil || int(p.Number) >= len(t.parts) || id != (stream.TopicID{}) && id != t.id {
		return nil, &stream.BrokerError{Code: stream.CodeUnknownTopicID, Name: "UNKNOWN_TOPIC_ID"}
	}
	return t.parts[p.Number], nil
}

// answers has all questions answered with an error from now on; nil: as they are.
func (l *logs) answers(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// Read is Source's.
func (l *logs) Read(ctx context.Context, at stream.Place, _ bool) (stream.Fetched, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	f := stream.Fetched{Partition: at.Partition}
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	log, err := l.find(at.Partition, at.Topic)
	if err != nil {
		return f, err
	}
	if at.LastEpoch >= 0 {
		end := stream.EpochEnd{Epoch: -1, End: -1}
		for _, b := range log.batches {
			if b.epoch <= at.LastEpoch {
				end = stream.EpochEnd{Epoch: b.epoch, End: stream.Upstream(b.last + 1)}
			}
		}
		if next := slices.IndexFunc(log.batches, func(b simBatch) bool { return b.epoch > at.LastEpoch }); end.End >= 0 && next < 0 {
			end.End = stream.Upstream(log.end)
		} else if end.End >= 0 {
			end.End = stream.Upstream(log.batches[next].base)
		}
		if end.End < 0 && len(log.batches) > 0 { // as Kafka does where it has forgotten the epoch
			return f, &stream.BrokerError{Code: stream.CodeOffsetOutOfRange, Name: "OFFSET_OUT_OF_RANGE"}
		}
		if end.End >= 0 && (end.Epoch < at.LastEpoch || end.End < at.Offset) {
			f.Diverged = &end
			return f, nil
		}
	}
	if int64(at.Offset) < log.start || int64(at.Offset) > log.end {
		return f, &stream.BrokerError{Code: stream.CodeOffsetOutOfRange, Name: "OFFSET_OUT_OF_RANGE"}
	}
	for _, b := range log.batches {
		if b.last < int64(at.Offset) {
			continue
		}
		if len(f.Records) > 0 && len(f.Records)+len(b.bytes) > int(at.MaxBytes) {
			f.Records = append(f.Records, b.bytes[:20]...) // cut off, as brokers do
			break
		}
		f.Records = append(f.Records, b.bytes...)
	}
	f.HighWatermark, f.LogStart = stream.Upstream(log.end), stream.Upstream(log.start)
	return f, nil
}

// Offsets is Source's.
func (l *logs) Offsets(_ context.Context, all []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, failed := make(map[stream.Partition]int64), make(map[stream.Partition]error)
	for _, p := range all {
		log, err := l.find(p, stream.TopicID{})
		switch {
		case err != nil:
			failed[p] = err
		case at == stream.Earliest:
			out[p] = log.start
		default:
			out[p] = log.end
		}
	}
	return out, failed, nil
}

// plainBatch makes an uncompressed record batch; all records have one value.
func plainBatch(base int64, n int, epoch int32, value []byte) []byte {
	var records []byte
	for i := range n {
		body := binary.AppendVarint([]byte{0, 0}, int64(i))
		body = binary.AppendVarint(body, -1)
		body = append(binary.AppendVarint(body, int64(len(value))), value...)
		body = binary.AppendVarint(body, 0)
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(base))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(epoch))
	b = append(b, 2, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(n-1))
	b = binary.BigEndian.AppendUint64(b, 1000)
	b = binary.BigEndian.AppendUint64(b, 1000)
	b = binary.BigEndian.AppendUint64(b, ^uint64(0))
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
