package drill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// life is a topic whose partitions have chunks, each given as first offset, next offset and records.
func life(name string, parts ...[][3]int64) catalog.Life {
	l := catalog.Life{Topic: bundle.Topic{Name: name}, Partitions: int32(len(parts))}
	for n, chunks := range parts {
		p := catalog.Part{Number: int32(n)}
		for _, c := range chunks {
			e := &bundle.Entry{First: stream.Upstream(c[0]), Next: stream.Upstream(c[1]), Records: c[2], Batches: 1, Plain: c[2] * 100}
			p.Stretches = append(p.Stretches, catalog.Stretch{Entry: e, From: e.First, To: e.Next})
		}
		l.Parts = append(l.Parts, p)
	}
	return l
}

func TestChooseEachTopicFirst(t *testing.T) {
	lives := []catalog.Life{
		life("wide", slices.Repeat([][][3]int64{{{0, 100, 100}}}, 20)...), life("one", [][3]int64{{0, 10, 10}}),
		life("other", [][3]int64{{5, 9, 4}}), life("empty", [][3]int64{{0, 50, 0}}), life("nothing"),
	}
	for seed := range uint64(50) {
		chosen := Choose(rand.New(rand.NewPCG(seed, 0)), lives, Bounds{Partitions: 5, Records: 30, Bytes: 1 << 20})
		if len(chosen) != 5 {
			t.Fatalf("seed %d: %v", seed, chosen)
		}
		names, partitions := make(map[string]int), make(map[stream.Partition]bool)
		for _, s := range chosen {
			names[s.Topic]++
			partitions[s.Partition] = true
		}
		if names["one"] != 1 || names["other"] != 1 || names["wide"] != 3 || len(partitions) != 5 {
			t.Errorf("seed %d: %v", seed, chosen)
		}
		again := Choose(rand.New(rand.NewPCG(seed, 0)), lives, Bounds{Partitions: 5, Records: 30, Bytes: 1 << 20})
		if !slices.Equal(chosen, again) {
			t.Errorf("seed %d: %v, then %v", seed, chosen, again)
		}
	}
}

// A stretch lies where there are chunks, has about as many records as it may, and one at least.
func TestStretches(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var chunks [][3]int64
		at := draw.Int64N(100)
		for range 1 + draw.IntN(6) {
			n := 1 + draw.Int64N(200)
			records := n
			if draw.IntN(2) == 0 {
				records = draw.Int64N(n + 1)
			}
			chunks = append(chunks, [3]int64{at, at + n, records})
			at += n
			if draw.IntN(4) == 0 {
				at += draw.Int64N(50) // a hole
			}
		}
		b := Bounds{Partitions: 1, Records: 1 + draw.Int64N(100), Bytes: 1 + draw.Int64N(5000)}
		below := int64(-1)
		if draw.IntN(2) == 0 {
			below = draw.Int64N(at + 1)
			b.Below = func(stream.Partition) (stream.Upstream, bool) { return stream.Upstream(below), true }
		}
		for _, s := range Choose(draw, []catalog.Life{life("t", chunks)}, b) {
			first, next := chunks[0][0], chunks[len(chunks)-1][1]
			if below > first {
				next = min(next, below)
			}
			if int64(s.From) < first || int64(s.End) > next || s.From >= s.End {
				t.Fatalf("%v of %v below %d", s, chunks, below)
			}
			records := 0.0
			for _, c := range chunks {
				if inside := min(c[1], int64(s.End)) - max(c[0], int64(s.From)); inside > 0 {
					records += float64(inside) * float64(c[2]) / float64(c[1]-c[0])
				}
			}
			if records > float64(b.Records)+1.001 {
				t.Fatalf("%v has %v records, and may have %d of %v", s, records, b.Records, chunks)
			}
			if s.Place == Oldest && !slices.ContainsFunc(chunks, func(c [3]int64) bool { return c[2] > 0 && c[0] == int64(s.From) }) {
				t.Fatalf("%v does not begin with a chunk of %v", s, chunks)
			}
		}
	}
}

func records(offsets ...int64) (all []Record) {
	for _, o := range offsets {
		all = append(all, Record{Offset: o, Timestamp: o, Key: uint64(o), Keyed: true, Value: uint64(o)})
	}
	return all
}

