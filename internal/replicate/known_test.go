package replicate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tandem/internal/stream"
)

// answer is one that the model remembers: all of them, for ever.
type answer struct {
	end        stream.Upstream
	asked, got time.Duration
}

// knownModel is the dumb second implementation.
type knownModel []answer

// sure is the latest question of which all that it told of is on the target.
func (m knownModel) sure(acked stream.Upstream) (at time.Duration) {
	for _, a := range m {
		if a.end <= acked {
			at = max(at, a.asked)
		}
	}
	return at
}

// waits is since the first answer that told of the record at acked.
func (m knownModel) waits(acked stream.Upstream, now time.Duration) time.Duration {
	for _, a := range m {
		if a.end > acked {
			return max(now-a.got, 1)
		}
	}
	return 0
}

// TestKnownAtRandom: what is known against the model, and against what was really written when.
func TestKnownAtRandom(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			var (
				now     time.Duration
				end     stream.Upstream
				written = map[stream.Upstream]time.Duration{} // offset by time
				acked   stream.Upstream
				model   knownModel
				late    []answer // outright answers on their way
				stalled = r.IntN(2) == 0
			)
			k := known{end: -1}
			asked := time.Duration(0) // the fetch that is open
			for range 600 {
				now += time.Duration(1 + r.IntN(500))
				for range r.IntN(3) {
					written[end] = now
					end++
				}
				switch r.IntN(5) {
				case 0, 1: // a fetch is answered, and the next one sent
					k.told(end, acked, asked, now, false)
					model = append(model, answer{end, asked, now})
					asked = now
				case 2: // one says nothing
					if n := len(model); n > 0 && k.end == end && !k.doubt {
						k.still(asked, acked)
						model = append(model, answer{end, asked, now})
						asked = now
					}
				case 3:
					late = append(late, answer{end, now, 0})
				case 4:
					if len(late) > 0 {
						a := late[0]
						late = late[1:]
						a.got = now
						k.told(a.end, acked, a.asked, now, true)
						if model = append(model, a); a.end < k.end { // an old one is of no use, and says no wrong
							model = model[:len(model)-1]
						}
					}
				}
				if r.IntN(40) == 0 {
					stalled = !stalled
				}
				if known := max(k.end, 0); !stalled && acked < known {
					acked += stream.Upstream(1 + r.IntN(int(known-acked)))
				}
				waits, _ := k.waits(acked, now)
				if !k.ever && model.sure(acked) > 0 || k.sure > model.sure(acked) {
					t.Fatalf("sure of %v, the model of %v", k.sure, model.sure(acked))
				}
				for offset := acked; offset < end; offset++ {
					if k.ever && written[offset] < k.sure {
						t.Fatalf("sure of %v, but %d was written at %v and %d is acknowledged", k.sure, offset, written[offset], acked)
					}
				}
				if want := model.waits(acked, now); waits < want || (waits == 0) != (want == 0) {
					t.Fatalf("waits for %v, the model says %v", waits, want)
				}
				if len(k.list) > sightings {
					t.Fatalf("%d sightings", len(k.list))
				}
			}
			// All is copied, and the source is asked once more.
			acked = end
			k.told(end, acked, now, now, true)
			if waits, _ := k.waits(acked, now); waits != 0 || k.sure != now || len(k.list) != 0 {
				t.Errorf("in the end it waits for %v and is sure of %v of %v", waits, k.sure, now)
			}
		})
	}
}

// TestKnownIsExactWhileItHasRoom, and close to it when it has not.
func TestKnownIsExactWhileItHasRoom(t *testing.T) {
	for _, c := range []struct {
		answers int
		within  time.Duration // of an hour or less
	}{{sightings, 0}, {1800, 4 * time.Minute}} {
		k := known{end: -1}
		var model knownModel
		k.told(0, 0, 0, 0, false)
		for i := range c.answers { // the target is away
			at := time.Duration(i+1) * 2 * time.Second
			k.told(stream.Upstream(i+1), 0, at, at, true)
			model = append(model, answer{stream.Upstream(i + 1), at, at})
		}
		now := time.Duration(c.answers+1) * 2 * time.Second
		for acked := range stream.Upstream(c.answers + 1) { // and back
			waits, _ := k.waits(acked, now)
			if d := waits - model.waits(acked, now); d < 0 || d > c.within {
				t.Fatalf("%d answers, %d acknowledged: waits for %v, the model says %v", c.answers, acked, waits, model.waits(acked, now))
			}
			if d := model.sure(acked) - k.sure; d < 0 || d > c.within {
				t.Fatalf("%d answers, %d acknowledged: sure of %v, the model of %v", c.answers, acked, k.sure, model.sure(acked))
			}
		}
		if cap(k.list) > sightings/4 && len(k.list) == 0 {
			t.Errorf("an empty list keeps room for %d", cap(k.list))
		}
	}
}

