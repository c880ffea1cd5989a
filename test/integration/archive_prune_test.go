package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/testkit/s3"
)

// recent are records of now.
func recent(name string, n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "%s key %d", name, i), Value: fmt.Appendf(nil, "%s value %d", name, i)})
	}
	return records
}

// archiveSays runs a command that has to end with a status, and to say some words.
func archiveSays(t *testing.T, status int, words string, args ...string) ran {
	t.Helper()
	r := runArchive(t, args...)
	if r.status != status || !strings.Contains(r.stdout+r.stderr, words) {
		t.Fatalf("archive %s: status %d, not %d, or without %q:\n%s%s", strings.Join(args, " "), r.status, status, words, r.stdout, r.stderr)
	}
	return r
}

// bundlesAt lists the bundles of A.
func bundlesAt(t *testing.T, url string) (names []string) {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for info, err := range s.List(t.Context(), bundle.Folder("", "A"), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// Under a compliance lock prune removes nothing, says until when, and the archive stays what it is.
func TestPruneUnderALock(t *testing.T) {
	a, b := clusters(t)
	const topic = "locked"
	a.create(topic, 1, 1, nil)
	server := s3.Start(t)
	server.Bucket(t, "locked", true)
	url := s3.URL(server.Endpoint(), "locked", "")
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) +
		"A->B.enabled = true\narchive.s3.object.lock.mode = COMPLIANCE\narchive.s3.object.lock.days = 1\n"
	m := startMirror(t, properties)
	for range 3 {
		a.write(topic, recent("locked", 50))
		m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
	}
	m.stop()
	wantArchived(t, url, a, topic)
	before := bundlesAt(t, url)
	r := archiveSays(t, 0, "retained until 20", "prune", propertiesFile(t, properties), "--older-than", "0s", "--yes")
	if strings.Contains(r.stdout, "removed 0 bundles") == strings.Contains(r.stdout, "removed 0 bundle,") {
		t.Error(r.stdout)
	}
	after := bundlesAt(t, url)
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if n := len(archived(t, url, "A").records[topic][0]); n != 150 {
		t.Errorf("%d records are there", n)
	}
	archiveSays(t, 0, "that an earlier run did not remove", "prune", propertiesFile(t, properties), "--older-than", "0s", "--yes")
}

// A point is made at a moment without open transactions; where there is none, mark says so. Pruned is what is old, and no more.
func TestMarkAndPrune(t *testing.T) {
	a, b := clusters(t)
	const topic = "marked"
	a.create(topic, 1, 1, nil)
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) + "A->B.enabled = true\n"
	file := propertiesFile(t, properties)
	m := startMirror(t, properties)
	a.write(topic, recent("first", 50))
	m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))

	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), kgo.StringRecord("open")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	archiveSays(t, 0, "transactions were open in "+topic+"/0", "mark", file, "while-open", "--wait", "1s")
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r := archiveSays(t, 0, "point before-deploy is restorable", "mark", file, "before-deploy")
	if strings.Contains(r.stdout, "were open") {
		t.Error(r.stdout)
	}
	archiveSays(t, 1, "there is a point before-deploy already", "mark", file, "before-deploy")
	archiveSays(t, 0, "before-deploy", "ls", file)
	a.write(topic, recent("last", 50))
	m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	archiveSays(t, 0, "", "verify", file, "--level", "record")

	count := len(bundlesAt(t, url))
	archiveSays(t, 1, "would lose records", "prune", file, "--older-than", "0s", "--yes")
	archiveSays(t, 0, "it is needed by a kept point", "prune", file, "--older-than", "0s", "--keep", "while-open", "--keep", "before-deploy", "--yes")
	archiveSays(t, 0, "before-deploy", "ls", file)
	archiveSays(t, 0, "removed ", "prune", file, "--older-than", "0s", "--drop-points", "--yes")
	if n := len(bundlesAt(t, url)); n >= count {
		t.Errorf("%d bundles, and %d before", n, count)
	}
	archiveSays(t, 0, topic, "ls", file)
	archiveSays(t, 0, "", "verify", file)
	m = startMirror(t, properties) // it goes on where it was
	a.write(topic, recent("more", 10))
	m.until("the rest in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	archiveSays(t, 0, topic, "ls", file)
}
