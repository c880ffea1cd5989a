package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// bundles are the footers of an archive in a folder, by name, and how many records of orders the chunks hold. Each chunk is read.
func bundles(t *testing.T, dir string) (all []bundle.Footer, records int64, err error) {
	t.Helper()
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".tdm") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		r, err := bundle.Open(t.Context(), f, info.Size(), bundle.OpenOptions{Name: filepath.ToSlash(name)})
		if err != nil {
			return err
		}
		for i, c := range r.Footer().Chunks {
			plain, err := r.Chunk(t.Context(), i, nil)
			if err != nil {
				return err
			}
			for len(plain) > 0 && c.Topic.Name == "orders" {
				var v batch.View
				if v, plain, err = batch.Next(plain); err != nil {
					return err
				}
				records += int64(v.Records())
			}
		}
		all = append(all, r.Footer())
		return nil
	})
	return all, records, err
}

// events are those of a kind, as text.
func events(all []bundle.Footer, kind bundle.Kind) (found []string) {
	for _, f := range all {
		for _, e := range f.Events {
			if e.Kind() == kind {
				found = append(found, e.Body.String())
			}
		}
	}
	return found
}

func (p *running) archives(dir string, orders int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d orders in the archive", orders), func() error {
		_, n, err := bundles(p.t, dir)
		if err == nil && n < int64(orders) {
			err = fmt.Errorf("%d", n)
		}
		return err
	})
}

// tells waits for events of a kind.
func (p *running) tells(dir string, kind bundle.Kind, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d events %s", n, kind), func() error {
		all, _, err := bundles(p.t, dir)
		if found := events(all, kind); err == nil && len(found) < n {
			err = fmt.Errorf("%q", found)
		}
		return err
	})
}

const archived = `
east->west.archive.enabled = true
archive.url = file://%s
archive.flush.interval.ms = 100
`

// TestArchive: mirror archives what it replicates, is stopped and started, and goes on; the archive holds each record once, and topics
// are not told twice.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	east, west, path := pair(t, eastToWest+"status.address = 127.0.0.1:0\ngroup.instance.id = one\n"+fmt.Sprintf(archived, dir))
	orders := written(t, east, "orders")
	p := start(t, path)
	p.arrives(west, "east.orders", orders)
	p.archives(dir, orders)
	p.tells(dir, bundle.KindTopicConfigs, 1)
	var answer struct {
		Archives []struct{ Flow, State string }
	}
	if err := json.Unmarshal([]byte(p.ready()), &answer); err != nil || len(answer.Archives) != 1 || answer.Archives[0].State != "archiving" {
		t.Errorf("/readyz: %+v, %v", answer, err)
	}
	if _, text := p.get("/metrics"); !strings.Contains(text, "tandem_archive_up{flow=\"east->west\"} 1\n") {
		t.Errorf("/metrics does not say that the archive is up:\n%s", text)
	}
	p.stop()
	orders += written(t, east, "orders")
	p = start(t, path)
	p.arrives(west, "east.orders", orders)
	p.archives(dir, orders)
	p.tells(dir, bundle.KindTopicConfigs, 2)
	p.stop()

	all, n, err := bundles(t, dir)
	if err != nil || n != int64(orders) {
		t.Errorf("%d records in the archive, %v; want %d", n, err, orders)
	}
	if created := events(all, bundle.KindTopicCreated); len(created) != 1 || !strings.Contains(created[0], "orders") || !strings.Contains(created[0], "2 partitions") {
		t.Errorf("created: %q", created)
	}
	if configs := events(all, bundle.KindTopicConfigs); len(configs) != 2 { // one for each start
		t.Errorf("configs: %q", configs)
	}
	if h := all[0].Header; !strings.HasPrefix(h.Writer, "mirror-west") || h.ClusterID != t.Name()+"-east" || h.Flow != (stream.Flow{Source: "east", Target: "west"}) {
		t.Errorf("header %v", h)
	}
	if last := all[len(all)-1].Header; last.Generation != 1 {
		t.Errorf("the second run has generation %d", last.Generation)
	}
	runs := int64(0)
	for _, f := range all {
		for _, e := range f.Events {
			if r, ok := e.Body.(bundle.Runs); ok {
				for _, one := range r.Runs {
					runs += one.Count
				}
			}
		}
	}
	if runs != int64(orders) {
		t.Errorf("runs of %d records, want %d", runs, orders)
	}
}

