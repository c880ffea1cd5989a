package metrics

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scraped is what one scrape finds for a partition.
func scraped(r *rates, now time.Time, c counts) (records, bytes float64) {
	base, note, done := r.turn(now)
	defer done()
	key := counted{flow: "A->B", topic: "A.orders"}
	if note != nil {
		note(key, c)
	}
	return base.rate(key, c, now)
}

func TestRates(t *testing.T) {
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name  string
		steps [][3]int // second, records by then, records a second times 100
	}{
		{"right after the start it is over half a minute, as with Kafka", [][3]int{{1, 30, 100}, {10, 300, 1000}, {30, 900, 3000}}},
		{"the first scrape comes late", [][3]int{{600, 6000, 1000}}},
		{"steady", [][3]int{{15, 150, 500}, {30, 300, 1000}, {45, 450, 1000}, {60, 600, 1000}, {75, 750, 1000}, {600, 6000, 1000}}},
		{"two who scrape", [][3]int{{30, 300, 1000}, {31, 310, 1000}, {45, 450, 1000}, {46, 460, 1000}, {60, 600, 1000}, {61, 610, 1000}}},
		{"a burst is over after a minute", [][3]int{{30, 0, 0}, {60, 3000, 10000}, {75, 3000, 6666}, {90, 3000, 0}, {105, 3000, 0}}},
		{"scrapes that are rare", [][3]int{{120, 1200, 1000}, {240, 1200, 0}, {360, 2400, 1000}}},
		{"the partition went away and came back", [][3]int{{30, 5000, 16666}, {60, 10, 33}, {90, 310, 1000}}},
	} {
		r := newRates(noon)
		for _, step := range c.steps {
			records, bytes := scraped(r, second(step[0]), counts{int64(step[1]), int64(step[1]) * 10})
			if int(records*100+0.001) != step[2] {
				t.Errorf("%s: %.3f a second at %d s, not %.2f", c.name, records, step[0], float64(step[2])/100)
			}
			if diff := bytes - 10*records; diff > 1e-6 || diff < -1e-6 {
				t.Errorf("%s: %f bytes a second and %f records", c.name, bytes, records)
			}
		}
	}
}

// Whoever scrapes, and when: a rate is over at least half a minute, and over no more than a minute or the longest pause.
func TestRatesAreOverAMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		// Counts rise by the square of time, so that a rate tells over how long it was taken: (a²-b²)/(a-b) = a+b.
		kept := newRates(noon)
		now, pause := 0, 0
		for range 60 {
			step := 1 + r.IntN(40)
			now, pause = now+step, max(pause, step)
			got, _ := scraped(kept, noon.Add(time.Duration(now)*time.Second), counts{records: int64(now) * int64(now)})
			if now < 30 {
				continue
			}
			since := got - float64(now)
			if over := float64(now) - since; over < 30-1e-6 || over > float64(60+pause) {
				t.Fatalf("a rate over %f s with pauses of %d s", over, pause)
			}
		}
	}
}

func TestPartitionsThatAreGoneAreForgotten(t *testing.T) {
	r := newRates(noon)
	for i := range 100 {
		_, note, done := r.turn(noon.Add(time.Duration(i) * rateFor))
		if note != nil {
			note(counted{number: int32(i)}, counts{1, 1})
		}
		done()
	}
	if n := len(r.base.counts) + len(r.last.counts); n != 2 {
		t.Errorf("%d counts are kept", n)
	}
}

// What a scrape sees is noted for the next ones.
func TestRatesOfScrapes(t *testing.T) {
	now, s := noon, busy()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newCollector(options(nil), func() Snapshot { return s }, func() time.Time { return now }))
	for range 5 {
		now = now.Add(40 * time.Second)
		s.Flows[0].Partitions[0].Records += 80
		s.Flows[0].Partitions[0].Bytes += 4000
		got := gather(t, r)
		if now.Equal(noon.Add(40 * time.Second)) {
			continue // with what busy begins with
		}
		for name, want := range map[string]float64{"record_rate": 2, "byte_rate": 100} {
			name = "kafka_connect_mirror_mirrorsourceconnector_" + name + `{partition="1",source="A",target="B",topic="A.orders"}`
			if got[name] != want {
				t.Errorf("%s is %v, not %v", name, got[name], want)
			}
		}
	}
}