func TestKnownStories(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name  string
		story func(k *known)
		acked stream.Upstream // at 100 s
		end   stream.Upstream
		waits time.Duration
		sure  time.Duration
		doubt bool
	}{
		{"nothing said", func(*known) {}, 0, -1, 0, 0, false},
		{"at the end", func(k *known) { k.told(5, 5, 9*s, 10*s, false) }, 5, 5, 0, 9 * s, false},
		{"and still", func(k *known) { k.told(5, 5, 9*s, 10*s, false); k.still(99*s, 5) }, 5, 5, 0, 99 * s, false},
		{"a backlog", func(k *known) { k.told(5, 2, 9*s, 10*s, false) }, 3, 5, 90 * s, 0, false},
		{"a backlog, copied since", func(k *known) { k.told(5, 2, 9*s, 10*s, false) }, 5, 5, 0, 9 * s, false},
		{"more came", func(k *known) {
			k.told(5, 5, 9*s, 10*s, false)
			k.told(7, 5, 10*s, 11*s, false)
			k.told(9, 5, 11*s, 12*s, false)
		},
			6, 9, 89 * s, 9 * s, false},
		{"part of it was copied", func(k *known) {
			k.told(5, 5, 9*s, 10*s, false)
			k.told(7, 5, 10*s, 11*s, false)
			k.told(9, 5, 11*s, 12*s, false)
		}, 7, 9, 88 * s, 10 * s, false},
		{"a new leader knows less for a moment", func(k *known) {
			k.told(7, 5, 9*s, 10*s, false)
			k.told(5, 5, 10*s, 11*s, false)
			k.still(50*s, 5)
		}, 5, 7, 90 * s, 0, true},
		{"and then as much", func(k *known) {
			k.told(7, 5, 9*s, 10*s, false)
			k.told(5, 5, 10*s, 11*s, false)
			k.told(7, 5, 12*s, 12*s, true)
		}, 7, 7, 0, 12 * s, false},
		{"the source has lost what was not copied", func(k *known) {
			k.told(7, 5, 9*s, 10*s, false)
			k.told(9, 5, 10*s, 11*s, false)
			k.told(6, 5, 12*s, 12*s, true)
		}, 5, 6, 90 * s, 0, false},
		{"all of it", func(k *known) {
			k.told(5, 5, 8*s, 8*s, false)
			k.told(7, 5, 9*s, 10*s, false)
			k.told(5, 5, 12*s, 12*s, true)
		}, 5, 5, 0, 12 * s, false},
		{"what was copied: reading will tell", func(k *known) {
			k.told(7, 5, 9*s, 10*s, false)
			k.told(3, 5, 12*s, 12*s, true)
		}, 5, 7, 90 * s, 0, true},
		{"an old answer comes late", func(k *known) {
			k.told(7, 5, 9*s, 10*s, false)
			k.told(5, 5, 8*s, 12*s, true)
		}, 5, 7, 90 * s, 0, false},
		{"goes back", func(k *known) { k.told(7, 7, 9*s, 10*s, false); k.back(4, 60*s) }, 4, 7, 40 * s, 9 * s, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := known{end: -1}
			c.story(&k)
			waits, _ := k.waits(c.acked, 100*s)
			if k.end != c.end || waits != c.waits || k.sure != c.sure || k.doubt != c.doubt {
				t.Errorf("ends at %d, waits for %v, sure of %v, in doubt %v; want %d, %v, %v, %v", k.end, waits, k.sure, k.doubt, c.end, c.waits, c.sure, c.doubt)
			}
		})
	}
}

// TestLately against all values that were measured, as Kafka's SampledStat has them.
func TestLately(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	type value struct{ v, at time.Duration }
	var all []value
	var l lately
	now := time.Duration(0)
	if m := l.measure(now); m.Seen || m.Batches != 0 {
		t.Errorf("before the first: %+v", m)
	}
	for range 5000 {
		now += time.Duration(r.Int64N(int64(3 * time.Second)))
		if r.IntN(200) == 0 {
			now += 2 * time.Minute
		}
		m := l.measure(now)
		recent, window := 0, 0
		for _, v := range all {
			if now-v.at < windowOf {
				recent++
			}
			if now-v.at < 2*windowOf {
				window++
			}
		}
		if m.Batches < int64(recent) || m.Batches > int64(window) {
			t.Fatalf("%d in the window, at least %d, at most %d", m.Batches, recent, window)
		}
		if len(all) > 0 && (!m.Seen || m.Last != all[len(all)-1].v) {
			t.Fatalf("last %v", m.Last)
		}
		if n := int(m.Batches); n > 0 { // the last n
			low, high, sum := all[len(all)-n].v, all[len(all)-n].v, time.Duration(0)
			for _, v := range all[len(all)-n:] {
				low, high, sum = min(low, v.v), max(high, v.v), sum+v.v
			}
			if m.Min != low || m.Max != high || m.Avg != sum/time.Duration(n) {
				t.Fatalf("%+v, want %v to %v, %v", m, low, high, sum/time.Duration(n))
			}
		}
		v := value{time.Duration(r.Int64N(1000)) - 100, now}
		l.add(v.v, v.at)
		all = append(all, v)
	}
}

// perBatch is what a batch costs beside its copy: the end that came with it, its age, and its acknowledgement's latency.
func perBatch() func() {
	k, m := known{end: -1}, new(measures)
	now, end := time.Duration(0), stream.Upstream(0)
	return func() {
		now, end = now+time.Millisecond, end+100
		k.still(now-time.Millisecond, end-200)
		k.told(end, end-200, now-time.Millisecond/2, now, false) // two batches are on their way
		m.age.add(time.Millisecond, now)
		m.latency.add(2*time.Millisecond, now)
	}
}

func TestWhatABatchCosts(t *testing.T) {
	batch := perBatch()
	for range 100 {
		batch()
	}
	if n := testing.AllocsPerRun(1000, batch); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}

func BenchmarkWhatABatchCosts(b *testing.B) {
	batch := perBatch()
	b.ReportAllocs()
	for b.Loop() {
		batch()
	}
}
