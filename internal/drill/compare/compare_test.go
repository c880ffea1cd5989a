package compare

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// log is a log in memory.
type log struct {
	records    []Record
	start, end int64
	next       int
}

func (l *log) Start() int64 { return l.start }
func (l *log) End() int64   { return l.end }
func (l *log) Next(context.Context) (Record, bool, error) {
	for l.next < len(l.records) {
		r := l.records[l.next]
		if r.Offset >= l.end {
			break
		}
		l.next++
		if r.Offset >= l.start {
			return r, true, nil
		}
	}
	return Record{}, false, nil
}

// pairs is a map of offsets that knows every pair below its end.
type pairs struct {
	down          map[int64]int64
	up            map[int64]int64
	upEnd, dnEnd  int64
	doubtfulBelow int64
}

func (p pairs) Down(_ context.Context, up int64) (int64, bool, bool, error) {
	if up >= p.upEnd || up < p.doubtfulBelow {
		return -1, false, false, nil
	}
	d, ok := p.down[up]
	return d, ok, true, nil
}

func (p pairs) Up(_ context.Context, down int64) (int64, bool, bool, error) {
	if down >= p.dnEnd {
		return -1, false, true, nil
	}
	u, ok := p.up[down]
	return u, ok, true, nil
}

// scene is ten records of keys a, b, c, copied with holes at the source.
func scene(n int) (source, target *log, places pairs) {
	source, target = &log{}, &log{}
	places = pairs{down: map[int64]int64{}, up: map[int64]int64{}}
	for i := range int64(n) {
		up, down := 100+i+i/4, 7+i // a transaction marker after every fourth
		r := Record{Offset: up, Timestamp: 1000 + i, Key: []byte{'a' + byte(i%3)}, Value: fmt.Append(nil, i), Headers: []Header{{"h", nil}}}
		source.records = append(source.records, r)
		r.Offset = down
		target.records = append(target.records, r)
		places.down[up], places.up[down] = down, up
		places.upEnd, places.dnEnd = up+1, down+1
	}
	source.end, target.end = places.upEnd, places.dnEnd
	return source, target, places
}

func without(list []Record, i int) []Record { return slices.Delete(slices.Clone(list), i, i+1) }

