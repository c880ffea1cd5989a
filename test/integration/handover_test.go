package integration

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
)

const handoverProperties = oneBroker + quiet + `
clusters = hand, handB
hand.bootstrap.servers = %s
handB.bootstrap.servers = %s
hand->handB.enabled = true
hand->handB.topics = hand-.*
`

// Mirror, MM2 and mirror again run from one file, and each goes on where the one before it has stopped.
func TestHandover(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "hand-numbers", "hand.hand-numbers", 3
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(handoverProperties, a.Bootstrap, b.Bootstrap)
	written := []int64{0, 0, 0}
	more := func() int64 {
		for p := range written {
			a.write(topic, toPartition(int32(p), numberedFrom(int(written[p]), 500)))
			written[p] += 500
		}
		return 3 * written[0]
	}
	turns := []struct {
		name string
		run  func(t *testing.T, reached func() error)
	}{
		{"mirror", func(t *testing.T, reached func() error) {
			m := startMirror(t, properties)
			m.until("the records", reached)
			m.stop()
		}},
		{"MM2", func(t *testing.T, reached func() error) {
			p := startMM2(t, properties)
			eventually(t, "MM2's records", reached)
			_ = p.Stop(time.Minute) // a JVM that was asked to leave never exits with 0
		}},
	}
	for n := range 4 {
		turn := turns[n%2]
		t.Run(fmt.Sprintf("%d %s", n+1, turn.name), func(t *testing.T) {
			b := on(t, b.Cluster)
			want := more()
			turn.run(t, b.reaches(remote, want))
			if got := count(b.read(remote), written); got != (tally{records: int(want)}) {
				t.Fatalf("after %s: %+v, want %d records", turn.name, got, want)
			}
		})
	}
}

// startMM2 runs MirrorMaker 2; it ends with the test, whose failure prints the end of its log.
func startMM2(t *testing.T, properties string) *proc.Process {
	t.Helper()
	file := propertiesFile(t, properties)
	p, err := realkafka.StartMM2(file, filepath.Join(filepath.Dir(file), "mm2.log"), "-Xmx512M", "-XX:TieredStopAtLevel=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of MM2:\n%s", p.LogTail(60))
		}
	})
	return p
}
