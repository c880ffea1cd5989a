package replicate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/stream"
)

// pastBatch is one batch of a history.
type pastBatch struct {
	base, last int64
	offsets    []int64
	values     []string
	producer   int64
	sequence   int32
	attributes int16
	marker     bool
	abort      bool
}

func (b pastBatch) encode() []byte {
	if b.marker {
		return simMarker(b.base, b.producer, b.abort)
	}
	raw := simRecords(b.base, b.last, b.offsets, b.values, b.producer)
	binary.BigEndian.PutUint16(raw[21:], uint16(b.attributes))
	binary.BigEndian.PutUint16(raw[51:], 0)
	binary.BigEndian.PutUint32(raw[53:], uint32(b.sequence))
	return reseal(raw)
}

// past is a partition as it has become.
type past struct {
	batches []pastBatch
	aborted []pastAborted
	start   int64
	end     int64
	reads   int64
}

type pastAborted struct{ producer, first, marker int64 }

// add appends a batch; no value is the mark of an offset without a record.
func (p *past) add(producer int64, sequence int32, attributes int16, values ...string) {
	b := pastBatch{base: p.end, last: p.end + int64(len(values)) - 1, producer: producer, sequence: sequence, attributes: attributes}
	for i, v := range values {
		if v != "" {
			b.offsets, b.values = append(b.offsets, p.end+int64(i)), append(b.values, v)
		}
	}
	p.batches = append(p.batches, b)
	p.end = b.last + 1
}

func (p *past) mark(producer int64, abort bool) {
	p.batches = append(p.batches, pastBatch{base: p.end, last: p.end, producer: producer, marker: true, abort: abort})
	p.end++
}

// compact takes records out; batches that are empty by that may go as well.
func (p *past) compact(r *rand.Rand, takes func(offset int64) bool) {
	var kept []pastBatch
	for i, b := range p.batches {
		c := b
		c.offsets, c.values = nil, nil
		for j, o := range b.offsets {
			if !takes(o) {
				c.offsets, c.values = append(c.offsets, o), append(c.values, b.values[j])
			}
		}
		if len(c.offsets) > 0 || b.marker || i == len(p.batches)-1 || r.IntN(2) == 0 {
			kept = append(kept, c)
		}
	}
	p.batches = kept
}

// retain moves the log start.
func (p *past) retain(start int64) {
	p.start = start
	for len(p.batches) > 0 && p.batches[0].last < start {
		p.batches = p.batches[1:]
	}
}

// Read answers as a broker does: whole batches, and those aborted transactions that reach into them.
func (p *past) Read(ctx context.Context, part stream.Partition, offset int64, most int32, committed bool) (stream.Fetched, error) {
	f := stream.Fetched{Partition: part, HighWatermark: stream.Upstream(p.end)}
	if offset < p.start || offset > p.end {
		return f, code(stream.CodeOffsetOutOfRange)
	}
	p.reads++
	upper := offset
	for _, b := range p.batches {
		if b.last < offset {
			continue
		}
		raw := b.encode()
		if len(f.Records) > 0 && len(f.Records)+len(raw) > min(int(most), 3000) {
			f.Records = append(f.Records, raw[:len(raw)/2]...) // cut off
			break
		}
		f.Records = append(f.Records, raw...)
		upper = b.last + 1
	}
	for _, a := range p.aborted {
		if committed && a.marker >= offset && a.first < upper {
			f.Aborted = append(f.Aborted, stream.AbortedTransaction{ProducerID: a.producer, First: stream.Upstream(a.first)})
		}
	}
	return f, ctx.Err()
}

func (p *past) Offsets(_ context.Context, list []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	offset := p.start
	if at == stream.Latest {
		offset = p.end
	}
	return map[stream.Partition]int64{list[0]: offset}, nil, nil
}

// visible are the records that a reader of committed data sees, of producers that are not left out.
func (p *past) visible(leaves func(producer int64) bool) map[int64]string {
	seen := make(map[int64]string)
	for _, b := range p.batches {
		aborted := slices.ContainsFunc(p.aborted, func(a pastAborted) bool {
			return b.attributes&0x10 != 0 && a.producer == b.producer && b.base >= a.first && b.base < a.marker
		})
		if aborted || leaves(b.producer) {
			continue
		}
		for i, o := range b.offsets {
			seen[o] = b.values[i]
		}
	}
	return seen
}