// shifted is another side whose offsets are by 100 behind, and lie without holes.
func shifted(archived []Record, there []Record) Other {
	o := Other{Records: there, LogStart: 100, End: 100 + int64(len(archived)), Hole: func(int64) bool { return false }}
	o.Expected = func(up int64) (int64, bool) {
		i := slices.IndexFunc(archived, func(r Record) bool { return r.Offset == up })
		return 100 + int64(i), i >= 0
	}
	o.Source = func(at int64) (int64, bool) {
		if i := at - 100; i >= 0 && i < int64(len(archived)) {
			return archived[i].Offset, true
		}
		return 0, false
	}
	return o
}

func copies(archived []Record) (all []Record) {
	for i, r := range archived {
		r.Offset = 100 + int64(i)
		all = append(all, r)
	}
	return all
}

func TestCompare(t *testing.T) {
	archived := records(1, 2, 5, 6, 9)
	for _, c := range []struct {
		name  string
		spoil func(archived []Record, o *Other)
		want  Counts
		lacks int
		says  []string
	}{
		{"equal", func([]Record, *Other) {}, Counts{Compared: 5}, 0, nil},
		{"another value", func(_ []Record, o *Other) { o.Records[2].Value++ }, Counts{Compared: 4}, 0, []string{"source offset 5, offset 102 there: value differs"}},
		{"null is not empty", func(_ []Record, o *Other) { o.Records[0].Tombstone = true }, Counts{Compared: 4}, 0, []string{"value differs"}},
		{"another key", func(_ []Record, o *Other) { o.Records[4].Key++ }, Counts{Compared: 4}, 0, []string{"key differs"}},
		{"another header", func(_ []Record, o *Other) { o.Records[4].Headers++ }, Counts{Compared: 4}, 0, []string{"headers differs"}},
		{"another time", func(_ []Record, o *Other) { o.Records[0].Timestamp++ }, Counts{Compared: 4}, 0, []string{"timestamp differs"}},
		{"times of its own", func(_ []Record, o *Other) { o.Records[0].Timestamp++; o.AppendTime = true }, Counts{Compared: 5}, 0, nil},
		{"one is missing", func(_ []Record, o *Other) { o.Records = slices.Delete(o.Records, 1, 2) }, Counts{Compared: 4}, 0, []string{"offset 101 there: the record is missing"}},
		{"the end is missing", func(_ []Record, o *Other) { o.Records = o.Records[:4]; o.End = 104 }, Counts{Compared: 4}, 0, []string{"the log ends at 104"}},
		{"retention", func(_ []Record, o *Other) { o.Records = o.Records[2:]; o.LogStart = 102 }, Counts{Compared: 3, Expired: 2}, 0, nil},
		{"a cleaner", func(_ []Record, o *Other) { o.Records = slices.Delete(o.Records, 1, 3); o.Compacted = true }, Counts{Compared: 3}, 2, nil},
		{"a foreign record", func(_ []Record, o *Other) { o.Records = append(o.Records, Record{Offset: 300}) }, Counts{Compared: 5}, 0, []string{"offset 300 there: a record that the source does not have"}},
		{"an aborted one", func(a []Record, o *Other) {
			a[3].Unwanted = true
			o.Records = slices.Delete(o.Records, 3, 4)
		}, Counts{Compared: 4, Unwanted: 1}, 0, nil},
		{"an aborted one that is there", func(a []Record, o *Other) { a[3].Unwanted, o.Uncommitted = true, true }, Counts{Compared: 5}, 0, nil},
		{"an aborted one that ought to be there", func(a []Record, o *Other) {
			a[3].Unwanted, o.Uncommitted = true, true
			o.Records = slices.Delete(o.Records, 3, 4)
		}, Counts{Compared: 4}, 0, []string{"source offset 6, offset 103 there: the record is missing"}},
		{"never copied", func(_ []Record, o *Other) {
			o.Expected = func(int64) (int64, bool) { return 0, false }
			o.Records = nil
		}, Counts{}, 0, slices.Repeat([]string{"never copied"}, 5)},
		{"of the other cluster", func(_ []Record, o *Other) {
			o.Expected = func(int64) (int64, bool) { return 0, false }
			o.Records, o.Skips = nil, true
		}, Counts{Skipped: 5}, 0, nil},
		{"more than is archived", func(_ []Record, o *Other) {
			o.Source = func(at int64) (int64, bool) { return at - 100, true }
		}, Counts{Compared: 5}, 0, []string{"source offset 0, offset 100 there: the record is not in the archive", "source offset 3", "source offset 4"}},
		{"in a known hole", func(_ []Record, o *Other) {
			o.Source = func(at int64) (int64, bool) { return at - 100, true }
			o.Hole = func(at int64) bool { return at == 0 || at == 3 || at == 4 }
		}, Counts{Compared: 5, Unarchived: 3}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := slices.Clone(archived)
			o := shifted(a, copies(a))
			c.spoil(a, &o)
			counts, differences, lacking := Compare(a, o)
			if counts != c.want || len(lacking) != c.lacks || len(differences) != len(c.says) {
				t.Fatalf("%+v, lacking %v, %q", counts, lacking, differences)
			}
			for i, d := range differences {
				if !strings.Contains(d.String(), c.says[i]) {
					t.Errorf("%q does not say %q", d, c.says[i])
				}
			}
		})
	}
}