func TestStories(t *testing.T) {
	both := Rules{SourceCompacted: true, TargetCompacted: true, Search: 100}
	for name, c := range map[string]struct {
		change func(s, t *log, p *pairs)
		rules  Rules
		want   string // same, gone at the source, gone at the target, others, unsure; differences
	}{
		"the same":        {func(*log, *log, *pairs) {}, Rules{}, "12 0 0 0 0"},
		"a part":          {func(*log, *log, *pairs) {}, Rules{Limit: 5}, "5 0 0 0 0"},
		"another value":   {func(_, t *log, _ *pairs) { t.records[3].Value = []byte("x") }, Rules{}, "11 0 0 0 0; 103/10 another value"},
		"no value":        {func(_, t *log, _ *pairs) { t.records[3].Value = nil }, Rules{}, "11 0 0 0 0; 103/10 another value"},
		"another key":     {func(_, t *log, _ *pairs) { t.records[3].Key = nil }, Rules{}, "11 0 0 0 0; 103/10 another key"},
		"another header":  {func(_, t *log, _ *pairs) { t.records[3].Headers = []Header{{"h", []byte{}}} }, Rules{}, "11 0 0 0 0; 103/10 another headers"},
		"a header more":   {func(_, t *log, _ *pairs) { t.records[3].Headers = []Header{{"h", nil}, {"h", nil}} }, Rules{}, "11 0 0 0 0; 103/10 another headers"},
		"another time":    {func(_, t *log, _ *pairs) { t.records[3].Timestamp++ }, Rules{}, "11 0 0 0 0; 103/10 another timestamp"},
		"time of append":  {func(_, t *log, _ *pairs) { t.records[3].Timestamp++ }, Rules{OtherTimes: true}, "12 0 0 0 0"},
		"a missing one":   {func(_, t *log, _ *pairs) { t.records = without(t.records, 3) }, Rules{}, "11 0 0 0 0; 103/10 the target does not have"},
		"the last one":    {func(_, t *log, _ *pairs) { t.records = t.records[:11] }, Rules{}, "11 0 0 0 0; 113/18 the target does not have"},
		"not there yet":   {func(_, t *log, _ *pairs) { t.records, t.end = t.records[:11], 18 }, Rules{}, "11 0 0 0 0 behind"},
		"not copied":      {func(_, _ *log, p *pairs) { delete(p.down, 103); delete(p.up, 10) }, Rules{}, "11 0 0 0 0; 103/-1 the mirror has not copied; -1/10 a record that did not"},
		"the map is new":  {func(_, _ *log, p *pairs) { p.upEnd, p.dnEnd = 110, 15 }, Rules{}, "8 0 0 0 0 uncovered 110"},
		"not counted yet": {func(_, _ *log, p *pairs) { p.doubtfulBelow = 105 }, Rules{}, "0 0 0 0 0 uncovered 100"},
		"exchanged": {func(_, t *log, _ *pairs) {
			x, y := t.records[3].Offset, t.records[4].Offset
			t.records[3], t.records[4] = t.records[4], t.records[3]
			t.records[3].Offset, t.records[4].Offset = x, y
		}, Rules{}, "10 0 0 0 0; 103/10 another key, value, timestamp; 105/11 another key, value, timestamp"},
		"a foreign one at the end": {func(_, t *log, _ *pairs) {
			t.records = append(t.records, Record{Offset: 19, Value: []byte("mine")})
			t.end = 20
		}, Rules{}, "12 0 0 0 0; -1/19 a record that did not come from the source"},
		"a repeated one at the end": {func(_, t *log, _ *pairs) {
			r := t.records[11]
			r.Offset = 19
			t.records, t.end = append(t.records, r), 20
		}, Rules{}, "12 0 0 0 0; -1/19 repeats the record of source offset 113"},
		"one of others":            {func(_, t *log, _ *pairs) { t.records = append(t.records, Record{Offset: 19}); t.end = 20 }, Rules{Shared: true}, "12 0 0 1 0"},
		"one that others brought":  {func(_, _ *log, p *pairs) { delete(p.down, 103); delete(p.up, 10) }, Rules{Shared: true}, "11 0 0 2 0"},
		"compacted at the source":  {func(s, _ *log, _ *pairs) { s.records = without(s.records, 3) }, both, "11 1 0 0 0"},
		"compacted at the target":  {func(_, t *log, _ *pairs) { t.records = without(t.records, 3) }, both, "11 0 1 0 0"},
		"the last of its key, off": {func(_, t *log, _ *pairs) { t.records = without(t.records, 10) }, both, "11 0 0 0 0; 112/17 the target does not have"},
		"of the source":            {func(s, _ *log, _ *pairs) { s.records = without(s.records, 10) }, both, "11 0 0 0 0; 112/17 the source does not have"},
		"found by searching on":    {func(_, t *log, _ *pairs) { t.records = without(t.records, 3) }, Rules{TargetCompacted: true, Limit: 5, Search: 3}, "4 0 1 0 0"},
		"not searched for":         {func(_, t *log, _ *pairs) { t.records = without(t.records, 3) }, Rules{TargetCompacted: true, Limit: 5}, "4 0 0 0 1"},
		"a tombstone that is done": {func(s, t *log, _ *pairs) { s.records[11].Value = nil; t.records = t.records[:11] }, both, "11 0 1 0 0"},
		"no key, in compaction":    {func(s, t *log, _ *pairs) { s.records[3].Key = nil; t.records = without(t.records, 3) }, both, "11 0 0 0 0; 103/10 the target does not have"},
		"gone by retention":        {func(s, _ *log, _ *pairs) { s.start = 103 }, Rules{}, "9 3 0 0 0"},
		"on the target":            {func(_, t *log, _ *pairs) { t.start = 10 }, Rules{}, "9 0 3 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			source, target, places := scene(12)
			c := c
			c.change(source, target, &places)
			got, err := Logs(t.Context(), source, target, places, c.rules)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("%d %d %d %d %d", got.Same, got.GoneSource, got.GoneTarget, got.Others, got.Unsure)
			if got.Behind {
				text += " behind"
			}
			if got.Uncovered >= 0 {
				text += fmt.Sprintf(" uncovered %d", got.Uncovered)
			}
			want := strings.Split(c.want, "; ")
			if text != want[0] || len(got.Differences) != len(want)-1 {
				t.Fatalf("%s %+v, not %s", text, got.Differences, c.want)
			}
			for i, d := range got.Differences {
				if text := fmt.Sprintf("%d/%d %s", d.Up, d.Down, d.What); !strings.HasPrefix(text, want[i+1]) {
					t.Errorf("%s, not %s", text, want[i+1])
				}
			}
		})
	}
}

// Cleaners of both sides pass over a topic at random, and a record is damaged or not: found if and only if it is.
func TestCleanersAndDamage(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		source, target, places := scene(1 + r.IntN(60))
		for i := range source.records {
			if r.IntN(5) == 0 {
				source.records[i].Value, target.records[i].Value = nil, nil
			}
		}
		clean := func(l *log) { // all below some offset, and tombstones in a later pass or not
			upTo, last := r.Int64N(l.end+1), map[string]int64{}
			for _, x := range l.records {
				if x.Offset < upTo {
					last[string(x.Key)] = x.Offset
				}
			}
			tombstones := r.IntN(2) == 0
			l.records = slices.DeleteFunc(l.records, func(x Record) bool {
				return x.Offset < upTo && (last[string(x.Key)] > x.Offset || tombstones && x.Value == nil)
			})
		}
		clean(source)
		clean(target)
		damaged := r.IntN(2) == 0 && len(target.records) > 0
		if damaged {
			i := r.IntN(len(target.records))
			x := &target.records[i]
			up := places.up[x.Offset]
			if damaged = slices.ContainsFunc(source.records, func(s Record) bool { return s.Offset == up }); damaged { // else nobody can know
				x.Value = []byte("damaged")
			}
		}
		got, err := Logs(t.Context(), source, target, places, Rules{SourceCompacted: true, TargetCompacted: true, Search: 1000})
		if err != nil || (len(got.Differences) > 0) != damaged || got.Unsure > 0 {
			t.Fatalf("seed %d: damaged %t: %+v, %v", seed, damaged, got, err)
		}
	}
}

func TestManyDifferencesAreCutShort(t *testing.T) {
	source, target, places := scene(100)
	for i := range target.records {
		target.records[i].Value = nil
	}
	got, err := Logs(t.Context(), source, target, places, Rules{})
	if err != nil || len(got.Differences) != mostDifferences || !got.More {
		t.Errorf("%d, %t, %v", len(got.Differences), got.More, err)
	}
}