func (p *past) has(offset int64) bool {
	return offset >= p.start && slices.ContainsFunc(p.batches, func(b pastBatch) bool { return slices.Contains(b.offsets, offset) })
}

// misfortune is what has happened to a pair of logs.
type misfortune struct {
	name     string
	holes    bool // in the source when it was copied
	twins    bool // records that are equal
	ids      bool // written by us, with sequence numbers; else by MM2
	shared   bool // others write on either side
	foreign  bool // somebody else writes to the target
	repeats  bool // some are copied again
	source   bool // compacted later
	target   bool // compacted later
	retained bool // log starts moved later
	fails    bool // it may not be found out
}

const opposite = 55 // producer id of the opposite flow

// history makes the two logs up, and the truth: where each source offset was copied to.
func history(r *rand.Rand, m misfortune) (source, target *past, truth map[int64][]int64) {
	source, target, truth = &past{}, &past{}, make(map[int64][]int64)
	value := func() string {
		if m.twins && r.IntN(3) == 0 {
			return fmt.Sprint("twin", r.IntN(3))
		}
		return fmt.Sprint("v", r.Int64())
	}
	values := func(n int) (list []string) {
		for range n {
			list = append(list, value())
		}
		return list
	}
	for range 10 + r.IntN(60) {
		n := 1 + r.IntN(12)
		switch {
		case r.IntN(4) == 0: // a transaction, in one batch or more; producers have many
			producer, first := int64(70+r.IntN(3)), source.end
			for range 1 + r.IntN(3) {
				source.add(producer, 0, 0x10, values(n)...)
			}
			abort := r.IntN(2) == 0
			if abort {
				source.aborted = append(source.aborted, pastAborted{producer, first, source.end})
			}
			source.mark(producer, abort)
		case m.shared && r.IntN(3) == 0:
			source.add(opposite, 0, 0, values(n)...)
		default:
			list := values(n)
			for i := range list[:n-1] {
				if m.holes && r.IntN(3) == 0 {
					list[i] = ""
				}
			}
			source.add(-1, 0, 0, list...)
		}
	}
	seen := source.visible(func(id int64) bool { return m.shared && id == opposite })
	var ups []int64
	for u := range seen {
		ups = append(ups, u)
	}
	slices.Sort(ups)
	producer, sequence := int64(-1), int32(1<<31-1-int64(r.IntN(300)))
	if m.ids {
		producer = 4711
	}
	for at := 0; at < len(ups); {
		if (m.foreign && r.IntN(8) == 0) || (m.shared && r.IntN(2) == 0) {
			target.add(99, 0, 0, values(1+r.IntN(5))...)
		}
		if m.repeats && r.IntN(10) == 0 {
			at = max(0, at-r.IntN(8))
		}
		n := min(1+r.IntN(20), len(ups)-at)
		var list []string
		for i, u := range ups[at : at+n] {
			list = append(list, seen[u])
			truth[u] = append(truth[u], target.end+int64(i))
		}
		target.add(producer, sequence, 0, list...)
		sequence = following(sequence, int64(n))
		at += n
	}
	if m.source {
		share := r.IntN(100)
		source.compact(r, func(o int64) bool { return r.IntN(100) < share && o < source.end-1 })
	}
	if m.target {
		share := r.IntN(100)
		target.compact(r, func(o int64) bool { return r.IntN(100) < share && o < target.end-1 })
	}
	if m.retained && r.IntN(2) == 0 {
		source.retain(r.Int64N(source.end))
	}
	if m.retained && r.IntN(2) == 0 {
		target.retain(r.Int64N(target.end))
	}
	return source, target, truth
}

