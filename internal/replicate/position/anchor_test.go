package position

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

const anchors = "mm2-tandem.primary.internal"

var (
	remote = part("primary.orders", 3)
	anchor = Anchor{Source: stream.TopicID{0: 0xaa, 15: 0xbb}, NextUp: 1000, NextSequence: 77, NextDown: 990, LeaderEpoch: 5}
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnchorBytes(t *testing.T) {
	for _, c := range []struct {
		story      string
		got        stream.Record
		key, value string
	}{
		{"a producer", encodeProducer(Producer{ID: 4001, Epoch: 2}), "01 50", "01 0000000000000fa1 0002"},
		{"an origin", encodeOrigin(4001), "01 4f 0000000000000fa1", "01"},
		{"an anchor", encodeAnchor(remote, anchor), "01 41 000e 7072696d6172792e6f7264657273 00000003",
			"01 aa0000000000000000000000000000bb 00000000000003e8 0000004d 00000000000003de 00000005"},
		{"what is not known", encodeAnchor(part("t", 0), Anchor{NextDown: -1, LeaderEpoch: -1}), "01 41 0001 74 00000000",
			"01 00000000000000000000000000000000 0000000000000000 00000000 ffffffffffffffff ffffffff"},
	} {
		if !bytes.Equal(c.got.Key, unhex(t, c.key)) || !bytes.Equal(c.got.Value, unhex(t, c.value)) {
			t.Errorf("%s: %x %x, want %s %s", c.story, c.got.Key, c.got.Value, c.key, c.value)
		}
	}
}

func TestLoadAnchors(t *testing.T) {
	older := anchor
	older.NextUp = 500
	producer := encodeProducer(Producer{ID: 4001, Epoch: 2})
	with := func(r stream.Record, change func(*stream.Record)) stream.Record {
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		change(&r)
		return r
	}
	for _, c := range []struct {
		story    string
		records  []stream.Record
		producer *Producer
		origins  []int64
		anchors  map[stream.Partition]Anchor
		bad      error
	}{
		{story: "an empty topic"},
		{story: "the last of each key counts", producer: &Producer{ID: 4001, Epoch: 2}, origins: []int64{1, 4001}, anchors: map[stream.Partition]Anchor{remote: anchor},
			records: []stream.Record{encodeProducer(Producer{ID: 1}), encodeAnchor(remote, older), producer, encodeAnchor(remote, anchor)}},
		{story: "tombstones take back", origins: []int64{4001}, records: []stream.Record{producer, encodeAnchor(remote, anchor),
			{Key: producer.Key}, {Key: encodeAnchor(remote, anchor).Key}}},
		{story: "every id that was ever noted is an origin", producer: &Producer{ID: 4001, Epoch: 2}, origins: []int64{-1 << 40, 7, 4001}, records: []stream.Record{
			encodeOrigin(7), encodeOrigin(9), encodeOrigin(-1 << 40), producer, {Key: encodeOrigin(9).Key}}},
		{story: "an origin of a newer version", bad: errVersion, records: []stream.Record{
			with(encodeOrigin(7), func(r *stream.Record) { r.Value = []byte{version + 1, 5} })}},
		{story: "an origin with more to it", bad: errLength, records: []stream.Record{
			with(encodeOrigin(7), func(r *stream.Record) { r.Value = append(r.Value, 5) })}},
		{story: "an origin's key cut off", bad: errLength, records: []stream.Record{
			with(encodeOrigin(7), func(r *stream.Record) { r.Key = r.Key[:9] })}},
		{story: "records of other kinds are passed over", records: []stream.Record{
			{Key: []byte{version, 'M', 1, 2}, Value: []byte{9}}, {Key: nil, Value: []byte{1}}, {Key: []byte{version}}}},
		{story: "a key of a newer version", bad: errVersion, records: []stream.Record{
			with(producer, func(r *stream.Record) { r.Key[0]++ })}},
		{story: "a producer of a newer version", bad: errVersion, records: []stream.Record{
			with(producer, func(r *stream.Record) { r.Value[0]++ })}},
		{story: "an anchor of a newer version", bad: errVersion, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Value = append([]byte{version + 1}, r.Value...) })}},
		{story: "a producer cut off", bad: errLength, records: []stream.Record{
			with(producer, func(r *stream.Record) { r.Value = r.Value[:10] })}},
		{story: "a producer key with more to it", bad: errLength, records: []stream.Record{
			with(producer, func(r *stream.Record) { r.Key = append(r.Key, 0) })}},
		{story: "an anchor cut off", bad: errLength, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Value = r.Value[:40] })}},
		{story: "an empty value is no tombstone", bad: errLength, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Value = []byte{} })}},
		{story: "an anchor's key cut off", bad: errLength, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Key = r.Key[:len(r.Key)-1] })}},
		{story: "a key without a name", bad: errLength, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Key = r.Key[:3] })}},
		{story: "a name of negative length", bad: errLength, records: []stream.Record{
			with(encodeAnchor(remote, anchor), func(r *stream.Record) { r.Key[2] = 0xff })}},
	} {
		t.Run(c.story, func(t *testing.T) {
			log := newFakeLog()
			for _, r := range c.records {
				log.put(anchors, r)
			}
			got, err := NewAnchorStore(log, anchors, flow).Load(ctx)
			if !errors.Is(err, c.bad) {
				t.Fatalf("error %v, want %v", err, c.bad)
			}
			if err != nil {
				return
			}
			if (got.Producer == nil) != (c.producer == nil) || got.Producer != nil && *got.Producer != *c.producer {
				t.Errorf("producer %v, want %v", got.Producer, c.producer)
			}
			if !slices.Equal(got.Origins, c.origins) {
				t.Errorf("origins %v, want %v", got.Origins, c.origins)
			}
			if !maps.Equal(got.Partitions, c.anchors) {
				t.Errorf("anchors %v, want %v", got.Partitions, c.anchors)
			}
		})
	}
}

