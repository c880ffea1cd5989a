package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// While a killed mirror is away, the source is compacted: what had been copied is no longer there to be counted.
func TestKillThenCompaction(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "holes-state", "holes.holes-state"
	a.create(topic, 1, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"})
	properties := fmt.Sprintf(gapsProperties, "holes", a.Bootstrap, b.Bootstrap)
	round := func(n, records int) {
		var list []*kgo.Record
		for i := range records {
			list = append(list, &kgo.Record{
				Key: fmt.Appendf(nil, "key-%d", i%20), Value: fmt.Appendf(nil, "round %d, %d", n, i),
				Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n)*10_000 + int64(i)),
			})
		}
		a.write(topic, list)
	}
	m := startMirror(t, properties)
	m.waitFor("replicating 1 partitions")
	round(0, 1000)
	m.until("the first round", b.holds(remote, 1000))
	m.Kill()

	round(1, 600)
	round(2, 40)
	eventually(t, "holes in "+topic, func() error {
		if kept := a.read(topic)[0]; len(kept) > 100 {
			return fmt.Errorf("%d records are left", len(kept))
		}
		return nil
	})
	// What compaction took before mirror came back cannot arrive; everything else does, once and in order.
	var want []*kgo.Record
	for _, r := range a.read(topic)[0] {
		if r.Offset >= 1000 {
			want = append(want, r)
		}
	}
	m = startMirror(t, properties)
	m.until("what is left", b.holds(remote, int64(1000+len(want))))
	m.stop()
	wantSame(t, [][]*kgo.Record{want}, [][]*kgo.Record{b.read(remote)[0][1000:]})
}
