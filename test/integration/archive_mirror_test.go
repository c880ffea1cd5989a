package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
	"tandem/internal/testkit/s3"
)

// archiveProperties: alias of the target, bootstrap of both, topics, archive.url.
const archiveProperties = oneBroker + quiet + `
clusters = A, %[1]s
A.bootstrap.servers = %[2]s
%[1]s.bootstrap.servers = %[3]s
topics = %[4]s
A->%[1]s.archive.enabled = true
archive.url = %[5]s
archive.flush.interval.ms = 200
`

// Transactions and plain records, mirror killed again and again: the archive on S3 is the source, record by record.
func TestArchiveOfAKilledMirror(t *testing.T) {
	a, b := clusters(t)
	const topic = "teed-numbers"
	a.create(topic, 2, 1, nil)
	server := s3.Start(t)
	server.Bucket(t, "teed", false)
	url := s3.URL(server.Endpoint(), "teed", "some/prefix")
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) + "A->B.enabled = true\n"
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	go func() { done <- transact(ctx, client) }()
	w := startWriter(a, topic, 2)
	t.Logf("%d kills, -seed %d", *kills, *seed)
	random := rand.New(rand.NewPCG(*seed, 6))
	for range *kills {
		m := startMirror(t, properties)
		m.waitFor("archiving")
		w.grows(100 + random.Int64N(6000))
		m.Kill()
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.end()
	m := startMirror(t, properties)
	m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	k := wantArchived(t, url, a, topic)
	if created := k.events(bundle.KindTopicCreated); len(created) != 1 {
		t.Errorf("created: %q", created)
	}
	t.Logf("%d bundles", len(k.footers))
}

// A flow that only archives needs no target; one that replicates archives while its target is away.
func TestArchiveWithoutTarget(t *testing.T) {
	a, _ := clusters(t)
	for name, enabled := range map[string]string{"archive only": "false", "target away": "true"} {
		t.Run(name, func(t *testing.T) {
			topic := "untargeted-" + strings.Fields(name)[0]
			a.create(topic, 2, 1, nil)
			url := "file://" + t.TempDir()
			w := startWriter(a, topic, 2)
			m := startMirror(t, fmt.Sprintf(archiveProperties, "gone", a.Bootstrap, nobody(t), topic, url)+"A->gone.enabled = "+enabled+"\n")
			w.grows(5000)
			w.end()
			m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
			m.stop()
			wantArchived(t, url, a, topic)
		})
	}
}

// nobody is an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The store is away when mirror starts, and again later. With detach replication goes on; with pause it waits. The archive has
// all of it in the end.
func TestArchiveWhileTheStoreIsAway(t *testing.T) {
	a, b := clusters(t)
	for _, onFailure := range []string{"detach", "pause"} {
		t.Run(onFailure, func(t *testing.T) {
			topic := "away-" + onFailure
			remote := "A." + topic
			a.create(topic, 2, 1, nil)
			server := s3.Start(t)
			server.Bucket(t, "away", false)
			url := s3.URL(server.Endpoint(), "away", "")
			server.Stop()
			w := startWriter(a, topic, 2)
			w.grows(1000)
			m := startMirror(t, fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url)+
				"A->B.enabled = true\narchive.memory.bytes = 2097152\narchive.on.failure = "+onFailure+"\n")
			m.waitFor("replicating 2 partitions")
			m.waitFor("the archive's store has trouble")
			if onFailure == "detach" {
				m.until("records to flow without a store", b.reaches(remote, 1000))
			} else if n, err := b.count(remote); err != nil || n > 0 {
				t.Errorf("%d records on the target, and nothing can be archived: %v", n, err)
			}
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
			m.until("the archive to begin", func() error {
				if ends := archived(t, url, "A").ends[topic]; len(ends) != 2 {
					return fmt.Errorf("%v", ends)
				}
				return nil
			})
			server.Stop()
			w.grows(5000)
			if onFailure == "detach" {
				m.until("records to flow without a store", b.reaches(remote, w.total()))
			}
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
			records := w.end()
			m.until("all records", b.holds(remote, records))
			m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
			m.stop()
			wantArchived(t, url, a, topic)
		})
	}
}

// What becomes of topics, their configs and groups is in the archive.
func TestArchiveEvents(t *testing.T) {
	a, b := clusters(t)
	url := "file://" + t.TempDir()
	a.create("told-orders", 1, 1, map[string]string{"retention.ms": "604800000"})
	a.write("told-orders", toPartition(0, numbered(10)))
	m := startMirror(t, fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, "told-.*", url)+
		"A->B.enabled = true\ntopic.recreated = follow\nemit.checkpoints.interval.seconds = 1\ngroups = told-.*\n")
	tells := func(kind bundle.Kind, words ...string) {
		t.Helper()
		m.until(fmt.Sprintf("event %s %q", kind, words), func() error {
			all := archived(t, url, "A").events(kind)
			for _, one := range all {
				found := true
				for _, w := range words {
					found = found && strings.Contains(one, w)
				}
				if found {
					return nil
				}
			}
			return fmt.Errorf("%q", all)
		})
	}
	tells(bundle.KindTopicCreated, "told-orders", "1 partitions", "found")
	tells(bundle.KindTopicConfigs, "told-orders", "retention.ms=604800000")
	tells(bundle.KindRuns, "told-orders/0 on A.told-orders/0: 10 from 0 at 0")
	a.commit("told-group", map[stream.Partition]int64{{Topic: "told-orders"}: 4})
	tells(bundle.KindGroupOffsets, "told-group whole: told-orders/0 at 4")
	a.commit("told-group", map[stream.Partition]int64{{Topic: "told-orders"}: 7})
	tells(bundle.KindGroupOffsets, "told-group changed: told-orders/0 at 7")
	a.configure("told-orders", map[string]string{"retention.ms": "", "max.message.bytes": "2000000"})
	tells(bundle.KindTopicConfigs, "told-orders: max.message.bytes=2000000")
	a.widen("told-orders", 3)
	tells(bundle.KindTopicWidened, "told-orders from 1 to 3 partitions")
	a.create("told-later", 1, 1, nil)
	tells(bundle.KindTopicCreated, "told-later", "1 partitions")
	a.recreate("told-orders")
	tells(bundle.KindTopicRecreated, "told-orders id", "is now told-orders#1 id", "1 partitions")
	a.delete("told-later")
	tells(bundle.KindTopicDeleted, "told-later")
	m.stop()
	if found := archived(t, url, "A").events(bundle.KindTopicCreated); len(found) != 2 {
		t.Errorf("created: %q", found)
	}
}
