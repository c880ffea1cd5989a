package integration

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

const lagProperties = oneBroker + quiet + `
clusters = lag, lagB
lag.bootstrap.servers = %s
lagB.bootstrap.servers = %s
lag->lagB.enabled = true
lag->lagB.topics = lag-numbers
lag->lagB.throttle.topics = nobody=1
sync.topic.configs.enabled = false
`

// TestLagIsRight: what /metrics says of a flow against a ledger of the writer's own, under load, while the target is dead, while it
// refuses records, while the flow is throttled, while the source is frozen or dead, and after each of them.
func TestLagIsRight(t *testing.T) {
	const topic, remote = "lag-numbers", "lag.lag-numbers"
	a, b := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig})), on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	a.create(topic, lagPartitions, 1, nil)
	b.create(remote, lagPartitions, 1, nil)
	properties := fmt.Sprintf(lagProperties, a.Bootstrap, b.Bootstrap)
	l := &lagLedger{mirrorProcess: startMirror(t, properties), b: b, remote: remote, file: propertiesFile(t, properties), accounts: openAccounts(a, topic)}
	l.writes(true)
	l.until("records to flow", b.reaches(remote, 2000))
	l.until("the flow to be ready", l.state(ready))
	for range 20 {
		l.check(true)
	}
	l.rest("at the beginning")

	t.Log("the target is dead")
	b.Kill(0)
	l.writes(true)
	l.until("standing still for an outage", l.state(standing("outage")))
	l.grows(2000)
	l.waitFor("the group does not count on this process any more") // which has no partitions now, but still has to tell of them
	l.grows(2000)
	l.until("standing still for an outage", l.state(standing("outage")))
	l.stays()
	l.writes(true)
	if err := b.Restart(0); err != nil {
		t.Fatal(err)
	}
	l.until("the flow to be ready", l.state(ready))
	l.rest("after the target was dead")

	t.Log("the target refuses records")
	b.configure(remote, map[string]string{"max.message.bytes": "1"})
	l.writes(true)
	l.says("quarantine", standing("refused"))
	l.grows(2000)
	l.stays()
	b.configure(remote, map[string]string{"max.message.bytes": ""})
	l.rest("after records were refused")

	t.Log("throttled")
	l.reload(strings.Replace(properties, "nobody=1", topic+"=20000", 1))
	l.writes(true)
	l.until("a lag", func() error {
		if s := l.check(true); s.records < 3000 {
			return fmt.Errorf("%d records", s.records)
		}
		return nil
	})
	l.grows(2000)
	l.reload(properties)
	l.rest("after the throttle")

	t.Log("the source is frozen under load")
	l.writes(true)
	for range 5 {
		l.check(true)
	}
	if err := a.Pause(0); err != nil {
		t.Fatal(err)
	}
	l.says("frozen source", standing("outage"))
	l.sureNoMore()
	l.writes(false)
	if err := a.Resume(0); err != nil {
		t.Fatal(err)
	}
	l.rest("after the source was frozen")

	for _, load := range []bool{true, false} {
		t.Logf("the source is killed, under load: %v", load)
		l.writes(load)
		for range 5 {
			l.check(true)
		}
		a.Kill(0)
		l.says("dead source", standing("outage"))
		l.sureNoMore()
		if err := a.Restart(0); err != nil {
			t.Fatal(err)
		}
		l.until("the flow to be ready", l.state(ready))
		l.rest("after the source was dead")
	}
	if text := l.page(); strings.Contains(text, "\ntandem_troubles_total{cause=\"other\",flow=\"lag->lagB\"} 1") {
		t.Errorf("there was trouble that has no name:\n%s", grep(text, "tandem_troubles_total"))
	}
	l.stop()
	for p, list := range b.read(remote) {
		if len(list) != int(l.acked()[p]) {
			t.Errorf("%s/%d has %d records, %d were written", remote, p, len(list), l.acked()[p])
		}
	}
}

const lagPartitions = 3

// accounts is the ledger's side of the source: what each partition has got, and since when that is certain.
type accounts struct {
	client *kgo.Client
	topic  string

	mu   sync.Mutex
	on   bool
	sent [lagPartitions]int64
	acks [lagPartitions][]time.Time // of the n-th record
	err  error
}

// openAccounts makes a writer of about 2,000 records a second, which begins when it is told to.
func openAccounts(s side, topic string) *accounts {
	s.t.Helper()
	c := &accounts{topic: topic, client: s.newClient(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.ProducerLinger(5*time.Millisecond))}
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range 10 {
				if n++; !c.write(ctx, int32(n%lagPartitions)) {
					break
				}
			}
		}
	}()
	s.t.Cleanup(func() { stop(); <-done })
	return c
}

// unanswered bounds what may be on its way to a source that does not answer.
const unanswered = 2000

