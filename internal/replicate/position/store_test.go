package position

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

const topic = "mm2-offsets.primary.internal"

func part(topic string, n int32) stream.Partition { return stream.Partition{Topic: topic, Number: n} }

func TestTakeOverFromMM2(t *testing.T) {
	log := newFakeLog()
	for _, c := range capturedRecords(t) {
		log.put(c.Topic, c.record())
	}
	store := New(log, topic, 25, flow)
	got, err := store.Load(ctx)
	check(t, err)
	want := map[stream.Partition]stream.Upstream{
		part("orders", 0): 497708, part("orders", 1): 496630, part("orders", 2): 503574, part("orders", 3): 502084,
		part("payments", 1): 1, part("payments", 2): 0, part("heartbeats", 0): 614,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}

	// Going on and handing back: only what moved is written, where MM2's own producer would have put it.
	n := len(log.topics[topic])
	store.Set(part("orders", 0), 497708)
	store.Set(part("orders", 3), 600000)
	store.Set(part("payments", 1), 2)
	check(t, store.Flush(ctx))
	wrote := []string{
		`4 ["MirrorSourceConnector",{"cluster":"primary","partition":3,"topic":"orders"}] {"offset":600000}`,
		`17 ["MirrorSourceConnector",{"cluster":"primary","partition":1,"topic":"payments"}] {"offset":2}`,
	}
	if got := log.texts(topic, n); !slices.Equal(got, wrote) {
		t.Errorf("wrote %q\nwant  %q", got, wrote)
	}
}

