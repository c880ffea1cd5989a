package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/checkpoint"
	"tandem/internal/replicate/position"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

var servedAt = regexp.MustCompile(`"address":"([^"]+)"`)

// metric asks the status page for a value of the flow.
func (m *mirrorProcess) metric(name, flow string) (float64, error) {
	m.t.Helper()
	served := m.lines("status is served")
	if len(served) == 0 {
		return 0, fmt.Errorf("no status page yet")
	}
	request, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://"+servedAt.FindStringSubmatch(served[0].Text)[1]+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	want := fmt.Appendf(nil, "%s{flow=%q} ", name, flow)
	for l := range bytes.Lines(body) {
		if rest, ok := bytes.CutPrefix(l, want); ok {
			return strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
		}
	}
	return 0, fmt.Errorf("%s of %s is not shown", name, flow)
}

// shows is a condition: the metric has at least this value.
func (m *mirrorProcess) shows(name, flow string, least float64) func() error {
	return func() error {
		got, err := m.metric(name, flow)
		if err == nil && got < least {
			err = fmt.Errorf("%s is %g, want %g", name, got, least)
		}
		return err
	}
}

// value is a metric that is shown.
func (m *mirrorProcess) value(name, flow string) float64 {
	m.t.Helper()
	got, err := m.metric(name, flow)
	if err != nil {
		m.t.Fatal(err)
	}
	return got
}

const scaleProperties = oneBroker + quiet + `
clusters = scale, scaleB
scale.bootstrap.servers = %s
scaleB.bootstrap.servers = %s
scale->scaleB.enabled = true
scale->scaleB.topics = scale-.*
scale->scaleB.groups = scale-.*
scale.consumer.isolation.level = read_committed
emit.checkpoints.interval.seconds = 1
`

const (
	scaleGroups     = 1000
	scalePartitions = 50
	scalePositions  = scaleGroups * scalePartitions
)

// crowd is a thousand groups with fifty positions each, in a topic of transactions.
type crowd struct {
	t         *testing.T
	a, b      side
	survivors [scalePartitions][]int64 // offsets of the source
	ends      []int64
	step      int64
}

// at is where a group stands at the source after so many steps, and where that is on the target.
func (c *crowd) at(group, partition int) (up, down int64) {
	list := c.survivors[partition]
	up = (int64(group)*7 + int64(partition)*3 + c.step*5) % (c.ends[partition] + 1)
	return up, int64(sort.Search(len(list), func(i int) bool { return list[i] >= up }))
}

func (c *crowd) name(group int) string { return fmt.Sprintf("scale-%04d", group) }

// commit puts groups where they stand.
func (c *crowd) commit(ctx context.Context, groups int) {
	c.t.Helper()
	admin := c.a.admin()
	work := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for g := range work {
				offsets := make(map[stream.Partition]stream.Committed, scalePartitions)
				for p := range scalePartitions {
					up, _ := c.at(g, p)
					offsets[stream.Partition{Topic: "scale-orders", Number: int32(p)}] = stream.Committed{Offset: up}
				}
				if refused, err := admin.CommitOffsets(ctx, c.name(g), offsets); err != nil || len(refused) > 0 {
					c.t.Errorf("commit: %v, %v", refused, err)
				}
			}
		})
	}
	for g := range groups {
		work <- g
	}
	close(work)
	workers.Wait()
}

// arrived is a condition: every group stands at its record on the target.
func (c *crowd) arrived(ctx context.Context) error {
	names := make([]string, scaleGroups)
	for g := range names {
		names[g] = c.name(g)
	}
	offsets, refused, err := c.b.admin().GroupOffsets(ctx, names)
	if err != nil {
		return err
	}
	for name, err := range refused {
		return fmt.Errorf("group %s: %w", name, err)
	}
	for g, name := range names {
		if len(offsets[name]) != scalePartitions {
			return fmt.Errorf("%s has %d positions", name, len(offsets[name]))
		}
		for p := range scalePartitions {
			up, want := c.at(g, p)
			if got := offsets[name][stream.Partition{Topic: "scale.scale-orders", Number: int32(p)}].Offset; got != want {
				return fmt.Errorf("%s is at %d of partition %d, want %d (%d at the source)", name, got, p, want, up)
			}
		}
	}
	return nil
}

