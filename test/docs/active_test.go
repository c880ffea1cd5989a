package docs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

const activePage = "docs/active-active.md"

// activeActive sets two clusters up as docs/active-active.md says. Each takes orders in; a group reads all of them at east.
func activeActive(t *testing.T, r *reader) {
	r.primary, r.backup = realkafka.Start(t, realkafka.Options{}), realkafka.Start(t, realkafka.Options{})
	east, west := r.primary, r.backup
	file := ofPage(t, activePage, map[string]string{
		"e1.example.com:9092, e2.example.com:9092, e3.example.com:9092": east.Bootstrap,
		"w1.example.com:9092, w2.example.com:9092, w3.example.com:9092": west.Bootstrap,
		"s3://my-bucket/kafka?region=eu-central-1":                      "file://" + t.TempDir(),
		"factor = 3": "factor = 1", "seconds = 5": "seconds = 1",
	}, "status.address = 127.0.0.1:0\nrefresh.topics.interval.seconds = 1\narchive.flush.interval.ms = 300\nsync.topic.acls.enabled = false\n"+
		"status.storage.replication.factor = 1\nconfig.storage.replication.factor = 1\n")
	in := &place{words: map[string]string{shipped: file}}
	for _, c := range []*realkafka.Cluster{east, west} {
		create(t, c, "orders", "delete")
		create(t, c, "payments", "delete")
	}
	write(t, east, "orders", numbered(100)...)
	write(t, west, "orders", numbered(30)...)

	s := r.section(t, activePage, "What runs where", in)
	s.next(t)
	s.done(t)
	in.mirror = r.start(t, "bin/mirror "+file+" --clusters west")
	other := r.start(t, "bin/mirror "+file+" --clusters east")
	for _, side := range []struct {
		cluster *realkafka.Cluster
		lacks   string
	}{{east, "west.west.orders"}, {west, "east.east.orders"}} {
		if got := matching(t, side.cluster, `^(orders|.*\.orders)$`, 130); len(got) != 130 {
			t.Errorf("%d orders, want 130", len(got))
		}
		if list := all(t, side.cluster, side.lacks); len(list) > 0 {
			t.Errorf("records of %s went round", side.lacks)
		}
	}
	commit(t, east, "billing", "orders", 60)
	commit(t, east, "billing", "west.orders", 20)
	in.mirror.until("billing to be known at west", func() error { return checkpointed(t, west, "east", "billing", "orders", 60) })
	s = r.section(t, activePage, "Groups", in)
	says(t, s.soon(t, "--out east.json", "--out east.json --force"), "not on west yet: 0 records")
	s.done(t)
	r.sh(t, "bin/failover apply east.json")
	stands(t, west, "billing", "east.orders", 60)
	stands(t, west, "billing", "orders", 20)
	r.sh(t, "bin/failover undo east.json")
	commit(t, west, "audit", "orders", 7)
	other.until("audit to be known at east", func() error { return checkpointed(t, east, "west", "audit", "orders", 7) })
	s = r.section(t, activePage, "Watch it, rehearse it", in)
	says(t, s.next(t), "PASSED")
	s.done(t)
	in.mirror.stop()
	other.stop()
}

// ofPage writes the first properties of a page, with other words and more lines.
func ofPage(t *testing.T, path string, words map[string]string, more string) (file string) {
	t.Helper()
	for _, p := range pages(t) {
		if p.path != path {
			continue
		}
		text := p.blocks("properties")[0]
		for from := range words {
			if !strings.Contains(text, from) {
				t.Fatalf("%s has no %q", path, from)
			}
		}
		return writeFile(t, substitute(text, words)+more)
	}
	t.Fatalf("there is no page %s", path)
	return ""
}

// matching reads so many records of the topics that an expression chooses, as a consumer with a pattern does, and waits whether more come.
func matching(t *testing.T, c *realkafka.Cluster, expression string, records int) (values []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct), kgo.ConsumeRegex(), kgo.ConsumeTopics(expression), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "the orders of both sides", func() error {
		client.PollFetches(expiring(t, time.Second)).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
		if len(values) < records {
			return errors.New("some are missing")
		}
		return nil
	})
	return values
}
