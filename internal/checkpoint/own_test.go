package checkpoint

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

func ms(n int64) time.Time { return time.UnixMilli(n) }

func TestEndsBytes(t *testing.T) {
	r, err := encodeEnds("orders", map[int32]stream.SourceEnd{
		0: {End: 1000, Acked: 990, Newest: ms(1700000000000 - 5), At: ms(1700000000000)},
		1: {End: 0, Acked: 0, At: ms(1700000000001)},
		4: {End: 7, Acked: 7, Newest: ms(1700000000002), At: ms(1700000000001)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(r.Key), "01"+"45"+"0006"+"6f7264657273"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	want := "01" + "03" + // version, partitions
		"00" + "d00f" + "14" + "80a0abfef962" + "01" + "0a" + // 0: end 1000, 10 missing, 1700000000000, 5 ms before
		"00" + "00" + "00" + "02" + "00" + // 1: empty, 1 ms later, newest unknown
		"02" + "0e" + "00" + "00" + "01" + "01" // 4: end 7, all there, at the same time, stamped 1 ms later
	if got := hex.EncodeToString(r.Value); got != want {
		t.Errorf("value %s, want %s", got, want)
	}
}

func TestGroupBytes(t *testing.T) {
	r, err := encodeGroup(stream.GroupOffsets{Group: "g1", At: ms(1000), Offsets: map[stream.Partition]stream.Committed{
		at("b", 2): {Offset: 100}, at("a", 5): {Offset: 0, Metadata: "hi"}, at("b", 0): {Offset: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(r.Key), "01"+"47"+"0002"+"6731"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	want := "01" + "d00f" + "02" + // version, 1000 ms, topics
		"000161" + "01" + "05" + "00" + "02" + "6869" +
		"000162" + "02" + "00" + "06" + "00" + "01" + "c801" + "00"
	if got := hex.EncodeToString(r.Value); got != want {
		t.Errorf("value %s, want %s", got, want)
	}
}

func randomEnds(rng *rand.Rand) map[int32]stream.SourceEnd {
	ends := map[int32]stream.SourceEnd{}
	for range rng.IntN(20) {
		e := stream.SourceEnd{End: stream.Upstream(rng.Int64N(1 << rng.IntN(62))), At: ms(rng.Int64N(1 << 50))}
		e.Acked = stream.Upstream(rng.Int64N(1 << 40))
		if rng.IntN(3) > 0 {
			e.Newest = ms(rng.Int64N(1<<50) - 1000)
		}
		ends[rng.Int32()>>rng.IntN(31)] = e
	}
	return ends
}

func sameEnds(a, b map[int32]stream.SourceEnd) bool {
	return maps.EqualFunc(a, b, func(a, b stream.SourceEnd) bool {
		return a.End == b.End && a.Acked == b.Acked && a.Newest.Equal(b.Newest) && a.At.Equal(b.At)
	})
}

func TestOwnRecordsKeepWhatIsInThem(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	known := NewKnown()
	wantEnds, wantGroups := map[string]map[int32]stream.SourceEnd{}, map[string]map[stream.Partition]stream.Committed{}
	names := []string{"", "a", "orders", strings.Repeat("n", 249), "Ärger"}
	take := func(r stream.Record, err error) {
		t.Helper()
		if err == nil {
			err = known.TakeTandem(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		name := names[rng.IntN(len(names))]
		switch rng.IntN(5) {
		case 0, 1:
			wantEnds[name] = randomEnds(rng)
			take(encodeEnds(name, wantEnds[name]))
		case 2, 3:
			g := stream.GroupOffsets{Group: name, At: ms(rng.Int64N(1 << 50)), Offsets: map[stream.Partition]stream.Committed{}}
			for range rng.IntN(20) {
				p := at(names[rng.IntN(len(names))], rng.Int32()>>rng.IntN(31))
				g.Offsets[p] = stream.Committed{Offset: rng.Int64N(1 << 62), Metadata: names[rng.IntN(len(names))]}
			}
			wantGroups[name] = g.Offsets
			take(encodeGroup(g))
			if got := known.Groups[name]; got.Group != name || !got.At.Equal(g.At) {
				t.Fatalf("%+v", got)
			}
		case 4:
			delete(wantGroups, name)
			take(stream.Record{Key: tandemKey(stream.KindGroup, name)}, nil)
			delete(wantEnds, name)
			take(stream.Record{Key: tandemKey(stream.KindEnds, name)}, nil)
		}
		if len(known.Groups) != len(wantGroups) || len(known.ends) != len(wantEnds) {
			t.Fatal("something is there that was taken back, or not there")
		}
		for name, want := range wantGroups {
			if got := known.Groups[name]; !maps.Equal(got.Offsets, want) {
				t.Fatalf("group %q: got %v, want %v", name, got, want)
			}
		}
		for name, want := range wantEnds {
			if !sameEnds(known.ends[name], want) {
				t.Fatalf("topic %q: got %v, want %v", name, known.ends[name], want)
			}
		}
	}
}

func TestOwnRecordsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		story, key, value string
		want              error
	}{
		{"an end of a newer Tandem", "0145 0001 61", "02 00", errVersion},
		{"a key of a newer Tandem", "0245 0001 61", "01 00", errVersion},
		{"more partitions than bytes", "0145 0001 61", "01 ffffffff7f", errShort},
		{"the largest number of partitions", "0145 0001 61", "01 ffffffffffffffffff01", errShort},
		{"a value that ends early", "0145 0001 61", "01 01 00 00 00 00", errShort},
		{"a value that goes on", "0145 0001 61", "01 00 00", errBytes},
		{"a key that goes on", "0145 0001 61 00", "01 00", errBytes},
		{"a key that ends early", "0145 0002 61", "01 00", errShort},
		{"no value at all", "0147 0001 61", "", errShort},
		{"more topics than bytes", "0147 0001 61", "01 00 ffff03", errShort},
		{"more metadata than bytes", "0147 0001 61", "01 00 01 000161 01 00 00 ffff03", errShort},
	} {
		k := NewKnown()
		good, _ := encodeEnds("a", map[int32]stream.SourceEnd{1: {End: 5, Acked: 5, At: ms(1)}})
		if err := k.TakeTandem(good); err != nil {
			t.Fatal(err)
		}
		err := k.TakeTandem(stream.Record{Offset: 17, Key: unhex(t, c.key), Value: unhex(t, c.value)})
		if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "record at offset 17: ") {
			t.Errorf("%s: %v", c.story, err)
		}
		if len(k.Ends()) != 1 || k.Ends()[at("a", 1)].End != 5 {
			t.Errorf("%s: what was known is lost", c.story)
		}
	}
	k := NewKnown()
	for _, key := range []string{"", "01", "0150", "014d 0001 61", "0241 0001 61"} { // other kinds, foreign keys
		if err := k.TakeTandem(stream.Record{Key: unhex(t, key)}); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// A record must fit into a topic that has max.message.bytes at its default, whatever clients put into their metadata.
func TestGroupWithMuchMetadata(t *testing.T) {
	g := stream.GroupOffsets{Group: "g", Offsets: map[stream.Partition]stream.Committed{}}
	for i := range int32(300) {
		g.Offsets[at("orders", i)] = stream.Committed{Offset: math.MaxInt64, Metadata: strings.Repeat("m", 4096)}
	}
	r, err := encodeGroup(g)
	if err != nil || len(r.Value) > 1<<20 {
		t.Fatalf("%d bytes, %v", len(r.Value), err)
	}
	got, err := decodeGroup("g", r.Value)
	if err != nil || len(got.Offsets) != 300 || got.Offsets[at("orders", 299)] != (stream.Committed{Offset: math.MaxInt64}) {
		t.Errorf("%d offsets, %v", len(got.Offsets), err)
	}
}

func FuzzEnds(f *testing.F) {
	r, _ := encodeEnds("t", randomEnds(rand.New(rand.NewPCG(3, 4))))
	f.Add(r.Value)
	f.Fuzz(func(t *testing.T, value []byte) {
		ends, err := decodeEnds(value)
		if err != nil {
			return
		}
		r, err := encodeEnds("t", ends)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeEnds(r.Value); err != nil || !sameEnds(ends, again) {
			t.Errorf("%v became %v, %v", ends, again, err)
		}
	})
}

func FuzzGroup(f *testing.F) {
	f.Add([]byte("\x01\x00\x01\x00\x01a\x01\x00\x00\x01m"))
	f.Fuzz(func(t *testing.T, value []byte) {
		g, err := decodeGroup("g", value)
		if err != nil || len(value) > mostValue/20 {
			return
		}
		r, err := encodeGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeGroup("g", r.Value)
		if err != nil || !maps.Equal(again.Offsets, g.Offsets) || !again.At.Equal(g.At) {
			t.Errorf("%v became %v, %v", g, again, err)
		}
	})
}

func TestEndsWritesOnlyChanges(t *testing.T) {
	now := ms(1700000000000)
	standings := map[stream.Partition]stream.SourceEnd{
		at("orders", 0): {End: 10, Acked: 10, At: now}, at("orders", 1): {End: 20, Acked: 15, At: now}, at("pay", 0): {End: 5, Acked: 5, At: now},
	}
	known, e := NewKnown(), NewEnds(nil)
	topicsOf := func(store bool) string {
		t.Helper()
		records, err := e.Records(standings)
		if err != nil {
			t.Fatal(err)
		}
		var topics []string
		for _, r := range records {
			topics = append(topics, string(r.Key[4:]))
			if store {
				if err := known.TakeTandem(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if store {
			e.Stored()
		}
		return strings.Join(topics, " ")
	}
	later := func(d time.Duration) {
		for p, s := range standings {
			s.At = s.At.Add(d)
			standings[p] = s
		}
	}
	set := func(p stream.Partition, s stream.SourceEnd) { standings[p] = s }
	end := now.Add(time.Second)
	for _, c := range []struct {
		story  string
		before func()
		store  bool
		want   string
	}{
		{"everything is new", func() {}, false, "orders pay"},
		{"nothing was stored", func() {}, true, "orders pay"},
		{"nothing changed", func() {}, true, ""},
		{"only time went by", func() { later(time.Second) }, true, ""},
		{"one topic has grown", func() { set(at("pay", 0), stream.SourceEnd{End: 6, Acked: 5, At: end}) }, true, "pay"},
		{"and caught up", func() { set(at("pay", 0), stream.SourceEnd{End: 6, Acked: 6, Newest: end, At: end}) }, true, "pay"},
		{"a partition is told by someone else now", func() { delete(standings, at("orders", 0)) }, true, ""},
		{"the other one moves", func() { set(at("orders", 1), stream.SourceEnd{End: 21, Acked: 15, At: end}) }, true, "orders"},
		{"a minute later all times are stale", func() { later(time.Minute) }, true, "orders pay"},
		{"a process that starts knows what is stored", func() { e = NewEnds(known) }, true, ""},
	} {
		c.before()
		if got := topicsOf(c.store); got != c.want {
			t.Errorf("%s: got %q, want %q", c.story, got, c.want)
		}
	}
	ends := known.Ends()
	if len(ends) != 3 || ends[at("orders", 0)].End != 10 || ends[at("orders", 1)].End != 21 || !ends[at("pay", 0)].Newest.Equal(end) {
		t.Errorf("%+v", ends)
	}
	if !bytes.Equal(tandemKey(stream.KindEnds, "x"), []byte{1, 'E', 0, 1, 'x'}) {
		t.Error("key")
	}
}
