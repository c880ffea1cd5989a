package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tandem/internal/testkit/realkafka"
)

// intruder deletes a topic, and every object of the archive that he can.
func (n *night) intruder(t *testing.T) {
	n.live(t, "orders")
	n.now(moment, time.Now())
	drop(t, n.r.primary, "orders")
	n.in.mirror.until("the loss to be seen", func() error { return n.in.mirror.logged("source topic deleted") })
	n.stop()
	n.wipe(t)
	s := n.section(t, "Intruder")
	s.next(t)
	n.unhide(t)
	s.next(t)
	s.next(t)
	clean := realkafka.Start(t, realkafka.Options{})
	text, err := os.ReadFile(n.in.words[shipped])
	if err == nil {
		err = os.WriteFile(filepath.Join(n.r.dir, "clean.properties"), []byte(strings.ReplaceAll(string(text), n.r.primary.Bootstrap, clean.Bootstrap)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.next(t)
	n.same(t, clean, "orders", 1000, 3)
	n.same(t, clean, "payments", 500, 3)
	s.next(t, "127.0.0.1:39092", clean.Direct)
	s.done(t)
	// The story goes on with the old clusters.
	n.r.sh(t, "bin/archive restore "+n.in.words[shipped]+" --to primary --topics orders --until "+n.in.words[moment]+" --yes")
	drop(t, n.r.backup, "primary.orders")
	n.start(t, "topic.recreated = follow\n")
	first(t, n.r.backup, "primary.orders", 1003)
	n.stop()
	n.start(t, "")
	n.known(t, "billing", "orders", 1002)
}

// wipe deletes what is in the bucket. Versions cannot be deleted: they are locked.
func (n *night) wipe(t *testing.T) {
	t.Helper()
	client, bucket := n.store.Client(), aws.String("kafka")
	list, err := client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
	there, err := client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: bucket})
	if err != nil || len(there.Versions) == 0 {
		t.Fatalf("%d versions: %v", len(there.Versions), err)
	}
	for _, v := range there.Versions {
		if !strings.Contains(*v.Key, "/bundles/") {
			continue
		}
		if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: v.Key, VersionId: v.VersionId}); err == nil {
			t.Fatalf("%s was deleted in spite of its lock", *v.Key)
		}
	}
}

// unhide takes the markers away, as the page says with another tool.
func (n *night) unhide(t *testing.T) {
	t.Helper()
	client, bucket := n.store.Client(), aws.String("kafka")
	there, err := client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range there.DeleteMarkers {
		if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: m.Key, VersionId: m.VersionId}); err != nil {
			t.Fatal(err)
		}
	}
}

// sitesCutOff: the first time all wait, the second time somebody switches.
func (n *night) sitesCutOff(t *testing.T) {
	n.live(t, "orders")
	n.live(t, "payments")
	n.live(t, "heartbeats")
	n.link.cut(true)
	s := n.section(t, "Sites cut off from each other")
	write(t, n.r.primary, "orders", dated(50, time.Now())...)
	s.soon(t)
	n.link.cut(false)
	s.soon(t)

	n.link.cut(true)
	write(t, n.r.primary, "orders", dated(7, time.Now())...)
	lost := n.section(t, "The region is lost")
	lost.steps = lost.steps[1:3]
	for i := range lost.steps {
		lost.steps[i].prints = nil // other numbers
	}
	lost.soon(t, "--out lost.json", "--out lost.json --force")
	lost.next(t)
	n.in.mirror.until("mirror to hear of it", func() error { return n.in.mirror.logged("groups have failed over to backup") })
	n.link.cut(false)
	s.soon(t, "--out both.json", "--out both.json --force")
	if got := s.next(t); strings.Count(got, "order ") != 7 {
		t.Errorf("only on primary: %s", got)
	}
	n.same(t, n.r.backup, "primary.orders", 1000, 3, 50)
	s.soon(t)
	s.done(t)
	first(t, n.r.backup, "primary.orders", 1060)
	n.same(t, n.r.backup, "primary.orders", 1000, 3, 50, 7)
}

