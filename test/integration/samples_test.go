package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

// sample is a file as users of MM2 have it, and what must come of it, beside internal topics.
type sample struct {
	file   string
	remote map[string][]string // remote topics by the cluster they are on
	absent []string            // remote topics that must not be on any
	latest bool                // only what is written from now on is copied
}

// sampled are topics of the first cluster and of the second one.
var sampled = [][]string{
	{"orders", "orders.eu", "orders.us.ny", "orders-eu", "payments", "customers", "inventory-a", "tmp-inventory", "scratch-notes", "kept.replica", "foo.internal", "my-state"},
	{"orders", "payments"},
}

var samples = []sample{
	{file: "active-active", remote: map[string][]string{
		"A": {"west.orders", "west.payments"},
		"B": {"east.orders", "east.orders.eu", "east.orders.us.ny", "east.orders-eu", "east.payments", "east.inventory-a"},
	}, absent: []string{"east.customers", "east.tmp-inventory", "east.foo.internal"}},
	{file: "active-passive", remote: map[string][]string{
		"B": {"east.orders", "east.orders.eu", "east.orders.us.ny", "east.orders-eu", "east.payments", "east.customers", "east.inventory-a", "east.tmp-inventory", "east.foo.internal", "east.my-state"},
	}, absent: []string{"east.scratch-notes", "east.kept.replica", "west.orders"}},
	{file: "fan-out", latest: true, remote: map[string][]string{
		"B": {"hub.orders.eu", "hub.orders.us.ny", "hub.customers"},
		"C": {"orders.us.ny"},
	}, absent: []string{"hub.orders", "hub.payments"}},
	{file: "as-shipped", remote: map[string][]string{
		"A": {"B.orders", "B.payments"},
		"B": {"A.orders", "A.orders.eu", "A.orders.us.ny", "A.orders-eu", "A.payments", "A.customers", "A.inventory-a", "A.tmp-inventory", "A.scratch-notes", "A.foo.internal", "A.my-state"},
	}, absent: []string{"A.kept.replica", "A.B.orders"}},
	{file: "of-3x", remote: map[string][]string{
		"B": {"old.orders", "old.orders.eu", "old.orders.us.ny", "old.orders-eu", "old.payments"},
	}},
}

const samplePassword, sampleStorePassword = "s4mple-s3cret", "s4mple-st0re"

// TestSamples: files of users start on MM2 and on Tandem, with nothing changed but addresses, and both make the same of them.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/samples/*.properties")
	if err != nil || len(files) != len(samples) {
		t.Fatalf("%d files, %d samples, %v", len(files), len(samples), err)
	}
	t.Setenv("HUB_PASSWORD", samplePassword)
	t.Setenv("HUB_STORE_PASSWORD", sampleStorePassword)
	authority := newAuthority(t, t.TempDir(), "hub")
	store := truststore(t, "hub.p12", "PKCS12", sampleStorePassword, authority)
	hub := authority.broker("hub", "127.0.0.1", false)
	hub["sasl.enabled.mechanisms"], hub["scram-sha-512.sasl.jaas.config"] = "SCRAM-SHA-512", moduleScram+" required;"
	clusters := map[string]side{}
	for _, name := range []string{"A", "B", "C"} {
		o := realkafka.Options{Config: brokerConfig}
		if name == "A" {
			o.Listeners = []realkafka.Listener{{Name: "HUB", Protocol: "SASL_SSL", Config: hub}}
		}
		clusters[name] = on(t, realkafka.Start(t, o))
	}
	clusters["A"].scramUser("mirror", samplePassword)
	mm2s, seen := runningMM2s(t), map[string]bool{}
	for _, s := range samples {
		t.Run(s.file, func(t *testing.T) {
			text, err := os.ReadFile("testdata/samples/" + s.file + ".properties")
			if err != nil {
				t.Fatal(err)
			}
			addresses := map[string]string{"127.0.0.1:19092": clusters["A"].Bootstrap, "127.0.0.1:29092": clusters["B"].Bootstrap, "127.0.0.1:39092": clusters["C"].Bootstrap,
				"/etc/mirror/hub.p12": store}
			if strings.Contains(string(text), "SASL_SSL") {
				addresses["127.0.0.1:19092"] = clusters["A"].Listener("HUB")
			}
			properties := string(text)
			for from, to := range addresses {
				properties = strings.ReplaceAll(properties, from, to)
			}
			t.Log("seeding")
			sides := map[string]side{}
			for name, c := range clusters {
				sides[name] = on(t, c.Cluster)
			}
			seedSample(sides)
			if err := mm2s.Run(s.file, properties, 2*patience); err != nil {
				t.Fatal(err)
			}
			s.wait(t, sides)
			if err := mm2s.End(s.file, 2*patience); err != nil {
				t.Fatal(err)
			}
			mm2 := s.look(t, sides)
			t.Log("MM2 is done")

			seedSample(sides)
			m := startMirror(t, properties)
			s.wait(t, sides)
			var list []string
			m.until("the same", func() error {
				list = unintended(differences(mm2, s.look(t, sides)), seen)
				if len(list) > 0 {
					return errors.New(strings.Join(list, "\n"))
				}
				return nil
			})
			m.stop()
			for _, l := range m.lines(`"level":"error"`) {
				t.Errorf("it complains: %s", l.Text)
			}
			for _, side := range sides {
				for _, name := range s.absent {
					if slices.Contains(side.topicsWith(name), name) {
						t.Errorf("%s is there", name)
					}
				}
			}
		})
	}
	wantSeen(t, "samples", seen)
}

