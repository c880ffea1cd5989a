package offsetsync

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

type pair struct {
	up   stream.Upstream
	down stream.Downstream
}

// randomSteps builds steps of all forms, and lists every record.
func randomSteps(rnd *rand.Rand, up stream.Upstream, down stream.Downstream) (*builder, []pair) {
	b, records := &builder{}, []pair(nil)
	take := func(s step) {
		b.add(s, 1)
		up, down = up+stream.Upstream(s.hole), down+stream.Downstream(s.foreign)
		for range s.count {
			records = append(records, pair{up, down})
			up, down = up+1, down+1
		}
	}
	take(step{count: rnd.Int64N(20)})
	for range rnd.IntN(12) {
		s := step{count: rnd.Int64N(30)}
		switch rnd.IntN(4) {
		case 0:
			s.foreign = rnd.Int64N(200)
		case 1:
			s.hole = rnd.Int64N(200)
		default:
			s.hole = rnd.Int64N(10)
		}
		for range []int{1, 1, 2, 3, 62, 63, 64, 65, 66, 67, 300}[rnd.IntN(11)] {
			take(s)
		}
	}
	return b, records
}

func TestStepsAgainstEveryRecord(t *testing.T) {
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		up, down := stream.Upstream(rnd.Int64N(100)), stream.Downstream(rnd.Int64N(100))
		b, records := randomSteps(rnd, up, down)
		ops := b.bytes()
		again, err := rebuild(ops, up, down)
		if err != nil || !bytes.Equal(again.bytes(), ops) {
			t.Fatalf("seed %d: %x became %x (%v)", seed, ops, again.bytes(), err)
		}
		all := walk(ops, up, down)
		all.check = true
		if runsIn(all); all.err != nil {
			t.Fatalf("seed %d: %v", seed, all.err)
		}
		for range 200 {
			probe := rnd.Int64N(int64(max(all.up, stream.Upstream(all.down))) + 3)
			i := slices.IndexFunc(records, func(r pair) bool { return r.up >= stream.Upstream(probe) })
			if u, d, ok := firstFrom(walk(ops, up, down), stream.Upstream(probe)); ok != (i >= 0) || ok && records[i] != (pair{u, d}) {
				t.Fatalf("seed %d: from %d on: %d at %d (%v)", seed, probe, u, d, ok)
			}
			j := slices.IndexFunc(records, func(r pair) bool { return r.down >= stream.Downstream(probe) })
			if u, d, ok := firstAt(walk(ops, up, down), stream.Downstream(probe)); ok != (j >= 0) || ok && records[j] != (pair{u, d}) {
				t.Fatalf("seed %d: at %d: %d at %d (%v)", seed, probe, u, d, ok)
			}
			cut, endUp, endDown := below(walk(ops, up, down), stream.Downstream(probe))
			c := walk(cut.bytes(), up, down)
			runsIn(c)
			if c.up != endUp || c.down != endDown || int64(endDown) > max(probe, int64(down)) {
				t.Fatalf("seed %d: cut at %d ends at %d at %d, and says %d at %d", seed, probe, c.up, c.down, endUp, endDown)
			}
			kept := len(records)
			if j >= 0 {
				kept = j
			}
			for k, r := range records {
				u, d, ok := firstFrom(walk(cut.bytes(), up, down), r.up)
				if k < kept && (!ok || r != pair{u, d}) || k == kept && ok {
					t.Fatalf("seed %d: cut at %d, record %d of %d: %d at %d %v", seed, probe, k, kept, u, d, ok)
				}
				if k > kept || k > 300 {
					break
				}
			}
		}
	}
}

// A run costs what the comment over the format says.
func TestStepBytes(t *testing.T) {
	for _, c := range []struct {
		story string
		steps []step
		times int64
		want  []byte
	}{
		{"one run", []step{{count: 100}}, 1, []byte{0xc0, 0, 100}},
		{"a place", []step{{}}, 1, []byte{0xc0, 0, 0}},
		{"equal transactions", []step{{count: 1}, {hole: 1, count: 1}}, 63, []byte{0xc0, 0, 1, 0x00, 0xbd}},
		{"one more", []step{{count: 1}, {hole: 1, count: 1}}, 64, []byte{0xc0, 0, 1, 0x00, 0xbe}},
		{"and more", []step{{count: 1}, {hole: 1, count: 1}}, 65, []byte{0xc0, 0, 1, 0x00, 0xbf, 0}},
		{"a million", []step{{count: 1}, {hole: 1, count: 1}}, 1_000_001, []byte{0xc0, 0, 1, 0x00, 0xbf, 0x80, 0x84, 0x3d}},
		{"short holes", []step{{count: 1}, {hole: 8, count: 16}}, 1, []byte{0xc0, 0, 1, 0x7f}},
		{"a longer one", []step{{count: 1}, {hole: 9, count: 16}}, 1, []byte{0xc0, 0, 1, 0xc0, 9, 16}},
		{"foreign records", []step{{count: 1}, {foreign: 300, count: 2}}, 1, []byte{0xc0, 0, 1, 0xc1, 0xac, 2, 2}},
	} {
		b := &builder{}
		for i, s := range c.steps {
			n := int64(1)
			if i == len(c.steps)-1 {
				n = c.times
			}
			for range n {
				b.add(s, 1)
			}
		}
		if got := b.bytes(); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % x, want % x", c.story, got, c.want)
		}
	}
}

