package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusal is a kind of record that the target does not take, and the setting that lets it.
type refusal struct {
	name   string
	remote map[string]string // set on the remote topic
	bad    func() *kgo.Record
	says   []string          // of the event
	mend   map[string]string // of the remote topic
}

var refusals = []refusal{
	{
		name:   "toolarge",
		remote: map[string]string{"max.message.bytes": "20000"},
		bad:    func() *kgo.Record { return &kgo.Record{Key: []byte("bad"), Value: incompressible(50_000)} },
		says:   []string{"too large", "max.message.bytes", "offset 50 "},
		mend:   map[string]string{"max.message.bytes": "1000000"},
	},
	{
		name:   "timestamp",
		remote: map[string]string{"message.timestamp.before.max.ms": "3600000"},
		bad: func() *kgo.Record {
			return &kgo.Record{Key: []byte("bad"), Value: []byte("old"), Timestamp: time.Now().Add(-48 * time.Hour)}
		},
		says: []string{"timestamp", "message.timestamp.before.max.ms", "offset 50 "},
		mend: map[string]string{"message.timestamp.before.max.ms": "9223372036854775807"},
	},
	{
		name:   "nullkey",
		remote: map[string]string{"cleanup.policy": "compact"},
		bad:    func() *kgo.Record { return &kgo.Record{Value: []byte("no key")} },
		says:   []string{"null key", "cleanup.policy", "offset 50 "},
		mend:   map[string]string{"cleanup.policy": "delete"},
	},
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// refusedTopics makes the topics of all refusals on both sides: partition 0 gets the bad record behind fifty good ones and
// before fifty more, partition 1 only good ones.
func refusedTopics(a, b side, alias, suffix string) {
	for _, r := range refusals {
		topic := r.name + suffix
		a.create(topic, 2, 1, nil)
		b.create(alias+"."+topic, 2, 1, r.remote)
		records := keyed(50)
		a.write(topic, toPartition(0, records))
		a.write(topic, toPartition(0, append([]*kgo.Record{r.bad()}, keyed(50)...)))
		a.write(topic, toPartition(1, keyed(100)))
	}
}

func keyed(n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d", i)})
	}
	return records
}

func refusedProperties(a, b side, alias, suffix, more string) string {
	var names []string
	for _, r := range refusals {
		names = append(names, r.name+suffix)
	}
	return fmt.Sprintf("clusters = %[1]s, %[1]sto\n%[1]s.bootstrap.servers = %[2]s\n%[1]sto.bootstrap.servers = %[3]s\n%[1]s->%[1]sto.enabled = true\n%[1]s->%[1]sto.topics = %[4]s\n",
		alias, a.Bootstrap, b.Bootstrap, strings.Join(names, ",")) + oneBroker + quiet + "sync.topic.configs.enabled = false\n" + more
}

