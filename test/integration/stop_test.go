package integration

import (
	"fmt"
	"testing"
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
