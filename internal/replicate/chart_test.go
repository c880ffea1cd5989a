package replicate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"tandem/internal/batch"
	"tandem/internal/offsetsync"
	"tandem/internal/placing"
	"tandem/internal/stream"
)

// The exact map of one flow of a two-way pair, kept as `mirror` keeps it, and held against what really stands where.

// chart is the map of a direction, and its topic: what was not stored is lost in a kill.
type chart struct {
	exact   *offsetsync.Map
	counter *placing.Counter
	topic   []stream.Record
	failed  []string
}

func (c *chart) Segment(_ context.Context, at int64) (stream.Record, error) { return c.topic[at], nil }

// load is the map as it is stored, told where the partitions stand.
func (c *chart) load(t *testing.T, d *direction, list []Assignment) (*offsetsync.Map, *placing.Counter) {
	t.Helper()
	m := offsetsync.NewMap(1<<20, c)
	for _, r := range c.topic {
		if err := m.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range list {
		var anchor *placing.Anchor
		if at, topic, ok := d.memory.Anchor(a.Remote); ok {
			anchor = &placing.Anchor{Topic: topic, Next: at.Next, Down: at.Down.Offset()}
		}
		ends, _, _ := d.to.Offsets(t.Context(), []stream.Partition{a.Remote}, stream.Latest)
		placing.Begin(m, a.Source, a.Remote, 0, stream.Downstream(ends[a.Remote]), anchor)
	}
	recounter := &Recounter{Source: d.from, Remote: d.to, SourceLog: d.from, RemoteLog: d.to, Committed: true, Origins: d.origins, Ours: []int64{d.id}}
	return m, &placing.Counter{Map: m, Recount: recounter.Recount, Earliest: recounter.Earliest,
		Hopeless: func(err error) bool { return errors.Is(err, ErrAmbiguous) || errors.Is(err, offsetsync.ErrMisfit) },
		Failed: func(_ stream.Gap, err error, hopeless bool) {
			if hopeless {
				c.failed = append(c.failed, err.Error())
			}
		}}
}

func (c *chart) begin(t *testing.T, d *direction, list []Assignment) {
	t.Helper()
	c.exact, c.counter = c.load(t, d, list)
}

// sometimes counts, and stores the map.
func (c *chart) sometimes(t *testing.T, d *direction, r *rand.Rand) {
	t.Helper()
	if r.IntN(4) == 0 {
		c.counter.Round(t.Context(), placing.All)
	}
	if r.IntN(20) == 0 {
		records := c.exact.Changed()
		for i := range records {
			records[i].Offset = int64(len(c.topic) + i)
		}
		c.topic = append(c.topic, records...)
		c.exact.Stored(records)
	}
}

// check holds the map of the process, and that of a command that finds only what was stored, against the logs.
func (c *chart) check(t *testing.T, d *direction, list []Assignment) {
	t.Helper()
	stored, counter := c.load(t, d, list)
	for name, m := range map[string]*offsetsync.Map{"running": c.exact, "stored": stored} {
		for _, a := range list {
			d.compare(t, name+", not counted", m, a)
		}
	}
	for range 3 {
		c.counter.Round(t.Context(), placing.All)
		counter.Round(t.Context(), placing.All)
	}
	for name, m := range map[string]*offsetsync.Map{"running": c.exact, "stored": stored} {
		for _, a := range list {
			d.compare(t, name+", counted", m, a)
		}
	}
	for _, failed := range c.failed {
		t.Errorf("not counted: %s", failed)
	}
	c.failed = nil
}

// placed is one record of the source that is on the target, and one that is not has down -1.
type placed struct{ up, down int64 }

// placed are the local records of the source, and where they stand.
func (d *direction) placed(a Assignment) (list []placed) {
	at := make(map[string]int64)
	for _, e := range d.to.logs[a.Remote].batches {
		v, _, err := batch.Next(e.raw)
		if err != nil || v.Control() {
			continue
		}
		for i, value := range simValues(e.raw) {
			at[value] = v.BaseOffset() + int64(i)
		}
	}
	for _, value := range d.from.logs[a.Source].local {
		r := placed{down: -1}
		_, _ = fmt.Sscanf(strings.TrimPrefix(value, d.from.name+":"), "%d", &r.up)
		if down, ok := at[value]; ok {
			r.down = down
		}
		list = append(list, r)
	}
	return list
}

// compare holds each offset of both sides against what stands where.
func (d *direction) compare(t *testing.T, name string, m *offsetsync.Map, a Assignment) {
	t.Helper()
	records, end := d.placed(a), d.to.logs[a.Remote].end
	byDown := make([]int64, end) // the source offset of what stands there; -1 for others
	for i := range byDown {
		byDown[i] = -1
	}
	lost := int64(math.MaxInt64) // the first that is not copied
	for _, r := range records {
		if r.down >= 0 {
			byDown[r.down] = r.up
		} else {
			lost = min(lost, r.up)
		}
	}
	for up, i, before := int64(0), 0, int64(-1); up <= d.from.logs[a.Source].end; up++ {
		for ; i < len(records) && records[i].up < up; i++ {
			before = max(before, records[i].down)
		}
		got, err := m.Translate(t.Context(), a.Remote, stream.Upstream(up))
		if err != nil {
			t.Fatal(err)
		}
		// Records are copied in order, so the first from up on has the least offset.
		if got.Class != stream.Unknown && i < len(records) && records[i].down >= 0 && records[i].down < int64(got.Offset) {
			t.Fatalf("%s: %d of %s of %s is %v, which skips %v", name, up, a.Source, d.from.name, got, records[i])
		}
		if got.Class == stream.Exact && before >= int64(got.Offset) {
			t.Fatalf("%s: %d of %s of %s is %v, which repeats what stands at %d", name, up, a.Source, d.from.name, got, before)
		}
	}
	first := lost
	for down := end; down >= 0; down-- {
		if down < end && byDown[down] >= 0 {
			first = min(first, byDown[down])
		}
		got, err := m.Return(t.Context(), a.Remote, stream.Downstream(down))
		if err != nil {
			t.Fatal(err)
		}
		if got.Class != stream.Unknown && first < int64(got.Offset) {
			t.Fatalf("%s: back from %d of %s to %s is %v, which skips %d", name, down, a.Remote, d.from.name, got, first)
		}
		before := int64(-1)
		for i := down - 1; i >= 0 && before < 0; i-- {
			before = byDown[i]
		}
		if got.Class == stream.Exact && before >= int64(got.Offset) {
			t.Fatalf("%s: back from %d of %s to %s is %v, which repeats %d", name, down, a.Remote, d.from.name, got, before)
		}
	}
}
