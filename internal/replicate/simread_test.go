package replicate

import (
	"context"
	"encoding/binary"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// What the simulated clusters answer to those who read them now and then, outside of the data plane.

// simReader reads either cluster.
type simReader struct{ *sim }

func (m simReader) Read(_ context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if t, remote := m.targets[p]; remote {
		return t.read(p, offset)
	}
	l := m.logs[p]
	f := stream.Fetched{Partition: p, HighWatermark: stream.Upstream(l.end)}
	if committed {
		f.Aborted = l.aborted
	}
	if offset < l.start || offset > l.end {
		return f, code(stream.CodeOffsetOutOfRange)
	}
	for _, e := range l.batches {
		if e.last >= offset && len(f.Records) < int(maxBytes) {
			f.Records = append(f.Records, e.raw...)
		}
	}
	return f, nil
}

// read gives one batch, of one producer.
func (t *simTarget) read(p stream.Partition, offset int64) (stream.Fetched, error) {
	end := t.readable()
	f := stream.Fetched{Partition: p, HighWatermark: stream.Upstream(end)}
	if offset < t.start || offset > end {
		return f, code(stream.CodeOffsetOutOfRange)
	}
	var offsets []int64
	var values []string
	at := offset
	for ; at < end && at < offset+700 && t.foreign[at] == t.foreign[offset]; at++ {
		if !t.compacted[at] {
			offsets, values = append(offsets, at), append(values, t.values[at])
		}
	}
	if at == offset {
		return f, nil
	}
	producer := int64(4711)
	if t.foreign[offset] {
		producer = -1
	}
	f.Records = simRecords(offset, at-1, offsets, values, producer)
	return f, nil
}

// simRecords builds a batch that covers the offsets from base to last and has records at some of them.
func simRecords(base, last int64, offsets []int64, values []string, producer int64) []byte {
	b := simBatch("", base, []int64{last}, 0, producer)[:batch.HeaderSize]
	for i, o := range offsets {
		r := []byte{0}
		r = binary.AppendVarint(r, 0)
		r = binary.AppendVarint(r, o-base)
		r = binary.AppendVarint(r, -1)
		r = binary.AppendVarint(r, int64(len(values[i])))
		r = append(r, values[i]...)
		r = binary.AppendVarint(r, 0)
		b = binary.AppendVarint(b, int64(len(r)))
		b = append(b, r...)
	}
	binary.BigEndian.PutUint32(b[57:], uint32(len(offsets)))
	return reseal(b)
}
