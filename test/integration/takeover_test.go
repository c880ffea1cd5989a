package integration

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startPaced writes the same numbered records as startWriter, at a rate that MM2 follows on a small machine.
func startPaced(s side, topic string, partitions, perSecond int) *paced {
	s.t.Helper()
	p := &paced{side: s, stop: make(chan struct{}), done: make(chan struct{})}
	client := s.newClient(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond))
	go func() {
		defer close(p.done)
		tick := time.NewTicker(burst)
		defer tick.Stop()
		for n := int64(0); ; {
			var records []*kgo.Record
			for range int64(perSecond) * int64(burst) / int64(time.Second) {
				records = append(records, &kgo.Record{Partition: int32(n % int64(partitions)), Value: fmt.Appendf(nil, "%d", n/int64(partitions))})
				n++
			}
			if p.err = client.ProduceSync(s.t.Context(), records...).FirstErr(); p.err != nil {
				return
			}
			p.records.Store(n)
			select {
			case <-tick.C:
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

type paced struct {
	side       side
	records    atomic.Int64
	stop, done chan struct{}
	err        error
}

// grows waits until so many records more were written, and says how many there are.
func (p *paced) grows(more int64) int64 {
	p.side.t.Helper()
	from := p.records.Load()
	eventually(p.side.t, "more records", func() error {
		if n := p.records.Load(); n < from+more {
			return fmt.Errorf("%d of %d", n-from, more)
		}
		return nil
	})
	return p.records.Load()
}

func (p *paced) end() int64 {
	p.side.t.Helper()
	close(p.stop)
	<-p.done
	if p.err != nil {
		p.side.t.Fatal(p.err)
	}
	return p.records.Load()
}

const takeoverProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
`

// MM2 is killed under load, and mirror goes on; mirror is killed and goes on, is stopped, and MM2 goes on. What MM2 repeats of
// its own is not looked at: of what came on mirror's watch, nothing is lost or repeated.
func TestMM2AndBack(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "back-numbers", "back.back-numbers", 4
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(takeoverProperties, "back", a.Bootstrap, b.Bootstrap)
	w := startPaced(a, topic, partitions, 2000)
	mm2 := startMM2(t, properties)
	eventually(t, "MM2's records", b.reaches(remote, 20000))
	mm2.Kill()

	m := startMirror(t, properties)
	m.waitFor(`"level":"warn"`, "group back-mm2 of backB has members")
	m.waitFor("behind what MM2 has copied")
	written := w.grows(5000)
	m.until("records to flow", b.reaches(remote, written))
	m.Kill()
	w.grows(5000)
	m = startMirror(t, properties)
	written = w.grows(5000)
	m.until("records to flow again", b.reaches(remote, written))
	m.stop()
	ours, err := b.ends(remote)
	if err != nil {
		t.Fatal(err)
	}
	w.grows(2000)
	mm2 = startMM2(t, properties)
	total := w.end()
	eventually(t, "the rest, from MM2", b.reaches(remote, total))
	_ = mm2.Stop(time.Minute)
	written64 := make([]int64, partitions)
	for i := range written64 {
		written64[i] = total / partitions
	}
	got := count(b.read(remote), written64)
	t.Logf("written %d, by mirror's stop %v, read %+v", total, ours, got)
	if got != (tally{records: int(total)}) {
		t.Fatalf("%+v, want %d records", got, total)
	}
}

// Beside a running MM2 mirror does not start, says why, and leaves everything to MM2.
func TestBesideMM2(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "beside-numbers", "beside.beside-numbers"
	a.create(topic, 2, 1, nil)
	properties := fmt.Sprintf(takeoverProperties, "beside", a.Bootstrap, b.Bootstrap)
	a.write(topic, numbered(1000))
	mm2 := startMM2(t, properties)
	eventually(t, "MM2's records", b.reaches(remote, 1000))
	result := runMirror(t, propertiesFile(t, properties))
	if result.status != 2 {
		t.Errorf("exit status %d, want 2", result.status)
	}
	for _, words := range []string{"mirror: flow beside->besideB: MirrorMaker 2 is running: group beside-mm2 of besideB has members", "stop MirrorMaker 2, then start mirror again"} {
		if !strings.Contains(result.stderr, words) {
			t.Errorf("%q is not in: %s", words, result.stderr)
		}
	}
	if err := b.holds(remote, 1000)(); err != nil {
		t.Error(err)
	}
	_ = mm2.Stop(time.Minute)
	a.write(topic, numberedFrom(1000, 1000))
	m := startMirror(t, properties)
	m.until("the rest", b.holds(remote, 2000))
	m.stop()
}

// A mirror that was stopped by a signal, like a virtual machine that was moved, wakes up when another has taken over: it adds
// nothing and repeats nothing.
func TestFrozen(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "frozen-numbers", "frozen.frozen-numbers"
	a.create(topic, 4, 1, nil)
	properties := fmt.Sprintf(takeoverProperties, "frozen", a.Bootstrap, b.Bootstrap)
	w := startWriter(a, topic, 4)
	old := startMirror(t, properties)
	for range 3 {
		w.grows(5000)
		written := w.total()
		old.until("records to flow", b.reaches(remote, written))
		if err := old.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		next := startMirror(t, properties)
		w.grows(5000)
		written = w.total()
		next.until("records to flow from the next", b.reaches(remote, written))
		if err := old.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		w.grows(10000) // with both of them
		written = w.total()
		next.until("records to flow from either", b.reaches(remote, written))
		old.Kill()
		old = next
	}
	written := w.end()
	old.until("the rest", b.reaches(remote, written))
	old.stop()
	w.wantEachOnce(b, remote)
}
