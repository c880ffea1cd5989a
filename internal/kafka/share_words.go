package kafka

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// What members tell the leader, and the leader them, stands in Kafka's consumer protocol, version 0, so that Kafka's tools show who has
// which partitions: topics, and user data of our own, which are
//
//	INT8 version, 1; the rest is deflated
//
// in a subscription (strings and lists have a UVARINT length before them):
//
//	settings STRING, host STRING, stamp UINT64, generation VARINT, asks UVARINT
//	topics   name STRING, wanted INT8, partitions seen UVARINT, kept LIST of UVARINT, going LIST of UVARINT
//
// and in an assignment:
//
//	members  id STRING, instance STRING, host STRING, settings STRING, partitions UVARINT, pending UVARINT, stamp UINT64
const (
	shareVersion = 1

	shareBytesMost  = 16 << 20  // of user data, unpacked: ten thousand topics are less than a megabyte
	shareNumberMost = 1_000_000 // of partitions of a topic
	// The topics of a subscription are for people and tools; many are left out, since a broker keeps all that members say in one
	// record, and the user data has them.
	topicsShown = 64 << 10
)

// subscription is what a member tells the leader.
type subscription struct {
	settings, host string
	stamp          uint64           // of what the member wants and is: a leader that has another has not heard of it yet
	generation     int32            // of keep
	asks           uint64           // rounds that the member asked for: with another number Kafka starts a round
	counts         map[string]int32 // wanted topics, with the partitions seen
	keep, going    partitionSet
}

// sign sets the stamp.
func (s *subscription) sign() {
	h := fnv.New64a()
	part := func(text string, n int32) { _, _ = fmt.Fprintf(h, "%d %s%d,", len(text), text, n) }
	part(s.settings, 0)
	part(s.host, 0)
	for _, topic := range slices.Sorted(maps.Keys(s.counts)) {
		part(topic, s.counts[topic])
	}
	s.stamp = h.Sum64()
}

func (s *subscription) encode() []byte {
	type topic struct{ keep, going []uint64 }
	topics := map[string]topic{}
	for name := range s.counts {
		topics[name] = topic{}
	}
	for _, p := range s.keep.sorted() {
		t := topics[p.Topic]
		t.keep = append(t.keep, uint64(p.Number))
		topics[p.Topic] = t
	}
	for _, p := range s.going.sorted() {
		t := topics[p.Topic]
		t.going = append(t.going, uint64(p.Number))
		topics[p.Topic] = t
	}
	var w shareWriter
	w.text(s.settings)
	w.text(s.host)
	w = binary.BigEndian.AppendUint64(w, s.stamp)
	w = binary.AppendVarint(w, int64(s.generation))
	w = binary.AppendUvarint(w, s.asks)
	w = binary.AppendUvarint(w, uint64(len(topics)))
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		n, wanted := s.counts[name]
		w.text(name)
		w = append(w, map[bool]byte{true: 1}[wanted])
		w = binary.AppendUvarint(w, uint64(n))
		w.numbers(topics[name].keep)
		w.numbers(topics[name].going)
	}
	m := kmsg.NewConsumerMemberMetadata()
	m.UserData = w.pack()
	shown := 0
	for name := range s.counts {
		shown += len(name) + 2
	}
	if shown <= topicsShown {
		m.Topics = slices.Sorted(maps.Keys(s.counts))
	}
	return m.AppendTo(nil)
}