// seedSample brings the clusters to where they were before anything ran.
func seedSample(sides map[string]side) {
	for _, name := range slices.Sorted(maps.Keys(sides)) {
		side := sides[name]
		for _, topic := range side.topicsWith("") {
			if !strings.HasPrefix(topic, "__") {
				side.delete(topic)
			}
		}
		// That heartbeats are copied must not depend on who was first to make the topic.
		side.create("heartbeats", 1, 1, map[string]string{"cleanup.policy": "compact"})
	}
	for i, name := range []string{"A", "B"} {
		sides[name].createAll(sampled[i], 2)
		var records []*kgo.Record
		for _, topic := range sampled[i] {
			for n := range 20 {
				records = append(records, &kgo.Record{Topic: topic, Partition: int32(n % 2), Key: fmt.Appendf(nil, "%s-%d", topic, n), Value: []byte("v"), Timestamp: time.UnixMilli(1_700_000_000_000)})
			}
		}
		sides[name].write("", records)
	}
	sides["A"].configure("my-state", map[string]string{"cleanup.policy": "compact"})
}

// wait returns when the remote topics have their records.
func (s sample) wait(t *testing.T, sides map[string]side) {
	t.Helper()
	for name, topics := range s.remote {
		for _, topic := range topics {
			eventually(t, topic+" on "+name, func() error {
				if s.latest {
					sides["A"].write(strings.TrimPrefix(topic, "hub."), append(numbered(1), toPartition(1, numbered(1))...))
				}
				n, err := sides[name].count(topic)
				if err == nil && (n < 1 || !s.latest && n < 20) {
					err = fmt.Errorf("%d records", n)
				}
				return err
			})
		}
	}
}

// look reads which topics there are, and what is in those that are not internal.
func (s sample) look(t *testing.T, sides map[string]side) world {
	t.Helper()
	all := system{sides: sides, words: regexp.MustCompile(``)}
	w := all.look(t)
	maps.DeleteFunc(w, func(name, _ string) bool {
		switch {
		case strings.HasPrefix(name, "heartbeat"):
			return false
		case !strings.HasPrefix(name, "topic "), strings.Contains(name, ": checkpoint of "), strings.Contains(name, ": sync "), strings.Contains(name, ": position "):
			return true // when those are written is up to intervals
		case s.latest:
			return strings.Contains(name, ": records ") || strings.Contains(name, ": codecs ")
		}
		return false
	})
	return w
}
