package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/testkit/s3"
)

// The awkward topics of TestEveryRecordArrivesAsItWas, archived on S3 by a mirror that does nothing else, come back record by record.
// Most of their chunks are small, and stand beside each other: what is asked of the store is counted.
func TestRestoreOfEveryRecord(t *testing.T) {
	a, b := clusters(t)
	source := map[string][][]*kgo.Record{}
	for _, w := range sources {
		topic := "whole-" + w.name
		a.create(topic, max(w.partitions, 1), 1, w.configs)
		if w.write != nil {
			w.write(a, topic)
		}
		if w.name == "compacted" { // the target is to keep the holes that are here, and to make no others
			a.configure(topic, map[string]string{"segment.ms": "", "min.cleanable.dirty.ratio": ""})
		}
		source[topic] = a.read(topic)
		if w.is != nil && !w.is(a.batches(topic, 0), source[topic][0]) {
			t.Fatalf("%s is not what the test needs: batches %+v", topic, a.batches(topic, 0))
		}
	}
	server := s3.Start(t)
	server.Bucket(t, "whole", false)
	properties := func(endpoint string) string {
		return fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, "whole-.*", s3.URL(endpoint, "whole", "prefix")) + "A->B.enabled = false\n"
	}
	m := startMirror(t, properties(server.Endpoint()))
	m.until("all topics in the archive", archivesAll(t, s3.URL(server.Endpoint(), "whole", "prefix"), a, source))
	m.stop()

	proxy := server.NewProxy(t)
	file := propertiesFile(t, properties(proxy.URL))
	var gets atomic.Int64
	proxy.Script(func(r *http.Request) s3.Fault {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".tdm") {
			gets.Add(1)
		}
		return s3.Fault{}
	})
	done := runArchive(t, "restore", file, "--to", "B", "--yes").must(t)
	t.Logf("%d requests for bundles\n%s%s", gets.Load(), done.stdout, done.stderr)
	committed := a.read("whole-transactions", kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for _, w := range sources {
		t.Run(w.name, func(t *testing.T) {
			topic, b := "whole-"+w.name, on(t, b.Cluster)
			want := source[topic]
			if w.name == "transactions" {
				want = committed
			}
			wantSame(t, want, b.read(topic))
		})
	}
	t.Run("raw", func(t *testing.T) {
		runArchive(t, "restore", file, "--to", "B", "--yes", "--raw", "--topics", "whole-transactions", "--rename-prefix", "raw-").must(t)
		if total(committed) == total(source["whole-transactions"]) {
			t.Error("no transaction was aborted")
		}
		wantSame(t, source["whole-transactions"], on(t, b.Cluster).read("raw-whole-transactions"))
	})
	again := runArchive(t, "restore", file, "--to", "B", "--yes").must(t)
	if !strings.Contains(again.stdout, "nothing was written") {
		t.Errorf("once more it says\n%s", again.stdout)
	}
}

// archivesAll is a condition: the archive has all that the topics have, and knows those that are empty.
func archivesAll(t *testing.T, url string, a side, topics map[string][][]*kgo.Record) func() error {
	t.Helper()
	return func() error {
		k := archived(t, url, "A")
		created := strings.Join(k.events(bundle.KindTopicCreated), "\n")
		for topic := range topics {
			ends, err := a.ends(topic)
			if err != nil {
				return err
			}
			has := append(slices.Clone(k.ends[topic]), make([]int64, len(ends))...)[:len(ends)]
			if !slices.Equal(has, ends) || !strings.Contains(created, topic) {
				return fmt.Errorf("%s is archived up to %v of %v", topic, has, ends)
			}
		}
		return nil
	}
}