func TestSegmentRecord(t *testing.T) {
	m := NewMap(0, &log{})
	acks(m, first, run(1000, 700, 5), run(1006, 705, 1))
	settle(m, first, 1009, 706)
	records := m.Changed()
	key := "\x01M\x00\x08A.orders\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x02\xbc"
	value := "\x01\x01" + "\x01" + strings.Repeat("\x00", 15) + "\xe8\x07" + "\x02" + "\xc0\x00\x05\x00"
	if len(records) != 1 || string(records[0].Key) != key || string(records[0].Value) != value {
		t.Fatalf("records %x %x\nwant %x %x", records[0].Key, records[0].Value, key, value)
	}
	for _, c := range []struct {
		story      string
		key, value string
		newer      bool
	}{
		{"key of a newer version", "\x02" + key[1:], value, true},
		{"value of a newer version", key, "\x02" + value[1:], true},
		{"key cut off", key[:len(key)-1], value, false},
		{"key too long", key + "x", value, false},
		{"key of two bytes", key[:2], value, false},
		{"negative offset", key[:len(key)-8] + "\xff" + key[len(key)-7:], value, false},
		{"no value", key, "", false},
		{"unknown flag", key, "\x01\x09" + value[2:], false},
		{"topic id cut off", key, value[:10], false},
		{"no steps", key, value[:21], false},
		{"unknown step", key, value + "\xc2", false},
		{"step cut off", key, value + "\xc0\x01", false},
		{"nothing to repeat", key, value[:21] + "\x80", false},
		{"beyond the largest offset", key, value + "\xc0\x00" + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", false},
		{"repeated beyond it", key, value + "\xbf" + "\xff\xff\xff\xff\xff\xff\xff\xff\x3f", false},
		{"larger than any", key, value + strings.Repeat("\x00", segmentLimit), false},
	} {
		err := NewMap(0, &log{}).Load(stream.Record{Key: []byte(c.key), Value: []byte(c.value)})
		if err == nil || errors.Is(err, ErrNewer) != c.newer {
			t.Errorf("%s: error %v", c.story, err)
		}
	}
	for _, other := range []string{"", "\x01", "\x01P", "\x02P"} {
		if err := NewMap(0, &log{}).Load(stream.Record{Key: []byte(other), Value: []byte("x")}); err != nil {
			t.Errorf("record of another kind %x: %v", other, err)
		}
	}
}

// A process that dies between two appends leaves segments that overlap: the later record counts.
func TestOverlap(t *testing.T) {
	topic := &log{}
	m := NewMap(0, topic)
	acks(m, first, run(0, 0, 10), run(20, 18, 10), run(40, 36, 10))
	before := m.Changed()
	topic.append(before)
	m.Stored(before)
	if err := m.Fill(t.Context(), m.Gaps()[0], []stream.Run{run(12, 10, 8)}, false); err != nil {
		t.Fatal(err)
	}
	records := m.Changed()
	topic.append(records[1:]) // all but the tombstone
	m = NewMap(0, topic)
	for _, r := range topic.records {
		if err := m.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	if s := m.Size(); s.Segments != 2 || s.Runs != 3 {
		t.Errorf("loaded %+v", s)
	}
	if again := m.Changed(); len(again) != 1 || again[0].Value != nil || !bytes.Equal(again[0].Key, records[0].Key) {
		t.Errorf("to append: %v, want the tombstone", again)
	}
}

func FuzzLoad(f *testing.F) {
	m := NewMap(0, &log{})
	acks(m, first, run(1000, 700, 5), run(1006, 705, 1), run(1008, 706, 1), run(1009, 800, 40), run(2000, 900, 3))
	for _, r := range m.Changed() {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		topic := &log{}
		topic.append([]stream.Record{{Key: key, Value: value}})
		m := NewMap(1000, topic)
		if err := m.Load(topic.records[0]); err != nil || m.Size().Segments == 0 {
			return
		}
		for remote, p := range m.partitions {
			s := p.segs[0]
			for _, up := range []stream.Upstream{s.up - 1, s.up, (s.up + s.endUp) / 2, s.endUp} {
				got, err := m.Translate(t.Context(), remote, up)
				if err != nil || got.Offset > s.endDown {
					t.Errorf("%d is %+v %v", up, got, err)
				}
			}
			for _, down := range []stream.Downstream{s.down, (s.down + s.endDown) / 2, s.endDown} {
				if got, err := m.Return(t.Context(), remote, down); err != nil || got.Offset > s.endUp {
					t.Errorf("%d is %+v %v", down, got, err)
				}
			}
			// As it grows it is written anew, and says the same.
			if s.endUp > 1<<62 || s.endDown > 1<<62 {
				continue
			}
			p.append(s.topic, stream.Run{Up: s.endUp, Down: s.endDown, Count: 1})
			m.changed(p)
			for _, r := range m.Changed() {
				if err := NewMap(0, topic).Load(r); err != nil {
					t.Errorf("written again: %v", err)
				}
			}
		}
	})
}
