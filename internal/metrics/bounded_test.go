package metrics

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"tandem/internal/stream"
)

// large is a snapshot of many partitions, in no order, and as many positions of groups.
func large(flows, each int) Snapshot {
	s := busy()
	like := s.Flows[0]
	s.Flows = nil
	for i := range flows {
		f := like
		f.Name = fmt.Sprintf("A%d->B", i)
		groups := *like.Groups
		f.Groups, groups.Checkpoints, f.Partitions = &groups, nil, nil
		for j := range each {
			p := like.Partitions[0]
			p.Topic, p.Number = fmt.Sprintf("topic-%04d", j/10), int32(j%10)
			p.Remote = stream.Partition{Topic: fmt.Sprintf("A%d.%s", i, p.Topic), Number: p.Number}
			f.Partitions = append(f.Partitions, p)
			groups.Checkpoints = append(groups.Checkpoints, Checkpoint{Group: fmt.Sprintf("group-%04d", j/100), Remote: p.Remote, Latency: p.Latency})
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(each, func(a, b int) {
			f.Partitions[a], f.Partitions[b] = f.Partitions[b], f.Partitions[a]
		})
		s.Flows = append(s.Flows, f)
	}
	return s
}

func TestNumberOfSeriesIsBounded(t *testing.T) {
	s := large(2, 2500)
	o := options(busyTimes())
	o.Partitions = 0
	without := gather(t, at(t, o, s))
	if len(without) > 200 {
		t.Errorf("%d series without any partition", len(without))
	}
	o.Partitions = 1000
	all := gather(t, at(t, o, s))
	if got, want := len(all)-len(without), 1000*(2+13+4); got != want {
		t.Errorf("%d series of partitions, not %d", got, want)
	}
	for name, want := range map[string]float64{
		`tandem_partitions_not_shown{flow="A0->B"}`: 1500, `tandem_partitions_not_shown{flow="A1->B"}`: 2500,
		`tandem_lag_records{flow="A0->B"}`: 7 * 2500, `tandem_lag_records{flow="A1->B"}`: 7 * 2500,
		`tandem_partitions{flow="A1->B",state="halted"}`:                                                             2500,
		`tandem_partition_lag_records{flow="A0->B",partition="0",topic="topic-0000"}`:                                7,
		`tandem_partition_lag_records{flow="A0->B",partition="9",topic="topic-0099"}`:                                7,
		`kafka_connect_source_task_source_record_active_count{connector="\"A1->B.MirrorSourceConnector\"",task="0"}`: 4 * 2500,
	} {
		if value, ok := all[name]; !ok || value != want {
			t.Errorf("%s is %v (%t), not %v", name, value, ok, want)
		}
	}
	for name := range all {
		if strings.HasPrefix(name, `tandem_partition_lag`) && strings.Contains(name, "A1->B") {
			t.Fatalf("%s is shown", name)
		}
	}
}

// The limit holds for all flows together, whatever they have, and shows the first.
func TestChosenAreTheFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		flows := make([]Flow, r.IntN(4))
		var want []string
		for i := range flows {
			flows[i].Name = fmt.Sprint("flow", (i*7+3)%5)
			there := make(map[string]Partition)
			for range r.IntN(8) {
				p := Partition{Topic: fmt.Sprint("t", r.IntN(3)), Number: int32(r.IntN(12))}
				there[fmt.Sprintf("%s %s %02d", flows[i].Name, p.Topic, p.Number)] = p
				flows[i].Partitions = append(flows[i].Partitions, p)
			}
			want = slices.AppendSeq(want, maps.Keys(there))
		}
		slices.Sort(want)
		most, total := r.IntN(12), len(want)
		want = want[:min(most, total)]
		var got []string
		hidden := 0
		chosen := choose(flows, most)
		for _, f := range chosen {
			hidden += f.hidden
			for _, p := range f.shown {
				got = append(got, fmt.Sprintf("%s %s %02d", f.Name, p.Topic, p.Number))
			}
		}
		if !slices.Equal(got, want) || hidden != total-len(want) {
			t.Fatalf("of %v at most %d: %v and %d hidden, not %v", flows, most, got, hidden, want)
		}
		if !slices.IsSortedFunc(chosen, func(a, b shownFlow) int { return cmp.Compare(a.Name, b.Name) }) {
			t.Fatal("flows in no order")
		}
	}
}

// The snapshot may be asked for, shown and added to at the same time.
func TestScrapesAtOnce(t *testing.T) {
	h := NewHistograms()
	s := large(2, 50)
	r := NewRegistry(options(h), func() Snapshot { return s })
	done := make(chan error)
	for range 4 {
		go func() {
			for range 5 {
				if _, err := r.Gather(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		go func() {
			for i := range 500 {
				f := h.ForFlow(fmt.Sprintf("A%d->B", i%2))
				f.Acked(time.Duration(i) * time.Millisecond)
				f.Heartbeat(time.Duration(i) * time.Millisecond)
				f.Committed(time.Millisecond)
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, c := range []struct{ partitions, shown int }{{1000, 1000}, {10_000, 1000}, {10_000, 10_000}} {
		s := large(1, c.partitions)
		s.Flows[0].Groups.Checkpoints = s.Flows[0].Groups.Checkpoints[:min(c.partitions, 1000)]
		o := options(busyTimes())
		o.Partitions = c.shown
		collect := newCollector(o, func() Snapshot { return s }, time.Now)
		b.Run(fmt.Sprintf("collect/%d of %d", c.shown, c.partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out := make(chan prometheus.Metric, 1000)
				go func() {
					collect.Collect(out)
					close(out)
				}()
				for range out {
				}
			}
		})
		b.Run(fmt.Sprintf("all/%d of %d", c.shown, c.partitions), func(b *testing.B) {
			r := NewRegistry(o, func() Snapshot { return s })
			b.ReportAllocs()
			for b.Loop() {
				families, err := r.Gather()
				if err != nil {
					b.Fatal(err)
				}
				encoder := expfmt.NewEncoder(io.Discard, expfmt.NewFormat(expfmt.TypeTextPlain))
				for _, f := range families {
					if err := encoder.Encode(f); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