func (c *accounts) write(ctx context.Context, p int32) bool {
	c.mu.Lock()
	on := c.on && c.sent[p]-int64(len(c.acks[p])) < unanswered
	if on {
		c.sent[p]++ // before the source can have it
	}
	c.mu.Unlock()
	if !on {
		return false
	}
	c.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%0100d", p)}, func(r *kgo.Record, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.acks[p] = append(c.acks[p], time.Now()); err != nil {
			c.err = err
		}
	})
	return true
}

func (c *accounts) writes(on bool) { c.mu.Lock(); c.on = on; c.mu.Unlock() }

func (c *accounts) acked() (n [lagPartitions]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range n {
		n[p] = int64(len(c.acks[p]))
	}
	return n
}

// ackedBy is how many records the source had at a time at least.
func (c *accounts) ackedBy(p int, at time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.acks[p])
	for n > 0 && c.acks[p][n-1].After(at) {
		n--
	}
	return int64(n)
}

// lagLedger holds a running mirror against the accounts.
type lagLedger struct {
	*mirrorProcess
	*accounts
	b            side
	remote, file string

	// What /metrics counts of copied records begins anew when a partition comes back to the process, and leaves out what was found on
	// the target then: base makes it the number of records that are there, as of the last rest.
	base, last [lagPartitions]int64
	lost       bool // it is not known since
}

// scraped is one reading of /metrics.
type scraped struct {
	asked          time.Time
	values         map[string]float64 // by series
	lag, count     [lagPartitions]int64
	records        int64
	rpo, lagSecond float64
	there          bool
}

func (l *lagLedger) page() string { _, text := l.get("/metrics"); return text }

func (l *lagLedger) scrape() scraped {
	l.t.Helper()
	s := scraped{asked: time.Now(), values: map[string]float64{}}
	for line := range strings.Lines(l.page()) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
				s.values[line[:at]] = v
			}
		}
	}
	for p := range s.lag {
		copied := fmt.Sprintf(`kafka_connect_mirror_mirrorsourceconnector_record_count{partition="%d",source="lag",target="lagB",topic="lag.lag-numbers"}`, p)
		count, ok := s.values[copied]
		if l.lost = l.lost || !ok || int64(count) < l.last[p]; ok {
			l.last[p] = int64(count)
		}
		s.count[p] = int64(count) + l.base[p]
		s.lag[p] = int64(s.values[fmt.Sprintf(`tandem_partition_lag_records{flow="lag->lagB",partition="%d",topic="lag-numbers"}`, p)])
	}
	s.records = int64(s.values[`tandem_rpo_records{flow="lag->lagB"}`])
	s.rpo, s.there = s.values[`tandem_rpo_seconds{flow="lag->lagB"}`]
	s.lagSecond = s.values[`tandem_lag_seconds{flow="lag->lagB"}`]
	return s
}

func (s scraped) has(series string, want float64) error {
	if got, ok := s.values[series]; !ok || got != want {
		return fmt.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
	}
	return nil
}

func (s scraped) sum() (known int64) {
	for p := range s.lag {
		known += s.lag[p] + s.count[p]
	}
	return known
}

// check reads the ledger, /metrics and the ledger, and wants the one between the others: no more than was written may be known, and
// what the source had as of the moment of which the flow is sure has to be on the target.
func (l *lagLedger) check(targetAnswers bool) scraped {
	l.t.Helper()
	s := l.scrape()
	l.mu.Lock()
	sent := l.sent
	l.mu.Unlock()
	if l.lost || !s.there {
		return s
	}
	sure := s.asked.Add(-time.Duration(s.rpo * float64(time.Second)))
	lag := int64(0)
	for p := range s.lag {
		lag += s.lag[p]
		if s.lag[p] < 0 || s.lag[p]+s.count[p] > sent[p] {
			l.t.Errorf("partition %d: a lag of %d behind %d copied records, of at most %d", p, s.lag[p], s.count[p], sent[p])
		}
		if had := l.ackedBy(p, sure); s.count[p] < had {
			l.t.Errorf("partition %d: sure as of %.3f s ago, when the source had %d records, of which %d are copied", p, s.rpo, had, s.count[p])
		}
	}
	if lag != s.records || (lag > 0) != (s.lagSecond > 0) || s.rpo < 0 {
		l.t.Errorf("lag of %d for %.3f s, rpo of %d records and %.3f s", lag, s.lagSecond, s.records, s.rpo)
	}
	if !targetAnswers {
		return s
	}
	ends, err := l.b.ends(l.remote)
	if err != nil {
		l.t.Fatal(err)
	}
	for p, end := range ends {
		if s.count[p] > end {
			l.t.Errorf("partition %d: %d records copied, the target has %d", p, s.count[p], end)
		}
	}
	return s
}