func TestSuperseded(t *testing.T) {
	archived := records(1, 2, 3, 4)
	archived[1].Tombstone = true
	expected := func(up int64) (int64, bool) { return up + 100, true }
	later := map[uint64]int64{1: 9, 3: 3}
	removed, missing := Superseded(archived, []int{0, 1, 2, 3}, later, true, expected)
	if removed != 2 || len(missing) != 2 || missing[0].Source != 3 || missing[0].There != 103 || missing[1].Source != 4 {
		t.Errorf("%d removed, %v missing", removed, missing)
	}
	if removed, missing = Superseded(archived, []int{0, 1, 2, 3}, later, false, expected); removed != 4 || missing != nil {
		t.Errorf("%d removed, %v missing", removed, missing)
	}
}

func TestRestored(t *testing.T) {
	archived := records(10, 11, 12, 13)
	archived[1].Unwanted = true
	good := []Record{archived[0], archived[2], archived[3]}
	for i := range good {
		good[i].Offset = int64(i)
	}
	changed := slices.Clone(good)
	changed[1].Key++
	for name, c := range map[string]struct {
		restored []Record
		equal    int64
		says     string
	}{
		"equal":     {good, 3, "[]"},
		"changed":   {changed, 2, "[source offset 12, offset 1 there: key of the restored record differs]"},
		"too few":   {good[:2], 2, "[source offset 13: the record was not restored]"},
		"too many":  {append(slices.Clone(good), Record{Offset: 3}), 3, "[offset 3 there: a record was restored that is not archived]"},
		"an abort?": {[]Record{good[0], {Offset: 1, Timestamp: 11, Key: 11, Keyed: true, Value: 11}, good[1], good[2]}, 1, ""},
	} {
		if n, all := Restored(archived, c.restored); n != c.equal || c.says != "" && fmt.Sprint(all) != c.says {
			t.Errorf("%s: %d equal, %v", name, n, all)
		}
	}
}

func TestNames(t *testing.T) {
	deadline := time.Date(2026, 11, 20, 3, 5, 0, 0, time.UTC)
	r := Run{Deadline: deadline, Host: "here", PID: 42}
	name := r.Name(7, strings.Repeat("orders", 60))
	if len(name) != 249 || !strings.HasPrefix(name, "__tandem-drill.20261120T030500Z-") || !strings.Contains(name, "-42.7.orders") {
		t.Fatal(name)
	}
	dead, living := func(int) bool { return false }, func(pid int) bool { return pid == 42 }
	for _, c := range []struct {
		by    Run
		topic string
		at    time.Duration
		alive func(int) bool
		left  bool
	}{
		{Run{Host: "here", PID: 43}, name, -time.Minute, living, false},
		{Run{Host: "here", PID: 43}, name, -time.Minute, dead, true},
		{Run{Host: "here", PID: 42}, name, -time.Minute, living, true}, // nobody but us has that id
		{Run{Host: "there", PID: 42}, name, -time.Minute, dead, false}, // who knows
		{Run{Host: "there", PID: 42}, name, time.Minute, dead, false},
		{Run{Host: "there", PID: 42}, name, 3 * time.Minute, living, true},
		{Run{Host: "here", PID: 43}, "orders", time.Hour, dead, false},
		{Run{Host: "here", PID: 43}, Prefix + "orders", time.Hour, dead, false},
		{Run{Host: "here", PID: 43}, Prefix + "yesterday-0-1.0.orders", time.Hour, dead, false},
	} {
		if left := c.by.Left(c.topic, deadline.Add(c.at), c.alive); left != c.left {
			t.Errorf("%+v of %.60s at %s: %v", c.by, c.topic, c.at, left)
		}
	}
}