// A thousand groups by fifty partitions: checkpoints every second, a plan, apply, undo, and group sync. Every position is
// right; how long it takes is told.
func TestScale(t *testing.T) {
	a, b := clusters(t)
	ctx := patient(t)
	const flow = "scale->scaleB"
	a.create("scale-orders", scalePartitions, 1, nil)
	writeInTransactions(a, "scale-orders", 10_000, func(int) int { return 200 })
	c := &crowd{t: t, a: a, b: b}
	for p, records := range a.read("scale-orders", kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
		for _, r := range records {
			c.survivors[p] = append(c.survivors[p], r.Offset)
		}
	}
	var err error
	if c.ends, err = a.ends("scale-orders"); err != nil {
		t.Fatal(err)
	}
	c.commit(ctx, scaleGroups)

	properties := fmt.Sprintf(scaleProperties, a.Bootstrap, b.Bootstrap)
	m := startMirror(t, properties)
	took := func(what string) {
		m.until("the end of a round", func() error {
			_, err := m.metric("tandem_checkpoints_round_seconds", flow)
			return err
		})
		t.Logf("a round %s: %.3f s", what, m.value("tandem_checkpoints_round_seconds", flow))
	}
	m.until("the first checkpoints", m.shows("tandem_checkpoints_written_total", flow, scalePositions))
	took("with all checkpoints new")
	c.step++
	c.commit(ctx, 1)
	m.until("checkpoints of one group", m.shows("tandem_checkpoints_written_total", flow, scalePositions+scalePartitions/2))
	took("with one group that moved")
	m.idle("without group sync", flow)

	file, plan := propertiesFile(t, properties), filepath.Join(t.TempDir(), "plan.json")
	c.step--
	c.commit(ctx, 1)
	timed := func(args ...string) ran {
		t.Helper()
		began := time.Now()
		out := runFailover(t, args...).must(t)
		t.Logf("failover %s: %.1f s", args[0], time.Since(began).Seconds())
		return out
	}
	timed("plan", file, "--from", "scale", "--to", "scaleB", "--out", plan)
	timed("status", file)
	timed("apply", plan)
	if err := c.arrived(ctx); err != nil {
		t.Errorf("after apply: %v", err)
	}
	timed("undo", plan)
	if err := c.arrived(ctx); err == nil || len(b.committed(c.name(7))) > 0 {
		t.Errorf("after undo: %v, %v", err, b.committed(c.name(7)))
	}
	m.stop()

	m = startMirror(t, properties+"sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 1\n")
	began := time.Now()
	m.until("group sync", func() error { return c.arrived(ctx) })
	t.Logf("started, and all groups synced: %.1f s", time.Since(began).Seconds())
	c.step++
	c.commit(ctx, scaleGroups)
	began = time.Now()
	m.until("group sync of groups that moved", func() error { return c.arrived(ctx) })
	t.Logf("all groups moved, and were synced: %.1f s", time.Since(began).Seconds())
	m.idle("with group sync", flow)
	m.stop()
}

// idle tells what some rounds cost in which nothing changes.
func (m *mirrorProcess) idle(what, flow string) {
	m.t.Helper()
	const rounds = 4
	last, seen := 0.0, []float64{}
	before, err := m.CPU()
	if err != nil {
		m.t.Fatal(err)
	}
	began := time.Now()
	m.until("some rounds", func() error {
		if now, err := m.metric("tandem_checkpoints_round_seconds", flow); err == nil && now != last {
			last, seen = now, append(seen, now)
		}
		if len(seen) < rounds {
			return fmt.Errorf("%d", len(seen))
		}
		return nil
	})
	after, err := m.CPU()
	if err != nil {
		m.t.Fatal(err)
	}
	peak, _ := m.PeakRSS()
	m.t.Logf("idle %s: rounds of %.3f s, %.1f %% of a core, peak %d MB", what, slices.Sorted(slices.Values(seen))[rounds/2],
		100*(after-before).Seconds()/time.Since(began).Seconds(), peak>>20)
}

// The topic that a start reads is not much longer after an hour of records that replace each other.
func TestTandemTopicStaysShort(t *testing.T) {
	_, b := clusters(t)
	ctx, admin := patient(t), b.admin()
	const sources, partitions = 5, 50
	remotes := make([]stream.Partition, partitions)
	for i := range remotes {
		remotes[i] = stream.Partition{Topic: "short.short-0", Number: int32(i)}
	}
	// hour writes what a mirror of 250 busy partitions writes in an hour.
	hour := func(topic string) {
		ends := checkpoint.NewEnds(nil)
		anchors := position.NewAnchorStore(admin, topic, stream.Flow{Source: "short", Target: "shortB"})
		if _, err := anchors.Load(ctx); err != nil {
			t.Fatal(err)
		}
		var batch []stream.Record
		flush := func() {
			if err := admin.Append(ctx, topic, batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
		now := time.Now()
		for second := range 3600 {
			now = now.Add(time.Second)
			standings := map[stream.Partition]stream.SourceEnd{}
			for s := range sources {
				for p := range int32(partitions) {
					up := stream.Upstream(second*1000 + int(p))
					standings[stream.Partition{Topic: fmt.Sprintf("short-%d", s), Number: p}] = stream.SourceEnd{End: up, Acked: up - 10, Newest: now, At: now}
				}
			}
			records, err := ends.Records(standings)
			if err != nil {
				t.Fatal(err)
			}
			ends.Stored()
			if batch = append(batch, records...); len(batch) >= 500 {
				flush()
			}
			if second%5 == 0 {
				for _, r := range remotes {
					anchors.Set(r, position.Anchor{NextUp: stream.Upstream(second), NextSequence: int32(second), NextDown: -1, LeaderEpoch: -1})
				}
				if err := anchors.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		flush()
	}
	read := func(topic string) (records, size int) {
		began := time.Now()
		err := admin.ReadAll(ctx, topic, true, func(r stream.Record) error {
			records, size = records+1, size+len(r.Key)+len(r.Value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d records of %.1f MB, read in %.3f s", topic, records, float64(size)/1e6, time.Since(began).Seconds())
		return records, size
	}
	const plain, short = "mm2-tandem.plain.internal", "mm2-tandem.short.internal"
	b.create(plain, 1, 1, map[string]string{"cleanup.policy": "compact"})
	if err := topics.EnsureTandem(ctx, admin, short, 1); err != nil {
		t.Fatal(err)
	}
	hour(plain)
	hour(short)
	all, _ := read(plain)
	eventually(t, "the log cleaner", func() error {
		if n, size := read(short); n > all/2 || size > 6<<20 {
			return fmt.Errorf("%d records of %d", n, all)
		}
		return nil
	})

	b.configure(plain, map[string]string{"segment.bytes": "8388608"}) // somebody's own
	if err := topics.EnsureTandem(ctx, admin, plain, 1); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cleanup.policy": "compact", "segment.bytes": "8388608", "min.cleanable.dirty.ratio": "0.1"}
	if got, err := b.configs(plain); err != nil || !maps.Equal(got, want) {
		t.Errorf("a topic of an earlier version has %v, want %v: %v", got, want, err)
	}
}