// TestRecount makes up histories and gaps: what is found out is true, and whole, and where nothing hides it it is found out.
func TestRecount(t *testing.T) {
	for _, m := range []misfortune{
		{name: "nothing happened", ids: true, holes: true},
		{name: "nothing happened, equal records", ids: true, holes: true, twins: true},
		{name: "copied by MM2", holes: true},
		{name: "copied by MM2, equal records", holes: true, twins: true},
		{name: "compacted source", ids: true, source: true},
		{name: "compacted target", ids: true, target: true},
		{name: "both compacted", ids: true, holes: true, source: true, target: true},
		{name: "foreign records", ids: true, foreign: true},
		{name: "foreign records, compacted source", ids: true, foreign: true, source: true},
		{name: "foreign records, both compacted", foreign: true, source: true, target: true},
		{name: "retention", ids: true, holes: true, retained: true, fails: true},
		{name: "retention and compaction", ids: true, retained: true, source: true, target: true, fails: true},
		{name: "compacted source, equal records", ids: true, source: true, twins: true, fails: true},
		{name: "foreign and equal records", ids: true, foreign: true, twins: true, fails: true},
		{name: "repeated by MM2", repeats: true, fails: true},
		{name: "repeated by MM2, compacted source", repeats: true, source: true, fails: true},
		{name: "two-way", ids: true, shared: true, holes: true},
		{name: "two-way, compacted source", ids: true, shared: true, source: true},
		{name: "two-way, both compacted", ids: true, shared: true, source: true, target: true},
		{name: "two-way, equal records", ids: true, shared: true, twins: true, source: true, fails: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			found := 0
			const rounds = 40
			for seed := range uint64(rounds) {
				for _, window := range []int{4, 40, 0} {
					if recountOnce(t, seed, m, window) {
						found++
					}
				}
			}
			if found < rounds/3 {
				t.Errorf("found out in %d of %d", found, 3*rounds)
			}
		})
	}
}

// Where the source has deleted what a gap holds, counting is enough if each offset between two known places has its record.
func TestRecountWithoutTheSource(t *testing.T) {
	one := func(sequence int32) *past {
		p := &past{}
		p.add(4711, 100, 0, "a", "b", "c")
		p.add(4711, sequence, 0, "d", "e")
		return p
	}
	for _, c := range []struct {
		story  string
		target *past
		to     stream.Upstream
		want   []stream.Run
	}{
		{"as many records as offsets", one(103), 25, []stream.Run{{Up: 20, Count: 5}}},
		{"some offsets had none", one(103), 26, nil},
		{"somebody else has written, or some came twice", one(101), 25, nil},
	} {
		for _, start := range []int64{22, 25, 30} {
			source := &past{}
			for range 30 {
				source.add(-1, 0, 0, "")
			}
			source.retain(start)
			r := &Recounter{Source: source, Remote: c.target, SourceLog: source, RemoteLog: c.target}
			got, err := r.Recount(t.Context(), stream.Gap{From: 20, To: c.to, ToDown: 5, Wanted: 20})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, the source starts at %d: %v %v, want %v", c.story, start, got, err, c.want)
			}
		}
	}
}