func decodeSubscription(data []byte) (*subscription, error) {
	m := kmsg.NewConsumerMemberMetadata()
	if err := m.ReadFrom(data); err != nil {
		return nil, fmt.Errorf("read subscription: %w", err)
	}
	r, err := unpack(m.UserData)
	if err != nil {
		return nil, fmt.Errorf("read subscription: %w", err)
	}
	s := &subscription{counts: map[string]int32{}, keep: partitionSet{}, going: partitionSet{}}
	s.settings, s.host = r.text(), r.text()
	s.stamp = r.stamp()
	s.generation = int32(r.signed())
	s.asks = r.number()
	for range r.length(5) {
		name, wanted, n := r.text(), r.octet(), r.bounded()
		if wanted == 1 {
			s.counts[name] = n
		}
		for _, held := range []partitionSet{s.keep, s.going} {
			for range r.length(1) {
				held[stream.Partition{Topic: name, Number: r.bounded()}] = struct{}{}
			}
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("read subscription: %w", r.err)
	}
	return s, nil
}

// shareRow is a member as the leader saw it.
type shareRow struct {
	ShareMember
	pending int    // partitions that others wait for
	stamp   uint64 // of its subscription
}

func encodeAssignment(given []stream.Partition, rows []shareRow) []byte {
	var w shareWriter
	w = binary.AppendUvarint(w, uint64(len(rows)))
	for _, row := range rows {
		w.text(row.ID)
		w.text(row.Instance)
		w.text(row.Host)
		w.text(row.Settings)
		w = binary.AppendUvarint(w, uint64(row.Partitions))
		w = binary.AppendUvarint(w, uint64(row.pending))
		w = binary.BigEndian.AppendUint64(w, row.stamp)
	}
	a := kmsg.NewConsumerMemberAssignment()
	a.UserData = w.pack()
	for _, p := range given { // sorted
		if n := len(a.Topics); n == 0 || a.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewConsumerMemberAssignmentTopic()
			t.Topic = p.Topic
			a.Topics = append(a.Topics, t)
		}
		t := &a.Topics[len(a.Topics)-1]
		t.Partitions = append(t.Partitions, p.Number)
	}
	return a.AppendTo(nil)
}

func decodeAssignment(data []byte) (given []stream.Partition, rows []shareRow, err error) {
	if len(data) == 0 { // what Kafka has for a member that the leader did not name
		return nil, nil, nil
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(data); err != nil {
		return nil, nil, fmt.Errorf("read assignment: %w", err)
	}
	for _, t := range a.Topics {
		for _, n := range t.Partitions {
			given = append(given, stream.Partition{Topic: t.Topic, Number: n})
		}
	}
	r, err := unpack(a.UserData)
	if err != nil {
		return nil, nil, fmt.Errorf("read assignment: %w", err)
	}
	for range r.length(14) {
		var row shareRow
		row.ID, row.Instance, row.Host, row.Settings = r.text(), r.text(), r.text(), r.text()
		row.Partitions, row.pending = int(r.bounded()), int(r.bounded())
		row.stamp = r.stamp()
		rows = append(rows, row)
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("read assignment: %w", r.err)
	}
	return given, rows, nil
}

// shareWriter is user data in the making.
type shareWriter []byte

func (w *shareWriter) text(s string) {
	*w = append(binary.AppendUvarint(*w, uint64(len(s))), s...)
}

func (w *shareWriter) numbers(list []uint64) {
	*w = binary.AppendUvarint(*w, uint64(len(list)))
	for _, n := range list {
		*w = binary.AppendUvarint(*w, n)
	}
}

func (w *shareWriter) pack() []byte {
	var out bytes.Buffer
	out.WriteByte(shareVersion)
	z, _ := flate.NewWriter(&out, flate.DefaultCompression) // only an unknown level is an error
	_, _ = z.Write(*w)                                      // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

var errCutOff = errors.New("user data is cut off or too large")

// shareReader reads user data; after the first error it reads zeros.
type shareReader struct {
	rest []byte
	err  error
}

func unpack(data []byte) (*shareReader, error) {
	if len(data) == 0 {
		return nil, errors.New("there is no user data")
	}
	if data[0] != shareVersion {
		return nil, fmt.Errorf("user data has version %d, this program knows %d", data[0], shareVersion)
	}
	rest, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), shareBytesMost+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack user data: %w", err)
	case len(rest) > shareBytesMost:
		return nil, errCutOff
	}
	return &shareReader{rest: rest}, nil
}

func (r *shareReader) fail() { r.rest, r.err = nil, errCutOff }

func (r *shareReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *shareReader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// bounded is a count or number of partitions.
func (r *shareReader) bounded() int32 {
	n := r.number()
	if n > shareNumberMost {
		r.fail()
		return 0
	}
	return int32(n)
}

// length is that of a list whose elements have so many bytes at least.
func (r *shareReader) length(least int) int {
	n := r.number()
	if n > uint64(len(r.rest)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *shareReader) text() string {
	n := r.length(1)
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

func (r *shareReader) octet() byte {
	if len(r.rest) < 1 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *shareReader) stamp() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}
