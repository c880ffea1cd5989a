package integration

import (
	"fmt"
	"testing"

	"tandem/internal/testkit/realkafka"
)

const stopProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-numbers
`

// Mirror is stopped and started again while records flow, and each of them arrives once.
func TestStopAndGo(t *testing.T) {
	stopAndGo(t, "stops", 20, (*mirrorProcess).stop)
}

func TestKill(t *testing.T) {
	stopAndGo(t, "kills", 5, func(m *mirrorProcess) { m.Kill() })
}

// A mirror that is killed while it starts leaves all kinds of half-made beginnings.
func TestKillAtTheStart(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "early-numbers", "early.early-numbers"
	a.create(topic, 4, 1, nil)
	properties := fmt.Sprintf(stopProperties, "early", a.Bootstrap, b.Bootstrap)
	w := startWriter(a, topic, 4)
	w.grows(1000)
	for range 4 {
		for _, moment := range []string{"mirror starts", "found topics", "replicating 4 partitions"} {
			m := startMirror(t, properties)
			m.waitFor(moment)
			m.Kill()
		}
	}
	written := w.end()
	m := startMirror(t, properties)
	m.until("all", b.reaches(remote, written))
	m.stop()
	w.wantEachOnce(b, remote)
}

func stopAndGo(t *testing.T, alias string, times int, end func(*mirrorProcess)) {
	a, b := clusters(t)
	topic := alias + "-numbers"
	remote := alias + "." + topic
	a.create(topic, 4, 1, nil)
	properties := fmt.Sprintf(stopProperties, alias, a.Bootstrap, b.Bootstrap)
	w := startWriter(a, topic, 4)
	w.grows(1000)
	for range times {
		m := startMirror(t, properties)
		m.waitFor("replicating 4 partitions")
		w.grows(1000)
		written := w.total()
		m.until("records to flow", b.reaches(remote, written))
		end(m)
	}
	written := w.end()
	m := startMirror(t, properties)
	m.until("the rest", b.reaches(remote, written))
	m.stop()
	w.wantEachOnce(b, remote)
}

// Whatever is wrong with a cluster, SIGTERM ends mirror in time, and what it could not write down costs nothing.
func TestStopDuringAnOutage(t *testing.T) {
	a := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	b := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	revive := func(s side) func() error { return func() error { return s.Restart(0) } }
	kill := func(s side) func() error {
		return func() error { s.Kill(0); return nil }
	}
	pause := func(s side) func() error { return func() error { return s.Pause(0) } }
	resume := func(s side) func() error { return func() error { return s.Resume(0) } }
	tests := []struct {
		name     string
		away     func() error
		back     func() error
		noticed  string // the log line that an outage leaves; none where the broker only hangs
		ofTarget bool
	}{
		{"target dead", kill(b), revive(b), "cannot write to broker", true},
		{"source dead", kill(a), revive(a), "cannot read from broker", false},
		{"target hangs", pause(b), resume(b), "", true},
		{"source hangs", pause(a), resume(a), "", false},
	}
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			alias := fmt.Sprintf("out%d", n)
			topic, remote := alias+"-numbers", alias+"."+alias+"-numbers"
			a.create(topic, 4, 1, nil)
			properties := fmt.Sprintf(stopProperties, alias, a.Bootstrap, b.Bootstrap)
			m := startMirror(t, properties)
			w := startWriter(a, topic, 4)
			w.grows(1000)
			m.until("records to flow", b.reaches(remote, 1000))
			if err := tt.away(); err != nil {
				t.Fatal(err)
			}
			if tt.noticed != "" {
				m.waitFor(tt.noticed)
			}
			if tt.ofTarget {
				w.grows(2000) // mirror has much in hand that it cannot write
			}
			m.stop()
			if err := tt.back(); err != nil {
				t.Fatal(err)
			}
			written := w.end()
			m = startMirror(t, properties)
			m.until("the rest", b.reaches(remote, written))
			m.stop()
			w.wantEachOnce(b, remote)
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		nobody := newDoor(t, b)
		m := startMirror(t, fmt.Sprintf(stopProperties, "nobody", nobody.address, nobody.address))
		m.waitFor("cannot reach cluster")
		m.stop()
	})
}
