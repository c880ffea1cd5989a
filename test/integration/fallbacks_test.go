package integration

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

// knowsProducers says whether a partition remembers any producer id.
func (s side) knowsProducers(topic string) (bool, error) {
	of := kmsg.NewDescribeProducersRequestTopic()
	of.Topic, of.Partitions = topic, []int32{0}
	request := kmsg.NewPtrDescribeProducersRequest()
	request.Topics = append(request.Topics, of)
	for _, shard := range s.client.RequestSharded(s.t.Context(), request) {
		if shard.Err != nil {
			return false, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.DescribeProducersResponse).Topics {
			return len(t.Partitions[0].ActiveProducers) > 0, nil
		}
	}
	return false, fmt.Errorf("no answer")
}

func (s side) forgotten(topic string) func() error {
	return func() error {
		known, err := s.knowsProducers(topic)
		if err == nil && known {
			err = fmt.Errorf("%s still knows a producer id", topic)
		}
		return err
	}
}

// The target has forgotten our producer id: nothing but the offsets and the records themselves tell where to go on.
func TestForgottenProducer(t *testing.T) {
	a, _ := clusters(t)
	config := map[string]string{"producer.id.expiration.ms": "1500", "producer.id.expiration.check.interval.ms": "200", "transactional.id.expiration.ms": "2000"}
	maps.Copy(config, brokerConfig)
	b := on(t, realkafka.Start(t, realkafka.Options{Config: config}))
	const first = 3000
	tests := []struct {
		name   string
		alias  string
		kill   bool
		change func(a, b side, topic, remote string) // while mirror is away
		kept   int                                   // records of before that stay on the target
		told   string                                // at the second start
		source map[string]string
	}{
		{name: "after a stop", alias: "exp0", kept: first},
		{name: "after a kill", alias: "exp1", kill: true, kept: first},
		{name: "after a kill, and retention emptied the partition", alias: "exp2", kill: true, told: "no longer has all",
			change: func(_, b side, _, remote string) { b.deleteRecords(remote, 0, first) }},
		{name: "after a stop, and retention emptied the partition", alias: "exp3",
			change: func(_, b side, _, remote string) { b.deleteRecords(remote, 0, first) }},
		{name: "after a kill, and retention took a part", alias: "exp4", kill: true, told: "no longer has all", kept: first - 2000,
			change: func(_, b side, _, remote string) { b.deleteRecords(remote, 0, 2000) }},
		{name: "the remote topic was made anew", alias: "exp5", told: "was deleted and made anew",
			change: func(_, b side, _, remote string) {
				b.delete(remote)
				eventually(b.t, "the topic to go", func() error {
					if _, err := b.describe(remote); err == nil {
						return fmt.Errorf("still there")
					}
					return nil
				})
			}},
		{name: "after a kill, and the source was compacted", alias: "exp6", kill: true, kept: first,
			source: map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"},
			change: func(a, _ side, topic, _ string) {
				eventually(a.t, "holes in "+topic, func() error {
					if kept := a.read(topic)[0]; len(kept) > 1200 {
						return fmt.Errorf("%d records are left", len(kept))
					}
					return nil
				})
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			topic, remote := tt.alias+"-numbers", tt.alias+"."+tt.alias+"-numbers"
			a.create(topic, 1, 1, tt.source)
			properties := fmt.Sprintf(gapsProperties, tt.alias, a.Bootstrap, b.Bootstrap)
			m := startMirror(t, properties)
			m.waitFor("replicating 1 partitions")
			a.write(topic, withKeys(0, first-500))
			a.write(topic, withKeys(first-500, 500))
			m.until("the first records", b.holds(remote, first))
			if tt.kill {
				m.Kill()
			} else {
				m.stop()
			}
			a.write(topic, withKeys(first, 1000))
			if tt.change != nil {
				tt.change(a, b, topic, remote)
			}
			var want []*kgo.Record // what is to come
			for _, r := range a.read(topic)[0] {
				if r.Offset >= first {
					want = append(want, r)
				}
			}
			if tt.alias != "exp5" {
				eventually(t, "the producer id to be forgotten", b.forgotten(remote))
			}
			m = startMirror(t, properties)
			end := int64(first + len(want))
			if tt.alias == "exp5" {
				end = int64(len(want))
			}
			m.until("the rest", b.reaches(remote, end))
			if tt.told != "" {
				m.waitFor(`"level":"warn"`, tt.told)
			}
			m.stop()
			if tt.told == "" {
				wantLines(t, m, 0, `"level":"warn"`)
			}
			wantLines(t, m, 0, `"level":"error"`)
			got := b.read(remote)[0]
			if len(got) < tt.kept || len(got) != tt.kept+len(want) {
				t.Fatalf("%d records, want %d and %d", len(got), tt.kept, len(want))
			}
			wantSame(t, [][]*kgo.Record{want}, [][]*kgo.Record{got[tt.kept:]})
		})
	}
}