func recountOnce(t *testing.T, seed uint64, m misfortune, window int) (found bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	source, target, truth := history(r, m)
	g, ok := someGap(r, source, target, truth)
	if !ok {
		return true
	}
	c := &Recounter{Source: source, Remote: target, SourceLog: source, RemoteLog: target, Committed: true, window: window}
	if m.shared {
		c.Ours = []int64{4711}
		c.Origins = NewOrigins(func(context.Context) ([]int64, error) { return []int64{opposite}, nil })
	}
	runs, err := c.Recount(t.Context(), g)
	if err != nil && !errors.Is(err, ErrAmbiguous) {
		t.Fatalf("seed %d: %v", seed, err)
	}
	left := source.visible(func(id int64) bool { return m.shared && id == opposite })
	some := false // of what is looked for is on both sides
	for u := range left {
		for _, d := range truth[u] {
			some = some || u >= max(int64(g.From), int64(g.Wanted)) && (g.To < 0 || u < int64(g.To)) && target.has(d) && d >= int64(g.FromDown) && d < int64(g.ToDown)
		}
	}
	if err != nil && !m.fails && window == 0 && some {
		t.Errorf("seed %d: %v", seed, err)
	}
	there := target.visible(func(int64) bool { return false })
	inRuns := make(map[int64]bool)
	up, down := int64(-1), int64(-1)
	for _, run := range runs {
		for i := range run.Count {
			u, d := int64(run.Up)+i, int64(run.Down)+i
			if u <= up || d <= down || d < int64(g.FromDown) || d >= int64(g.ToDown) {
				t.Fatalf("seed %d: %d at %d after %d at %d, in %+v", seed, u, d, up, down, g)
			}
			up, down = u, d
			if _, alive := left[u]; !alive || !slices.Contains(truth[u], d) {
				t.Fatalf("seed %d, window %d: run says that %d is at %d; it is at %v (still there: %v); %+v", seed, window, u, d, truth[u], alive, g)
			}
			inRuns[u] = true
		}
	}
	if err != nil {
		return false
	}
	for u := range left {
		if u < int64(g.From) || g.To >= 0 && u >= int64(g.To) || inRuns[u] || len(runs) == 0 {
			continue
		}
		open := g.From < 0 || source.start > int64(g.From)
		if open && u < int64(runs[0].Up) || g.To < 0 && u > up {
			continue
		}
		for _, d := range truth[u] {
			if _, alive := there[d]; alive && d >= int64(g.FromDown) && d < int64(g.ToDown) && d >= target.start {
				t.Fatalf("seed %d, window %d: %d is at %d, and in no run of %v; %+v", seed, window, u, d, runs, g)
			}
		}
	}
	return len(runs) > 0 || !some
}

// someGap is a gap between two records, or behind one, or before one.
func someGap(r *rand.Rand, source, target *past, truth map[int64][]int64) (stream.Gap, bool) {
	var ups []int64
	for u, downs := range truth {
		if len(downs) == 1 { // a place that is known
			ups = append(ups, u)
		}
	}
	slices.Sort(ups)
	g := stream.Gap{Source: stream.Partition{Topic: "t"}, Remote: stream.Partition{Topic: "A.t"}, Wanted: -1}
	if len(ups) < 3 {
		return g, false
	}
	i := r.IntN(len(ups) - 1)
	j := i + 1 + r.IntN(len(ups)-i-1)
	g.From, g.FromDown = stream.Upstream(ups[i]), stream.Downstream(truth[ups[i]][0])
	g.To, g.ToDown = stream.Upstream(ups[j]), stream.Downstream(truth[ups[j]][0])
	switch r.IntN(3) {
	case 0:
		g.To, g.ToDown = -1, stream.Downstream(target.end)
	case 1:
		g.From, g.FromDown, g.Wanted = -1, stream.Downstream(target.start), stream.Upstream(ups[r.IntN(j)])
	}
	if g.To < 0 && g.From < 0 || g.To >= 0 && int64(g.ToDown) <= target.start {
		return g, false
	}
	return g, true
}

