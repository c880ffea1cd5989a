package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A throttled topic arrives at the rate of its bound, while another of the same brokers is done long before; without the bound,
// which is taken out of the file while mirror runs, the rest comes at once.
func TestThrottledTopic(t *testing.T) {
	const (
		size, rate = 1000, 200_000
		most       = 60 * rate // bytes of the throttled topic: a minute's
	)
	a, b := clusters(t)
	a.create("pace-slow", 3, 1, nil)
	a.create("pace-fast", 1, 1, nil)
	for p := range int32(3) {
		a.write("pace-slow", toPartition(p, ofSize(most/size/3, size)), kgo.ProducerBatchMaxBytes(16<<10))
	}
	a.write("pace-fast", ofSize(2*most/size, size))
	began := time.Now()
	properties := fmt.Sprintf(oneBroker+quiet+`
clusters = pace, paceB
pace.bootstrap.servers = %s
paceB.bootstrap.servers = %s
pace->paceB.enabled = true
pace->paceB.topics = pace-.*
pace->paceB.throttle.topics = pace-s.*=%d
`, a.Bootstrap, b.Bootstrap, rate)
	m := startMirror(t, properties)
	m.until("the topic without a bound", b.holds("pace.pace-fast", 2*most/size))
	fast := time.Since(began)
	m.until("the throttled topic to begin", b.reaches("pace.pace-slow", 1))

	at := func() (time.Time, int64) {
		n, err := b.count("pace.pace-slow")
		if err != nil {
			t.Fatal(err)
		}
		return time.Now(), n
	}
	from, before := at()
	m.until("some seconds of the throttled topic", b.reaches("pace.pace-slow", before+5*rate/size))
	to, after := at()
	measured := float64((after-before)*size) / to.Sub(from).Seconds()
	t.Logf("%.0f bytes in a second, of %d; the topic without a bound was there after %v", measured, rate, fast)
	if measured < 0.5*rate || measured > 1.1*rate {
		t.Errorf("%d records in %v are %.0f bytes in a second, of %d", after-before, to.Sub(from), measured, rate)
	}
	if whole := most / rate * time.Second; fast > whole/2 {
		t.Errorf("the topic without a bound took %v, with the bound of the other one it would have been %v", fast, 2*whole)
	}
	if _, page := m.get("/metrics"); !strings.Contains(page, `tandem_partitions{flow="pace->paceB",state="throttled"} 3`) {
		t.Errorf("it is not told that partitions are throttled:\n%s", grep(page, "tandem_partitions"))
	}

	left := most/size - after
	file := propertiesFile(t, properties)
	if err := os.WriteFile(file, []byte(strings.Replace(properties, "throttle.topics", "#throttle.topics", 1)+"\nstatus.address = 127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from = time.Now()
	if err := m.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.until("the rest", b.holds("pace.pace-slow", most/size))
	if took := time.Since(from).Seconds(); took > float64(left*size)/rate/2 {
		t.Errorf("the last %d records took %.1f s after the bound was taken away", left, took)
	}
	m.stop()
}

func ofSize(records, size int) (list []*kgo.Record) {
	for i := range records {
		list = append(list, &kgo.Record{Value: fmt.Appendf(nil, "%0*d", size-20, i)})
	}
	return list
}