// TestQuarantine: each kind of refused record holds its own partition and no other, is named with its offset and the setting to
// change, and follows, without a restart, when that is changed. /readyz and /metrics tell the same.
func TestQuarantine(t *testing.T) {
	a, b := clusters(t)
	const alias, suffix = "quar", "-q"
	refusedTopics(a, b, alias, suffix)
	m := startMirror(t, refusedProperties(a, b, alias, suffix, ""))
	for _, r := range refusals {
		remote := alias + "." + r.name + suffix
		m.waitFor(append([]string{`"level":"error"`, r.name + suffix, "quarantined"}, r.says...)...)
		m.until("the other partition of "+remote+" arrives", func() error { return b.partitionHolds(remote, 1, 100) })
		m.until("what stands before the refused record arrives", func() error { return b.partitionHolds(remote, 0, 50) })
	}
	m.until("readiness tells of the held partitions", func() error {
		code, body := m.get("/readyz")
		standing := readyz(t, body)
		if code != http.StatusServiceUnavailable || len(standing) != len(refusals) {
			return fmt.Errorf("status %d, %d partitions stand still: %s", code, len(standing), body)
		}
		for _, s := range standing {
			if s.State != "quarantined" || s.Lag != 51 || s.Reason == "" {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
	if _, body := m.get("/metrics"); !strings.Contains(body, fmt.Sprintf(`tandem_partitions{flow="%s->%s",state="quarantined"} 3`, alias, alias+"to")) {
		t.Errorf("metrics lack the quarantined partitions:\n%s", grep(body, "tandem_partitions"))
	}
	for _, r := range refusals {
		remote := alias + "." + r.name + suffix
		b.configure(remote, r.mend)
		m.until("the refused record follows when the target takes it", func() error { return b.partitionHolds(remote, 0, 101) })
		wantSame(t, a.read(r.name+suffix), b.read(remote))
	}
	m.until("everything is ready", func() error {
		if code, body := m.get("/readyz"); code != http.StatusOK {
			return fmt.Errorf("status %d: %s", code, body)
		}
		return nil
	})
	if code, body := m.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	m.stop()
}

// TestSkipRefused: with on.refused=skip the records are kept with their places in the topic of refused records, and the others go
// on.
func TestSkipRefused(t *testing.T) {
	a, b := clusters(t)
	const alias, suffix = "skip", "-s"
	refusedTopics(a, b, alias, suffix)
	m := startMirror(t, refusedProperties(a, b, alias, suffix, "on.refused = skip\n"))
	const kept = "mm2-tandem-refused." + alias + ".internal"
	for _, r := range refusals {
		remote := alias + "." + r.name + suffix
		m.until("everything but the refused record arrives in "+remote, func() error { return b.holds(remote, 200)() })
		m.waitFor(append([]string{`"level":"warn"`, r.name + suffix, "set aside"}, r.says...)...)
		source := a.read(r.name + suffix)
		source[0] = slices.Delete(source[0], 50, 51)
		wantSame(t, source, b.read(remote))
	}
	m.stop()
	places := make(map[string]*kgo.Record)
	for _, r := range b.read(kept)[0] {
		var place struct {
			Topic     string
			Partition int32
			Offset    int64
			Reason    string
		}
		if err := json.Unmarshal(r.Key, &place); err != nil {
			t.Fatalf("key %s: %v", r.Key, err)
		}
		if place.Partition != 0 || place.Offset != 50 || place.Reason == "" {
			t.Errorf("place is %s", r.Key)
		}
		places[place.Topic] = r
	}
	for _, r := range refusals {
		found := places[r.name+suffix]
		if found == nil {
			t.Errorf("the refused record of %s is not kept", r.name)
			continue
		}
		want := a.read(r.name + suffix)[0][50]
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(found.Value); err != nil || batch.NumRecords != 1 {
			t.Fatalf("kept batch of %s: %v, %d records", r.name, err, batch.NumRecords)
		}
		var one kmsg.Record
		if err := one.ReadFrom(batch.Records); err != nil {
			t.Fatal(err)
		}
		if !sameBytes(one.Key, want.Key) || !sameBytes(one.Value, want.Value) || batch.FirstTimestamp+one.TimestampDelta64 != want.Timestamp.UnixMilli() {
			t.Errorf("%s: kept %q=%d bytes at %d, was %q=%d bytes at %d", r.name, one.Key, len(one.Value), batch.FirstTimestamp, want.Key, len(want.Value), want.Timestamp.UnixMilli())
		}
	}
	// A restart does not copy what was set aside, nor set it aside again.
	m = startMirror(t, refusedProperties(a, b, alias, suffix, "on.refused = skip\n"))
	for _, r := range refusals {
		a.write(r.name+suffix, toPartition(0, keyed(1)))
		m.until("the next record arrives", b.holds(alias+"."+r.name+suffix, 201))
	}
	m.stop()
	if n, err := b.count(kept); err != nil || n != int64(len(refusals)) {
		t.Errorf("%d refused records are kept after a restart, want %d (%v)", n, len(refusals), err)
	}
}

// get asks the process's status address, which its log names.
func (m *mirrorProcess) get(path string) (int, string) {
	m.t.Helper()
	m.waitFor("status is served")
	address := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(m.lines("status is served")[0].Text)
	resp, err := http.Get("http://" + address[1] + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

type stands struct {
	Source string `json:"source"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	Lag    int64  `json:"lag_records"`
}

func readyz(t *testing.T, body string) []stands {
	t.Helper()
	var answer struct {
		Standing []stands `json:"standing_still"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return answer.Standing
}

func grep(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// partitionHolds says whether a partition ends at so many records.
func (s side) partitionHolds(topic string, partition int, records int64) error {
	ends, err := s.ends(topic)
	if err != nil {
		return err
	}
	if ends[partition] != records {
		return fmt.Errorf("%s/%d holds %d records, want %d", topic, partition, ends[partition], records)
	}
	return nil
}