func (n *night) groupLost(t *testing.T) {
	n.known(t, "billing", "orders", 1002)
	n.now(moment, time.Now())
	commit(t, n.r.primary, "billing", "orders", 0)
	n.known(t, "billing", "orders", 0)
	s := n.section(t, "Group lost its place")
	s.next(t)
	s.next(t)
	s.done(t)
	stands(t, n.r.primary, "billing", "orders", 1002)
}

func (n *night) archiveLost(t *testing.T) {
	n.store.Stop()
	write(t, n.r.primary, "orders", dated(7, time.Now())...)
	s := n.section(t, "Archive lost")
	s.soon(t)
	n.in.mirror.Kill() // a stop would wait for the store for some seconds
	if err := n.store.Restart(); err != nil {
		t.Fatal(err)
	}
	n.lines = strings.Replace(n.lines, "s3://kafka/", "s3://anew/", 1)
	n.start(t, "")
	n.archived(t, "orders", 1067)
	n.archived(t, "payments", 503)
	s.next(t)
	s.done(t)
}

func (n *night) rehearsal(t *testing.T) {
	n.live(t, "orders")
	n.live(t, "payments")
	s := n.section(t, "Rehearsal")
	says(t, s.next(t), "drill-failover-primary-backup-", "drill-archive-primary-backup-", ".html", ".json")
	s.done(t)
}

// activePassive is what docs/active-passive.md has beside the runbooks.
func (n *night) activePassive(t *testing.T) {
	n.stop()
	s := n.r.section(t, "docs/active-passive.md", "What runs where", n.in)
	start := s.steps[0].lines
	s.steps[0].lines = start[:1]
	s.next(t)
	s.done(t)
	n.write(t, "backup->primary.enabled = true\n")
	n.in.mirror = n.r.start(n.t, n.r.follow(t, start[1], shipped, n.in.words[shipped]))
	n.live(t, "orders")
	n.live(t, "payments")
	n.in.mirror.until("groups", func() error { return checkpointed(t, n.r.backup, "primary", "billing", "orders", 1002) })
	s = n.r.section(t, "docs/active-passive.md", "Watch it, rehearse it", n.in)
	s.next(t)
	s.done(t)
}

// looks runs what the pages have people look at while mirror runs: nothing of it changes anything, and all of it says that all is well.
func (n *night) looks(t *testing.T) {
	n.stop()
	n.start(t, "")
	n.live(t, "orders")
	for _, p := range pages(t) {
		for _, block := range p.blocks("sh") {
			for _, line := range full(block) {
				if looking.MatchString(line) && !slices.Contains(n.r.followed, bare(line)) {
					n.look(t, p.path, line)
				}
			}
		}
	}
}

// looking is what a command begins with that changes nothing of anybody's.
var looking = regexp.MustCompile(`^(?:curl |bin/mirror check |bin/mirror reload |bin/failover (?:status|drill) |bin/archive (?:ls|verify|drill|keys check) )`)

func (n *night) look(t *testing.T, path, line string) {
	t.Helper()
	if strings.Contains(line, " east") || strings.Contains(line, ".properties") && !strings.Contains(line, shipped) {
		return // clusters of another page
	}
	words := substitute(bare(line), n.in.words)
	if strings.Contains(line, "mirror reload") { // it asks the file for the port
		text, err := os.ReadFile(n.in.words[shipped])
		if err == nil {
			err = os.WriteFile(n.in.words[shipped], fmt.Appendf(text, "\nstatus.address = %s\n", n.in.mirror.address()), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n.r.followed = append(n.r.followed, bare(line))
	want := "0"
	if m := remark.FindStringSubmatch(line); m != nil {
		want = m[1]
	}
	out, status := n.r.run(t, n.in, words)
	if status != want {
		t.Errorf("%s: %s: exit status %s, want %s\n%s", path, line, status, want, out)
	}
	if out == "" {
		t.Errorf("%s: %s: it says nothing", path, line)
	}
	t.Logf("%s\n%.400s", line, out)
}