// TestRecountStories: where a count, or an equal record, misleads.
func TestRecountStories(t *testing.T) {
	unique := func(prefix string, n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint(prefix, i))
		}
		return list
	}
	part := stream.Partition{Topic: "t"}
	for _, c := range []struct {
		name   string
		story  func(source, target *past)
		gap    stream.Gap
		want   []stream.Run
		failed bool
	}{
		{"one foreign record, and one that was set aside, between the samples", func(source, target *past) {
			all := unique("v", 2000)
			source.add(-1, 0, 0, all...)
			target.add(4711, 0, 0, all[:1100]...)
			target.add(99, 0, 0, "foreign")
			target.add(4711, 1100, 0, slices.Concat(all[1100:1150], all[1151:])...)
		}, stream.Gap{From: 0, FromDown: 0, To: 1999, ToDown: 1999},
			[]stream.Run{{Up: 0, Down: 0, Count: 1100}, {Up: 1100, Down: 1101, Count: 50}, {Up: 1151, Down: 1151, Count: 848}}, false},
		{"copied in another order", func(source, target *past) {
			source.add(-1, 0, 0, "a", "b", "c")
			target.add(-1, 0, 0, "a", "c", "b", "d")
		}, stream.Gap{From: 0, FromDown: 0, To: 3, ToDown: 4}, nil, true},
		{"counted from the end onto an equal of the first", func(source, target *past) {
			source.add(-1, 0, 0, "twin", "", "", "last")
			target.add(4711, 0, 0, "twin", "x", "twin", "last")
		}, stream.Gap{From: -1, Wanted: 0, To: 4, ToDown: 4}, []stream.Run{{Up: 3, Down: 3, Count: 1}}, false},
		{"counted from the beginning onto an equal of the last", func(source, target *past) {
			source.add(-1, 0, 0, "first", "", "twin", "twin")
			target.add(4711, 0, 0, "first", "twin", "twin")
		}, stream.Gap{From: 0, FromDown: 0, To: -1, ToDown: 3}, []stream.Run{{Up: 0, Down: 0, Count: 1}}, false},
		{"nothing of it is left at the source", func(source, target *past) {
			source.add(-1, 0, 0, unique("v", 11)...)
			source.add(-1, 0, 0, unique("w", 10)...)
			source.retain(11)
			target.add(4711, 0, 0, unique("v", 10)...)
		}, stream.Gap{From: 0, FromDown: 0, To: 11, ToDown: 10}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, target := &past{}, &past{}
			c.story(source, target)
			c.gap.Source, c.gap.Remote = part, part
			r := &Recounter{Source: source, Remote: target, SourceLog: source, RemoteLog: target}
			runs, err := r.Recount(t.Context(), c.gap)
			if failed := errors.Is(err, ErrAmbiguous); failed != c.failed || err != nil && !failed {
				t.Fatal(err)
			}
			if !slices.Equal(runs, c.want) {
				t.Errorf("runs %v, want %v", runs, c.want)
			}
		})
	}
}

// TestRecountReadsHeaders: where nothing happened, a long gap costs one reading of the source and a few looks at the target;
// it stops when it is told to.
func TestRecountReadsHeaders(t *testing.T) {
	source, target := &past{}, &past{}
	sequence := int32(0)
	for n := range 400 {
		values := make([]string, 50)
		for i := range values {
			values[i] = fmt.Sprint(n, ".", i)
		}
		source.add(70, 0, 0x10, values...)
		source.mark(70, false)
		target.add(4711, sequence, 0, values...)
		sequence += 50
	}
	read, all := int64(0), 0
	for _, b := range source.batches {
		all += len(b.encode())
	}
	c := &Recounter{Source: source, Remote: target, SourceLog: source, RemoteLog: target, Committed: true, Progress: func(bytes int64) { read += bytes }}
	g := stream.Gap{From: 51, FromDown: 50, To: 51 * 399, ToDown: 50 * 399}
	runs, err := c.Recount(t.Context(), g)
	if err != nil || len(runs) != 398 || runs[397] != (stream.Run{Up: 51 * 398, Down: 50 * 398, Count: 50}) {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if looks := int64(samples*8*3000 + 8*3000); read > 2*int64(all)+looks || target.reads > 60 { // fetches overlap by what is cut off
		t.Errorf("read %d bytes of a source of %d, and the target %d times", read, all, target.reads)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Recount(ctx, g); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRecountAmongOthers: that none of our records are in a gap does not mean that nobody has copied there before us.
func TestRecountAmongOthers(t *testing.T) {
	source, target := &past{}, &past{}
	source.add(-1, 0, 0, "a", "b", "c")
	target.add(99, 0, 0, "a", "x", "b", "c")
	target.add(4711, 0, 0, "d")
	part := stream.Partition{Topic: "t"}
	r := &Recounter{Source: source, Remote: target, SourceLog: source, RemoteLog: target, Ours: []int64{4711}}
	for _, g := range []stream.Gap{
		{From: 0, FromDown: 0, To: 3, ToDown: 4},
		{From: -1, FromDown: 0, To: 3, ToDown: 4},
	} {
		g.Source, g.Remote = part, part
		if runs, err := r.Recount(t.Context(), g); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%+v: %v, %v", g, runs, err)
		}
	}
	g := stream.Gap{Source: part, Remote: part, From: 3, FromDown: 0, To: -1, ToDown: 4} // nothing has come since
	if runs, err := r.Recount(t.Context(), g); err != nil || len(runs) > 0 {
		t.Errorf("%v, %v", runs, err)
	}
}