func TestAnchorStoreWritesWhatChanged(t *testing.T) {
	log := newFakeLog()
	store := NewAnchorStore(log, anchors, flow)
	_, err := store.Load(ctx)
	check(t, err)
	store.Set(part("primary.orders", 1), anchor)
	store.Set(part("primary.orders", 0), anchor)
	store.SetProducer(Producer{ID: 4001})
	check(t, store.Flush(ctx))
	if kinds := kinds(log); kinds != "O P A0 A1" {
		t.Fatalf("wrote %s; the producer comes first", kinds)
	}

	// A new process finds the same and writes only what moves.
	store = NewAnchorStore(log, anchors, flow)
	found, err := store.Load(ctx)
	check(t, err)
	if found.Producer == nil || found.Producer.ID != 4001 || found.Partitions[part("primary.orders", 1)] != anchor {
		t.Fatalf("found %v %v", found.Producer, found.Partitions)
	}
	store.SetProducer(*found.Producer)
	for p, a := range found.Partitions {
		store.Set(p, a)
	}
	check(t, store.Flush(ctx))
	moved := anchor
	moved.NextSequence++
	store.Set(part("primary.orders", 1), moved)
	store.Set(part("primary.orders", 2), moved)
	store.Forget(part("primary.orders", 2))
	log.fail = map[int]int{len(log.appends): 0}
	if err := store.Flush(ctx); !errors.Is(err, errDown) {
		t.Fatalf("flush while the broker is down: %v", err)
	}
	check(t, store.Flush(ctx))
	check(t, store.Flush(ctx))
	if kinds := kinds(log); kinds != "O P A0 A1 A1" {
		t.Errorf("wrote %s", kinds)
	}
}

// kinds tells the records of the anchors topic by kind and partition.
func kinds(log *fakeLog) string {
	var list []string
	for _, r := range log.topics[anchors] {
		kind := string(r.Key[1])
		if kind == "A" {
			kind += string('0' + rune(r.Key[len(r.Key)-1]))
		}
		list = append(list, kind)
	}
	return strings.Join(list, " ")
}

func FuzzProducer(f *testing.F) {
	r := encodeProducer(Producer{ID: 4001, Epoch: 2})
	f.Add(r.Key, r.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if kind, err := kindOf(key); err != nil || kind != kindProducer {
			return
		}
		p, err := decodeProducer(stream.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		if r := encodeProducer(p); !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) {
			t.Errorf("%x %x became %x %x", key, value, r.Key, r.Value)
		}
	})
}

// TestOriginsOutliveTheirProducer: each id that a flow writes with is noted before it, those of older versions included.
func TestOriginsOutliveTheirProducer(t *testing.T) {
	log := newFakeLog()
	log.put(anchors, encodeProducer(Producer{ID: 1})) // by a version that noted no origins
	store := NewAnchorStore(log, anchors, flow)
	_, err := store.Load(ctx)
	check(t, err)
	store.SetProducer(Producer{ID: 2})
	check(t, store.Flush(ctx))
	check(t, store.Flush(ctx))
	if kinds := kinds(log); kinds != "P O O P" {
		t.Errorf("wrote %s", kinds)
	}
	log.topics[anchors] = log.topics[anchors][1:] // compacted
	found, err := NewAnchorStore(log, anchors, flow).Load(ctx)
	check(t, err)
	if !slices.Equal(found.Origins, []int64{1, 2}) || found.Producer.ID != 2 {
		t.Errorf("found %+v", found)
	}
}

func FuzzOrigin(f *testing.F) {
	r := encodeOrigin(4001)
	f.Add(r.Key, r.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if kind, err := kindOf(key); err != nil || kind != kindOrigin {
			return
		}
		id, err := decodeOriginKey(key)
		if err != nil || checkValue(value, originValueLen) != nil {
			return
		}
		if r := encodeOrigin(id); !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) {
			t.Errorf("%x %x became %x %x", key, value, r.Key, r.Value)
		}
	})
}

func FuzzAnchor(f *testing.F) {
	r := encodeAnchor(remote, anchor)
	f.Add(r.Key, r.Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if kind, err := kindOf(key); err != nil || kind != kindAnchor {
			return
		}
		p, err := decodeAnchorKey(key)
		if err != nil {
			return
		}
		a, err := decodeAnchorValue(value)
		if err != nil {
			return
		}
		r := encodeAnchor(p, a)
		if !slices.Equal(r.Key, key) || !slices.Equal(r.Value, value) {
			t.Errorf("%x %x became %x %x", key, value, r.Key, r.Value)
		}
	})
}
