package replicate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Two flows of opposite direction over topics of the same names, with producers of their own on both sides.

// direction is one flow of the pair, over its processes.
type direction struct {
	from, to *node
	id       int64
	memory   *lockedMemory
	mu       sync.Mutex
	acks     map[stream.Partition][]stream.Ack
	events   []string
	origins  *Origins
	loads    int
	chart    chart
}

// lockedMemory may be used by several goroutines.
type lockedMemory struct {
	mu sync.Mutex
	simMemory
}

func (m *lockedMemory) Anchor(remote stream.Partition) (Start, stream.TopicID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.simMemory.Anchor(remote)
}

func (m *lockedMemory) Remember(ctx context.Context, places map[stream.Partition]Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.simMemory.Remember(ctx, places)
}

func newDirection(from, to *node, id, opposite int64) *direction {
	d := &direction{from: from, to: to, id: id, memory: &lockedMemory{simMemory: newSimMemory()}, acks: make(map[stream.Partition][]stream.Ack)}
	d.origins = NewOrigins(func(context.Context) ([]int64, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.loads++; d.from.faults > 0 && d.loads%3 == 0 {
			return nil, errors.New("no answer")
		}
		return []int64{7, opposite}, nil
	})
	return d
}

func (d *direction) report(e stream.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e.Message)
}

func (d *direction) run(t *testing.T, list []Assignment) (kill func()) {
	flow := stream.Flow{Source: d.from.name, Target: d.to.name}
	for remote, acks := range d.acks { // an earlier moment is what a killed process has noted
		a := acks[max(0, len(acks)-1-d.from.draw(30))]
		if at := d.memory.anchors[remote]; a.Next >= at.Next {
			d.memory.anchors[remote] = Start{Next: a.Next, Sequence: a.NextSequence, Down: BaseOf(a.NextDown)}
		}
	}
	d.acks = make(map[stream.Partition][]stream.Ack)
	d.chart.begin(t, d, list)
	p := New(Config{
		Flow: flow, Producer: batch.Producer{ID: d.id}, Source: d.from, Target: d.to,
		Session: func(int32) Session { return &nodeSession{d.from, make(map[stream.Partition]stream.Place)} },
		Sender:  d.to.sender,
		Resume: &Resumption{Flow: flow, ProducerID: d.id, Memory: d.memory, Source: d.from, Target: d.to, Remote: d.to, ReadSource: d.from, ReadRemote: d.to,
			Committed: true, Reset: ResetEarliest, Origins: d.origins, SharedRemote: true, Report: d.report},
		Budget: NewBudget(8 << 20), Codec: batch.KeepCodec, Report: d.report, Origins: d.origins, SharedRemote: true,
		Acked: d.acked,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	if err := p.Assign(ctx, list); err != nil {
		t.Error(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (d *direction) acked(a stream.Ack) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chart.exact.Ack(a)
	if a.NextDown >= 0 { // else the older anchor stays
		d.acks[a.Remote] = append(d.acks[a.Remote], a)
	}
}

// by are the values of a node that began at another, in order.
func (n *node) by(p stream.Partition, name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, e := range n.logs[p].batches {
		v, _, err := batch.Next(e.raw)
		if err != nil || v.Control() {
			continue
		}
		for _, value := range simValues(e.raw) {
			if strings.HasPrefix(value, name+":") {
				list = append(list, value)
			}
		}
	}
	return list
}

func TestTwoWay(t *testing.T) {
	for seed := range dice(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { twoWay(t, seed) })
		})
	}
}

func twoWay(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	var list []Assignment
	nodes := map[string]*node{}
	for _, name := range []string{"A", "B"} {
		n := &node{rand: rand.New(rand.NewPCG(seed, uint64(name[0]))), name: name, logs: make(map[stream.Partition]*nodeLog), mute: seed%4 == 3}
		if seed%2 == 1 {
			n.faults = 40
		}
		nodes[name] = n
	}
	for i := range int32(3) {
		p := stream.Partition{Topic: "orders", Number: i}
		list = append(list, Assignment{Source: p, Remote: p, MaxBatch: 1 << 20})
		for _, n := range nodes {
			n.logs[p] = &nodeLog{states: make(map[int64]*nodeProducer)}
			for range r.IntN(30) {
				n.write(p) // before any flow
			}
		}
	}
	there := newDirection(nodes["A"], nodes["B"], 4711, 4712)
	back := newDirection(nodes["B"], nodes["A"], 4712, 4711)
	for range 6 {
		killThere, killBack := there.run(t, list), back.run(t, list)
		for range 20 + r.IntN(60) {
			n := nodes[[]string{"A", "B"}[r.IntN(2)]]
			n.write(list[r.IntN(len(list))].Source)
			time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			for _, d := range []*direction{there, back} {
				d.chart.sometimes(t, d, r)
			}
		}
		if r.IntN(2) == 0 {
			killThere()
			killThere = there.run(t, list)
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		killThere()
		killBack()
		synctest.Wait()
		for _, d := range []*direction{there, back} {
			d.chart.check(t, d, list)
		}
		for _, n := range nodes {
			if r.IntN(3) == 0 { // a day later
				for _, l := range n.logs {
					clear(l.states)
				}
			}
		}
	}
	killThere, killBack := there.run(t, list), back.run(t, list)
	same := func() bool {
		for _, a := range list {
			for _, d := range []*direction{there, back} {
				if len(d.to.by(a.Remote, d.from.name)) < len(d.from.logs[a.Source].local) {
					return false
				}
			}
		}
		return true
	}
	for start := time.Now(); !same(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			t.Errorf("not there; told %q %q", there.events, back.events)
			break
		}
	}
	time.Sleep(10 * time.Second) // for whatever else would come
	killThere()
	killBack()
	synctest.Wait()
	for _, d := range []*direction{there, back} {
		for _, a := range list {
			want := d.from.logs[a.Source].local
			if got := d.to.by(a.Remote, d.from.name); !slices.Equal(got, want) {
				t.Errorf("%s of %s has %d records of %s, want %d", a.Remote, d.to.name, len(got), d.from.name, len(want))
			}
			d.checkAcks(t, a.Remote)
		}
		d.chart.check(t, d, list)
		for _, e := range d.events {
			if strings.Contains(e, "somebody else") || strings.Contains(e, "held") || strings.Contains(e, "come again") {
				t.Errorf("told %q", e)
			}
		}
		if d.loads > 2000 {
			t.Errorf("%d times asked for the ids of the opposite flow", d.loads)
		}
	}
}

// checkAcks holds the last process's runs against what stands there.
func (d *direction) checkAcks(t *testing.T, p stream.Partition) {
	t.Helper()
	values := make(map[int64]string)
	for _, e := range d.to.logs[p].batches {
		v, _, _ := batch.Next(e.raw)
		if v.Control() {
			continue
		}
		for i, value := range simValues(e.raw) {
			values[v.BaseOffset()+int64(i)] = value
		}
	}
	for _, a := range d.acks[p] {
		for _, r := range a.Runs {
			for i := range r.Count {
				if got, want := values[int64(r.Down)+i], fmt.Sprintf("%s:%d", d.from.name, int64(r.Up)+i); got != want {
					t.Fatalf("ack says that %s is at %d, there is %q", want, int64(r.Down)+i, got)
				}
			}
		}
	}
}