// withKeys numbers records and gives them a hundred keys, and timestamps that start a new segment with each call.
func withKeys(from, n int) (records []*kgo.Record) {
	for _, r := range numberedFrom(from, n) {
		r.Key = fmt.Appendf(nil, "key-%s", r.Value[max(0, len(r.Value)-2):])
		r.Timestamp = time.UnixMilli(1_700_000_000_000 + int64(from)*10)
		records = append(records, r)
	}
	return records
}

// The target's internal topic with the producer id and the places was deleted: the positions in MM2's topic and the records
// themselves tell where to go on.
func TestForgottenPlaces(t *testing.T) {
	a, b := clusters(t)
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			alias := "places" + how
			topic, remote := alias+"-numbers", alias+"."+alias+"-numbers"
			a.create(topic, 4, 1, nil)
			properties := fmt.Sprintf(takeoverProperties, alias, a.Bootstrap, b.Bootstrap)
			w := startWriter(a, topic, 4)
			m := startMirror(t, properties)
			w.grows(5000)
			m.until("records to flow", b.reaches(remote, w.total()))
			if how == "killed" {
				m.Kill()
			} else {
				m.stop()
			}
			b.delete("mm2-tandem." + alias + ".internal")
			eventually(t, "the topic to go", func() error {
				if _, err := b.describe("mm2-tandem." + alias + ".internal"); err == nil {
					return fmt.Errorf("still there")
				}
				return nil
			})
			m = startMirror(t, properties)
			written := w.end()
			m.until("the rest", b.reaches(remote, written))
			m.stop()
			w.wantEachOnce(b, remote)
		})
	}
}

// Somebody else writes to the remote topic, while mirror runs and while it is away. Its partition is halted, the others are
// not; a restart goes on behind those records.
func TestForeignWriter(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "foreign-numbers", "foreign.foreign-numbers"
	a.create(topic, 2, 1, nil)
	properties := fmt.Sprintf(takeoverProperties, "foreign", a.Bootstrap, b.Bootstrap)
	both := func(from, n int) {
		for p := range int32(2) {
			a.write(topic, toPartition(p, numberedFrom(from, n)))
		}
	}
	foreign := func() { b.write(remote, toPartition(0, []*kgo.Record{{Value: []byte("foreign")}})) }
	both(0, 100)
	m := startMirror(t, properties)
	m.until("the records", b.holds(remote, 200))
	foreign()
	both(100, 100)
	m.waitFor(`"level":"error"`, "foreign-numbers/0 is held", "halted", "somebody else writes to foreign.foreign-numbers/0: offsets 100 to 100 are by producer id")
	m.until("the other partition", b.reaches(remote, 301))
	m.stop()
	wantLines(t, m, 1, `"level":"error"`)
	m = startMirror(t, properties)
	m.until("all", b.holds(remote, 401))
	m.stop()

	foreign()
	both(200, 100)
	m = startMirror(t, properties)
	m.waitFor(`"level":"error"`, "foreign-numbers/0 is held", "offsets 201 to 201 are by producer id")
	m.until("the other partition", b.holds(remote, 502))
	m.stop()
	m = startMirror(t, properties)
	m.until("all", b.holds(remote, 602))
	m.stop()
	wantLines(t, m, 0, `"level":"error"`)
	got := b.read(remote)
	var ours []*kgo.Record
	for _, r := range got[0] {
		if string(r.Value) != "foreign" {
			ours = append(ours, r)
		}
	}
	if c := count([][]*kgo.Record{ours, got[1]}, []int64{300, 300}); c != (tally{records: 600}) {
		t.Errorf("%+v", c)
	}
}