// TestArchiveWithoutTheTarget: a flow that only archives needs no target, and one that replicates archives while its target is away.
func TestArchiveWithoutTheTarget(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, story := range []string{"east->west.enabled = true\n", "east->west.enabled = false\nemit.heartbeats.enabled = false\n"} {
		t.Run(strings.Fields(story)[2], func(t *testing.T) {
			dir := t.TempDir()
			east, west, _ := pair(t, "")
			west.Close()
			path := file(t, fmt.Sprintf("clusters = east, west\neast.bootstrap.servers = %s\nwest.bootstrap.servers = %s\n", east.Bootstrap(), nobody)+
				oneBroker+"status.address =\neast->west.topics = orders\n"+story+fmt.Sprintf(archived, dir))
			orders := written(t, east, "orders")
			p := start(t, path)
			p.archives(dir, orders)
			p.stop()
			if _, n, err := bundles(t, dir); n != int64(orders) || err != nil {
				t.Errorf("%d records, %v; want %d", n, err, orders)
			}
		})
	}
}

// TestArchiveRefused: what no waiting mends is said at the start.
func TestArchiveRefused(t *testing.T) {
	for _, c := range []struct{ story, settings, says string }{
		{"a folder that is not there", "archive.url = file:///no/such/folder\n", "no such folder"},
		{"a secret in the URL", "archive.url = s3://key:secret@bucket/\n", "no user or password here"},
		{"S3's settings of a folder", "archive.url = file://" + t.TempDir() + "\narchive.s3.sse = AES256\n", "archive.s3.* is set"},
		{"a key that is not there", "archive.url = file://" + t.TempDir() + "\narchive.encryption.key.url = file:///no/such/key\n", "archive.encryption.key.url"},
	} {
		t.Run(c.story, func(t *testing.T) {
			_, _, path := pair(t, eastToWest+"status.address =\neast->west.archive.enabled = true\n"+c.settings)
			p := start(t, path)
			if status := p.exit(); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if said := p.err.linesWith("mirror: ", c.says); len(said) != 1 || slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "key:secret") }) {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestArchiveFails: another one has written an object of our name. With detach replication goes on; with pause the flow ends.
func TestArchiveFails(t *testing.T) {
	for onFailure, status := range map[string]int{"detach": 0, "pause": 1} {
		t.Run(onFailure, func(t *testing.T) {
			dir := t.TempDir()
			east, west, path := pair(t, eastToWest+"status.address = 127.0.0.1:0\narchive.on.failure = "+onFailure+"\n"+fmt.Sprintf(archived, dir))
			orders := written(t, east, "orders")
			p := start(t, path)
			p.arrives(west, "east.orders", orders)
			p.archives(dir, orders)
			p.stop()
			damage(t, dir)
			orders += written(t, east, "orders")
			p = start(t, path)
			if onFailure == "pause" {
				if got := p.exit(); got != status {
					t.Errorf("exit status %d, want %d", got, status)
				}
				if said := p.err.linesWith("mirror: ", "archive.on.failure=pause", "bundle is damaged"); len(said) != 1 {
					t.Errorf("said %q", said)
				}
				return
			}
			p.arrives(west, "east.orders", orders)
			p.waitFor(`"level":"error"`, "the archive has stopped")
			if _, text := p.get("/metrics"); !strings.Contains(text, "tandem_archive_up{flow=\"east->west\"} 0\n") {
				t.Error("/metrics says that the archive is up")
			}
			p.ready()
			p.stop()
		})
	}
}

// damage cuts all bundles short.
func damage(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".tdm") {
			err = os.Truncate(path, 60)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
