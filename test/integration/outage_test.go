package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

const outageProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-numbers
%[1]sB.offset.flush.interval.ms = 1000
`

// threeBrokers asks for three replicas of what stands on the target.
func threeBrokers(properties string) string {
	return strings.NewReplacer("\nreplication.factor = 1", "\nreplication.factor = 3",
		"offset.storage.replication.factor = 1", "offset.storage.replication.factor = 3").Replace(properties)
}

// The only broker of the target dies while records flow, and comes back.
func TestTargetOutage(t *testing.T) {
	a, _ := clusters(t)
	b := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	m := outage(t, "notarget", a, b, b)
	wantLines(t, m, 1, "cannot write to broker 1 of notargetB")
	wantLines(t, m, 1, "writing to broker 1 of notargetB again")
	wantNothingTwice(t, m)
}

func TestSourceOutage(t *testing.T) {
	_, b := clusters(t)
	a := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	m := outage(t, "nosource", a, b, a)
	wantLines(t, m, 1, "cannot read from broker 1 of nosource")
	wantLines(t, m, 1, "reading from broker 1 of nosource again")
	wantNothingTwice(t, m)
}

// outage kills the broker of one side under load, and wants every record once.
func outage(t *testing.T, alias string, a, b, dies side) *mirrorProcess {
	t.Helper()
	topic, remote := alias+"-numbers", alias+"."+alias+"-numbers"
	a.create(topic, 4, 1, nil)
	m := startMirror(t, fmt.Sprintf(outageProperties, alias, a.Bootstrap, b.Bootstrap))
	w := startWriter(a, topic, 4)
	w.grows(3000)
	m.until("records to flow", b.reaches(remote, 1000))
	dies.Kill(0)
	m.waitFor(`"level":"warn"`, "broker 1 of "+alias)
	m.waitFor(`"level":"warn"`, "cannot refresh topics")
	if dies.Cluster == b.Cluster {
		w.grows(5000) // the source is written all the while
	}
	if err := dies.Restart(0); err != nil {
		t.Fatal(err)
	}
	w.grows(3000)
	written := w.end()
	m.until("the rest", b.reaches(remote, written))
	m.waitFor("refresh topics: done")
	m.stop()
	w.wantEachOnce(b, remote)
	return m
}

// wantNothingTwice wants each trouble told once.
func wantNothingTwice(t *testing.T, m *mirrorProcess) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range m.lines() {
		if l.Level == "info" {
			continue
		}
		if seen[l.Msg] {
			t.Errorf("told twice: %s", l.Text)
		}
		seen[l.Msg] = true
	}
}

// Three brokers, each killed in its turn while records flow: two are enough for min.insync.replicas, so replication goes on
// under other leaders before the dead one is back.
func TestLeadersMove(t *testing.T) {
	a, _ := clusters(t)
	b := on(t, realkafka.Start(t, realkafka.Options{Brokers: 3, Config: map[string]string{"min.insync.replicas": "2"}}))
	a.create("moving-numbers", 6, 1, nil)
	m := startMirror(t, fmt.Sprintf(threeBrokers(outageProperties), "moving", a.Bootstrap, b.Bootstrap))
	w := startWriter(a, "moving-numbers", 6)
	w.grows(1000)
	const remote = "moving.moving-numbers"
	m.until("records to flow", b.reaches(remote, 1000))
	for broker := range 3 {
		m.until("all replicas", inSync(b, remote, 3))
		b.Kill(broker)
		w.grows(5000)
		written := w.total()
		m.until(fmt.Sprintf("records to flow without broker %d", broker), b.reaches(remote, written))
		if err := b.Restart(broker); err != nil {
			t.Fatal(err)
		}
	}
	written := w.end()
	m.until("the rest", b.reaches(remote, written))
	m.stop()
	w.wantEachOnce(b, remote)
}

const hangProperties = `
%[1]sB.producer.request.timeout.ms = 5000
%[1]sB.admin.request.timeout.ms = 5000
`

// A broker that hangs closes no connection and refuses none. Others take over what it leads, and when it comes
// back to itself it may still append what it was sent before.
func TestALeaderHangs(t *testing.T) {
	a, _ := clusters(t)
	b := on(t, realkafka.Start(t, realkafka.Options{Brokers: 3, Config: map[string]string{"min.insync.replicas": "2"}}))
	a.create("hanging-numbers", 6, 1, nil)
	m := startMirror(t, fmt.Sprintf(threeBrokers(outageProperties)+hangProperties, "hanging", a.Bootstrap, b.Bootstrap))
	w := startWriter(a, "hanging-numbers", 6)
	w.grows(1000)
	const remote = "hanging.hanging-numbers"
	m.until("records to flow", b.reaches(remote, 1000))
	m.until("all replicas", inSync(b, remote, 3))
	if err := b.Pause(2); err != nil {
		t.Fatal(err)
	}
	awake := on(t, b.Cluster)
	awake.client = awake.newClient(kgo.RequestRetries(1000), kgo.RequestTimeoutOverhead(time.Second))
	m.until("other leaders", inSync(awake, remote, 2))
	w.grows(2000)
	written := w.total()
	m.until("records to flow beside the broker that hangs", awake.reaches(remote, written))
	if err := b.Resume(2); err != nil {
		t.Fatal(err)
	}
	written = w.end()
	m.until("the rest", b.reaches(remote, written))
	m.until("all replicas", inSync(b, remote, 3))
	m.stop()
	w.wantEachOnce(b, remote)
}

// inSync is a condition: each partition has so many replicas in sync.
func inSync(s side, topic string, want int) func() error {
	return func() error {
		described, err := s.describe(topic)
		if err != nil {
			return err
		}
		for _, p := range described.Topics[0].Partitions {
			if len(p.ISR) != want {
				return fmt.Errorf("%s/%d has %d replicas in sync, want %d", topic, p.Partition, len(p.ISR), want)
			}
		}
		return nil
	}
}