func TestLoad(t *testing.T) {
	const key = `["MirrorSourceConnector",{"cluster":"primary","partition":0,"topic":"orders"}]`
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	rec := func(p int32, second int64, key, value string) stream.Record {
		r := stream.Record{Partition: p, Timestamp: at(second), Key: []byte(key)}
		if value != "" {
			r.Value = []byte(value)
		}
		return r
	}
	for _, c := range []struct {
		story   string
		records []stream.Record
		want    stream.Upstream // of orders/0; none for no position
		bad     string
	}{
		{story: "an empty topic", want: none},
		{story: "the last value wins", want: 9, records: []stream.Record{
			rec(3, 1, key, `{"offset":5}`), rec(3, 2, key, `{"offset":9}`)}},
		{story: "even when it goes back", want: 5, records: []stream.Record{
			rec(3, 1, key, `{"offset":9}`), rec(3, 2, key, `{"offset":5}`)}},
		{story: "within a partition the order counts, not the clock", want: 9, records: []stream.Record{
			rec(3, 2, key, `{"offset":5}`), rec(3, 1, key, `{"offset":9}`)}},
		{story: "over partitions the clock counts, whichever is read first", want: 9, records: []stream.Record{
			rec(3, 2, key, `{"offset":9}`), rec(7, 1, key, `{"offset":5}`)}},
		{story: "the other way round", want: 9, records: []stream.Record{
			rec(3, 1, key, `{"offset":5}`), rec(7, 2, key, `{"offset":9}`)}},
		{story: "of several as young, the one that loses nothing", want: 5, records: []stream.Record{
			rec(0, 1, key, `{"offset":9}`), rec(1, 1, key, `{"offset":8}`), rec(2, 1, key, `{"offset":7}`), rec(3, 1, key, `{"offset":5}`),
			rec(4, 1, key, `{"offset":6}`), rec(5, 1, key, `{"offset":7}`), rec(6, 1, key, `{"offset":8}`), rec(7, 1, key, `{"offset":9}`)}},
		{story: "a tombstone takes it back", want: none, records: []stream.Record{
			rec(3, 1, key, `{"offset":5}`), rec(3, 2, key, "")}},
		{story: "and a later value puts it there again", want: 7, records: []stream.Record{
			rec(3, 1, key, ""), rec(3, 2, key, `{"offset":7}`)}},
		{story: "another source's positions are not ours", want: none, records: []stream.Record{
			rec(3, 1, strings.Replace(key, "primary", "other", 1), `{"offset":5}`)}},
		{story: "what is not a position is passed over", want: 5, records: []stream.Record{
			rec(0, 1, "", "x"), rec(0, 1, "session-key", "{"), rec(3, 1, key, `{"offset":5}`)}},
		{story: "a damaged position that was replaced does no harm", want: 5, records: []stream.Record{
			rec(3, 1, key, `{"offset":`), rec(3, 2, key, `{"offset":5}`)}},
		{story: "a damaged position that stands is named with its place", bad: topic + "/3 offset 1", records: []stream.Record{
			rec(3, 1, key, `{"offset":5}`), rec(3, 2, key, `{"offset":`)}},
	} {
		t.Run(c.story, func(t *testing.T) {
			log := newFakeLog()
			for _, r := range c.records {
				log.put(topic, r)
			}
			got, err := New(log, topic, 25, flow).Load(ctx)
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Fatalf("error %v, want one that says %q", err, c.bad)
				}
				return
			}
			check(t, err)
			want := map[stream.Partition]stream.Upstream{}
			if c.want != none {
				want[part("orders", 0)] = c.want
			}
			if !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestFlush(t *testing.T) {
	orders, payments := part("orders", 0), part("payments", 0)
	for _, c := range []struct {
		story string
		fail  map[int]int
		do    func(s *Store, log *fakeLog) error
		want  []int // sizes of the appends
	}{
		{"nothing set, nothing written", nil, func(s *Store, _ *fakeLog) error { return s.Flush(ctx) }, nil},
		{"written once", nil, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			return errors.Join(s.Flush(ctx), s.Flush(ctx))
		}, []int{1}},
		{"set again to the same, not written", nil, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			err := s.Flush(ctx)
			s.Set(orders, 1)
			return errors.Join(err, s.Flush(ctx))
		}, []int{1}},
		{"a failed flush is made up for", map[int]int{0: 0}, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			if err := s.Flush(ctx); !errors.Is(err, errDown) {
				return fmt.Errorf("first flush: %w", err)
			}
			return s.Flush(ctx)
		}, []int{1, 1}},
		{"back to the stored value after a failure that may have written: written", map[int]int{1: 1}, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			err := s.Flush(ctx)
			s.Set(orders, 2)
			if err := s.Flush(ctx); !errors.Is(err, errDown) {
				return fmt.Errorf("second flush: %w", err)
			}
			s.Set(orders, 1)
			return errors.Join(err, s.Flush(ctx))
		}, []int{1, 1, 1}},
		{"in batches; what was written before a failure is not repeated", map[int]int{1: 0}, func(s *Store, _ *fakeLog) error {
			for n := range int32(1200) {
				s.Set(part("orders", n), 1)
			}
			if err := s.Flush(ctx); !errors.Is(err, errDown) {
				return fmt.Errorf("first flush: %w", err)
			}
			return s.Flush(ctx)
		}, []int{500, 500, 500, 200}},
		{"set while a flush is under way: written by the next", nil, func(s *Store, log *fakeLog) error {
			s.Set(orders, 1)
			log.during = func() { s.Set(orders, 2) }
			return errors.Join(s.Flush(ctx), s.Flush(ctx), s.Flush(ctx))
		}, []int{1, 1}},
		{"a forgotten partition is not written", nil, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			s.Set(payments, 1)
			s.Forget(orders)
			return s.Flush(ctx)
		}, []int{1}},
		{"forgotten while a flush is under way, it came back: written", nil, func(s *Store, log *fakeLog) error {
			s.Set(orders, 1)
			log.during = func() { s.Forget(orders) }
			err := s.Flush(ctx)
			log.during = nil
			s.Set(orders, 1)
			return errors.Join(err, s.Flush(ctx))
		}, []int{1, 1}},
		{"one that came back is written even if unchanged here: another process had it", nil, func(s *Store, _ *fakeLog) error {
			s.Set(orders, 1)
			err := s.Flush(ctx)
			s.Forget(orders)
			s.Set(orders, 1)
			return errors.Join(err, s.Flush(ctx))
		}, []int{1, 1}},
	} {
		t.Run(c.story, func(t *testing.T) {
			log := newFakeLog()
			log.fail = c.fail
			check(t, c.do(New(log, topic, 25, flow), log))
			if !slices.Equal(log.appends, c.want) {
				t.Errorf("appends of %v records, want %v", log.appends, c.want)
			}
		})
	}
}

// Whatever is set, fails and is flushed: after a flush that returned nil, a new Store loads exactly what was set.
func TestLoadGivesWhatWasFlushed(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		log := newFakeLog()
		log.fail = map[int]int{}
		for range 6 {
			log.fail[rnd.IntN(12)] = rnd.IntN(2) - 1
		}
		partitions := 1 + rnd.Int32N(30)
		store := New(log, topic, partitions, flow)
		set := map[stream.Partition]stream.Upstream{}
		for step := range 60 {
			if rnd.IntN(4) > 0 {
				p := part([]string{"orders", "payments"}[rnd.IntN(2)], rnd.Int32N(4))
				set[p] = stream.Upstream(rnd.Int64N(4))
				store.Set(p, set[p])
				continue
			}
			if store.Flush(ctx) != nil {
				continue
			}
			got, err := New(log, topic, partitions, flow).Load(ctx)
			check(t, err)
			if !maps.Equal(got, set) {
				t.Fatalf("seed %d step %d: loaded %v, set %v", seed, step, got, set)
			}
		}
	}
}