// grows waits until the writer has written so many records more, and until the lag says so.
func (l *lagLedger) grows(more int64) {
	l.t.Helper()
	wanted := sum(l.acked()) + more
	l.until("the ledger to grow", func() error {
		l.check(false)
		if n := sum(l.acked()); n < wanted {
			return fmt.Errorf("%d of %d", n, wanted)
		}
		return nil
	})
	l.until("the lag to grow with the ledger", func() error {
		if s := l.check(false); s.sum() < wanted {
			return fmt.Errorf("%d records are known, of %d", s.sum(), wanted)
		}
		return nil
	})
}

// stays stops writing and wants the lag to be what the ledger says, to the record.
func (l *lagLedger) stays() {
	l.t.Helper()
	l.quiet()
	l.until("the lag to be the ledger's", l.equal)
}

// quiet stops writing and waits for the last acknowledgement.
func (l *lagLedger) quiet() {
	l.t.Helper()
	l.writes(false)
	l.until("the last acknowledgement of the source", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			l.t.Fatal(l.err)
		}
		for p := range l.sent {
			if n := int64(len(l.acks[p])); n != l.sent[p] {
				return fmt.Errorf("%d of %d", n, l.sent[p])
			}
		}
		return nil
	})
}

func (l *lagLedger) equal() error {
	s, acked := l.check(false), l.acked()
	for p := range acked {
		if s.lag[p]+s.count[p] != acked[p] {
			return fmt.Errorf("partition %d: a lag of %d behind %d records, of %d", p, s.lag[p], s.count[p], acked[p])
		}
	}
	return nil
}

// rest stops writing and wants everything on the target, and the metrics to say so.
func (l *lagLedger) rest(when string) {
	l.t.Helper()
	l.quiet()
	l.until("everything to be copied "+when, l.b.holds(l.remote, sum(l.acked())))
	l.until("no lag "+when, func() error {
		if l.lost { // what is on the target by now, and what the metrics count
			l.base, l.last, l.lost = [lagPartitions]int64{}, [lagPartitions]int64{}, false
			s := l.scrape()
			if l.lost = l.lost || !s.there || s.records != 0; l.lost {
				return fmt.Errorf("lag of %d (told: %v)", s.records, s.there)
			}
			for p, n := range l.acked() {
				l.base[p] = n - s.count[p]
			}
		}
		s, acked := l.check(true), l.acked()
		if l.lost || s.count != acked || s.records != 0 || s.lagSecond != 0 || s.rpo > 5 {
			return fmt.Errorf("%v copied of %v, lag of %d for %.3f s, sure as of %.3f s ago", s.count, acked, s.records, s.lagSecond, s.rpo)
		}
		return nil
	})
	l.until("nothing to stand still "+when, l.state(ready))
}

// sureNoMore wants the moment of which the flow is sure to stand while the source cannot be asked, and the lag not to grow.
func (l *lagLedger) sureNoMore() {
	l.t.Helper()
	before := l.check(true)
	l.until("the seconds of the RPO to grow", func() error {
		s := l.check(true)
		if s.rpo < before.rpo+3 {
			return fmt.Errorf("%.3f s, %.3f s before", s.rpo, before.rpo)
		}
		return nil
	})
}

// says logs how long it takes until something is said.
func (l *lagLedger) says(what string, want func(*lagLedger) error) {
	l.t.Helper()
	began := time.Now()
	l.until(what+" to be said", l.state(want))
	l.t.Logf("%s: said after %v", what, time.Since(began).Round(10*time.Millisecond))
}

func (l *lagLedger) state(want func(*lagLedger) error) func() error {
	return func() error { return want(l) }
}

func ready(l *lagLedger) error {
	if code, body := l.get("/readyz"); code != 200 {
		return fmt.Errorf("/readyz: %d %s", code, body)
	}
	return l.scrape().has("tandem_ready", 1)
}

// standing wants partitions to stand still for a cause, on /readyz and in the metrics.
func standing(cause string) func(*lagLedger) error {
	return func(l *lagLedger) error {
		code, body := l.get("/readyz")
		if code != 503 || !strings.Contains(body, strconv.Quote(cause)) {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		s := l.scrape()
		if s.values[fmt.Sprintf(`tandem_partitions_troubled{cause=%q,flow="lag->lagB"}`, cause)] == 0 {
			return fmt.Errorf("no partition is troubled by %s", cause)
		}
		return s.has("tandem_ready", 0)
	}
}

func (l *lagLedger) reload(properties string) {
	l.t.Helper()
	if err := os.WriteFile(l.file, []byte(properties+"\nstatus.address = 127.0.0.1:0\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := l.Signal(syscall.SIGHUP); err != nil {
		l.t.Fatal(err)
	}
}

func sum(list [lagPartitions]int64) (n int64) {
	for _, one := range list {
		n += one
	}
	return n
}
