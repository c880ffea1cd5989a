package docs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/s3"
)

const runbooksPage = "docs/runbooks.md"

// runbooks has everything happen that docs/runbooks.md is for, one after the other, to two clusters and an archive.
func runbooks(t *testing.T, r *reader) {
	r.sh(t, "rm -rf plan.json lost.json back.json lines") // of the other pages
	n := newNight(t, r)
	for _, act := range []struct {
		name string
		does func(*testing.T)
	}{
		{"region lost", n.regionLost},
		{"failback", n.failback},
		{"planned switch", n.plannedSwitch},
		{"wrong records", n.wrongRecords},
		{"deleted on primary", n.deletedOnPrimary},
		{"deleted on backup", n.deletedOnBackup},
		{"intruder", n.intruder},
		{"sites cut off", n.sitesCutOff},
		{"group lost", n.groupLost},
		{"archive lost", n.archiveLost},
		{"rehearsal", n.rehearsal},
		{"active-passive", n.activePassive},
		{"alerts", n.looks},
	} {
		if !t.Run(act.name, act.does) {
			return
		}
	}
}

// night is when the runbooks are read.
type night struct {
	t     *testing.T
	r     *reader
	link  *wire // between the sites: mirror and the commands are on that of backup
	store *s3.Server
	lines string // of the file, over those of the page
	in    *place
}

func newNight(t *testing.T, r *reader) *night {
	n := &night{t: t, r: r, link: &wire{}, store: s3.Start(t), in: &place{words: map[string]string{}}}
	r.primary = realkafka.Start(t, realkafka.Options{Advertise: n.link.before})
	r.backup = realkafka.Start(t, realkafka.Options{})
	t.Cleanup(n.link.close)
	n.store.Bucket(t, "kafka", true)
	n.store.Bucket(t, "anew", true)
	key := filepath.Join(t.TempDir(), "archive.key")
	r.sh(t, "bin/archive keys new "+key)
	n.lines = "primary->backup.archive.enabled = true\narchive.url = " + s3.URL(n.store.Endpoint(), "kafka", "") + "\narchive.encryption.key.url = file://" + key +
		"\narchive.s3.object.lock.mode = GOVERNANCE\narchive.s3.object.lock.days = 1\narchive.flush.interval.ms = 300\n" +
		"emit.checkpoints.interval.seconds = 1\nrefresh.topics.interval.seconds = 1\n"
	n.in.words["127.0.0.1:19092"], n.in.words["127.0.0.1:29092"] = r.primary.Bootstrap, r.backup.Bootstrap
	create(t, r.primary, "orders", "delete")
	create(t, r.primary, "payments", "delete")
	n.start(t, "")
	write(t, r.primary, "orders", dated(1000, time.Now())...)
	write(t, r.primary, "payments", dated(500, time.Now())...)
	commit(t, r.primary, "billing", "orders", 637)
	commit(t, r.primary, "audit", "orders", 1000)
	commit(t, r.primary, "audit", "payments", 400)
	first(t, r.backup, "primary.orders", 1000)
	first(t, r.backup, "primary.payments", 500)
	n.known(t, "billing", "orders", 637)
	n.known(t, "audit", "orders", 1000)
	n.known(t, "audit", "payments", 400)
	return n
}

// start runs mirror with more lines in the file. Without it the file is written all the same.
func (n *night) write(t *testing.T, more string) {
	t.Helper()
	n.in.words[shipped] = n.r.properties(n.t, n.lines+more)
	if strings.Contains(more, "backup->primary.enabled") {
		text, err := os.ReadFile(n.in.words[shipped])
		if err == nil {
			err = os.WriteFile(n.in.words[shipped], []byte(strings.Replace(string(text), "backup->primary.enabled = false\n", "", 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (n *night) start(t *testing.T, more string) {
	t.Helper()
	n.write(t, more)
	n.in.mirror = n.r.start(n.t, "bin/mirror "+n.in.words[shipped]) // it outlives the act
	n.in.mirror.until("partitions to run", func() error { return n.in.mirror.logged(`"msg":"replicating `) })
}

func (n *night) stop() {
	n.in.mirror.stop()
	n.in.mirror = nil
}

func (n *night) section(t *testing.T, name string) *section {
	return n.r.section(t, runbooksPage, name, n.in)
}

// known waits until the archive and backup have a group at a place of a topic of primary.
func (n *night) known(t *testing.T, group, topic string, at int64) {
	t.Helper()
	n.in.mirror.until(group+" to be known", func() error {
		out := n.r.sh(t, "bin/archive ls --groups "+n.in.words[shipped])
		if want := fmt.Sprintf("%s %s/0 %d\n", group, topic, at); !strings.Contains(plain(out, nil), want) {
			return errors.New(out)
		}
		return checkpointed(t, n.r.backup, "primary", group, topic, at)
	})
}

// checkpointed looks whether the newest checkpoint of a group in partition 0 of a topic is of an offset of the source.
func checkpointed(t *testing.T, c *realkafka.Cluster, source, group, topic string, at int64) error {
	t.Helper()
	remote, upstream := source+"."+topic, int64(-1)
	key := fmt.Sprintf("\x00%c%s\x00%c%s\x00\x00\x00\x00", len(group), group, len(remote), remote) // two strings, partition 0
	for _, r := range all(t, c, source+".checkpoints.internal") {
		if len(r.Value) >= 10 && string(r.Key) == key {
			upstream = int64(binary.BigEndian.Uint64(r.Value[2:])) //nolint:gosec // an offset, as Kafka writes it
		}
	}
	if upstream != at {
		return fmt.Errorf("the newest checkpoint of %s is of offset %d of %s, not %d", group, upstream, topic, at)
	}
	return nil
}

// now is a moment that the page names.
func (n *night) now(placeholder string, at time.Time) {
	n.in.words[placeholder] = at.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (n *night) regionLost(t *testing.T) {
	n.r.primary.Kill(0)
	s := n.section(t, "The region is lost")
	s.soon(t)
	s.next(t)
	s.next(t)
	stands(t, n.r.backup, "billing", "primary.orders", 637)
	stands(t, n.r.backup, "audit", "primary.orders", 1000)
	stands(t, n.r.backup, "audit", "primary.payments", 400)
	n.stop()
	s.next(t)
	s.next(t)
	s.done(t)
}

// failback finds three records on primary that nobody has; on backup 50 were written.
func (n *night) failback(t *testing.T) {
	create(t, n.r.backup, "orders", "delete")
	write(t, n.r.backup, "orders", dated(50, time.Now())...)
	commit(t, n.r.backup, "billing", "primary.orders", 1000)
	commit(t, n.r.backup, "billing", "orders", 50)
	if err := n.r.primary.Restart(0); err != nil {
		t.Fatal(err)
	}
	write(t, n.r.primary, "orders", dated(3, time.Now())...)
	n.start(t, "backup->primary.enabled = true\n")
	s := n.section(t, "Failback")
	s.soon(t)
	s.next(t)
	s.next(t)
	stands(t, n.r.primary, "billing", "orders", 1000)
	stands(t, n.r.primary, "billing", "backup.orders", 50)
	s.soon(t)
	s.done(t)
	if got := first(t, n.r.primary, "backup.orders", 50); got[49] != "order 49" {
		t.Errorf("of backup: %s", got[49])
	}
	n.stop()
	for _, where := range []struct {
		cluster *realkafka.Cluster
		topic   string
	}{{n.r.primary, "backup.orders"}, {n.r.backup, "orders"}} { // read to their ends, and given up
		forget(t, where.cluster, "billing", where.topic)
		drop(t, where.cluster, where.topic)
	}
	n.start(t, "")
}

func (n *night) plannedSwitch(t *testing.T) {
	commit(t, n.r.primary, "billing", "orders", 1002)
	commit(t, n.r.primary, "audit", "orders", 1003)
	n.known(t, "billing", "orders", 1002)
	n.known(t, "audit", "orders", 1003)
	s := n.section(t, "Planned switch")
	s.soon(t)
	s.next(t)
	stands(t, n.r.backup, "billing", "primary.orders", 1002)
	stands(t, n.r.backup, "audit", "primary.orders", 1003)
	s.next(t)
	stands(t, n.r.backup, "billing", "primary.orders", 1000)
	s.done(t)
}

// wrongRecords are forty; what was there before them comes back.
func (n *night) wrongRecords(t *testing.T) {
	good := time.Now()
	wrong := dated(40, good.Add(time.Millisecond))
	for _, r := range wrong {
		r.Value = append([]byte("broken "), r.Value...)
	}
	write(t, n.r.primary, "orders", wrong...)
	n.archived(t, "orders", 1043)
	n.now(moment, good)
	n.now("2026-11-20T14:05:10Z", good.Add(10*time.Second))
	s := n.section(t, "Wrong records")
	says(t, s.next(t), `"offset":1003`, "broken order 0")
	s.next(t)
	n.stop()
	s.next(t)
	stands(t, n.r.primary, "billing", "orders", 1002)
	n.start(t, "topic.recreated = follow\n")
	s.soon(t)
	for _, topic := range []string{"orders", "orders-restored"} {
		n.same(t, n.r.primary, topic, 1000, 3)
	}
	n.same(t, n.r.backup, "primary.orders", 1000, 3)
	s.next(t)
	s.done(t)
	n.stop()
	n.start(t, "")
}

// archived waits until so many records of a topic are.
func (n *night) archived(t *testing.T, topic string, records int) {
	t.Helper()
	n.in.mirror.until(topic+" to be archived", func() error {
		if out := n.r.sh(t, "bin/archive ls "+n.in.words[shipped]); !strings.Contains(plain(out, nil), fmt.Sprintf("\n%s 1 %d ", topic, records)) {
			return errors.New(out)
		}
		return nil
	})
}

// live waits until a topic is read at its end, and the archive has looked at it.
func (n *night) live(t *testing.T, topic string) {
	t.Helper()
	n.in.mirror.until(topic+" to be live", func() error {
		if out := n.in.mirror.curl("curl -s 127.0.0.1:8383/api/partitions?topic=" + topic); !strings.Contains(out, `"state":"live"`) {
			return errors.New(out)
		}
		return nil
	})
	n.in.mirror.until("the archive to look", func() error {
		if out, _ := n.r.run(t, n.in, "curl -s 127.0.0.1:8383/metrics | grep tandem_archive_durable_timestamp_seconds{"); out == "" {
			return errors.New("it has not begun")
		}
		return nil
	})
}

// same wants a topic to have what dated has made, several times one behind the other, and nothing else.
func (n *night) same(t *testing.T, c *realkafka.Cluster, topic string, made ...int) {
	t.Helper()
	var want, got []string
	for _, count := range made {
		for _, r := range numbered(count) {
			want = append(want, string(r.Value))
		}
	}
	for _, r := range all(t, c, topic) {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %d records, want %d: %v", topic, len(got), len(want), made)
	}
}

func (n *night) deletedOnPrimary(t *testing.T) {
	n.live(t, "payments")
	n.now(moment, time.Now())
	drop(t, n.r.primary, "payments")
	s := n.section(t, "Topic deleted on primary")
	s.soon(t)
	s.next(t)
	n.same(t, n.r.primary, "payments", 500)
	stands(t, n.r.primary, "audit", "payments", 400)
	s.soon(t)
	n.stop()
	s.next(t)
	n.start(t, "topic.recreated = follow\n")
	s.soon(t)
	s.done(t)
	n.same(t, n.r.backup, "primary.payments", 500)
	n.stop()
	n.start(t, "")
}

// deletedOnBackup: three records come after it.
func (n *night) deletedOnBackup(t *testing.T) {
	n.live(t, "payments")
	drop(t, n.r.backup, "primary.payments")
	n.in.mirror.until("a new copy", func() error { return n.in.mirror.logged(`"msg":"created remote topic"`) })
	write(t, n.r.primary, "payments", dated(3, time.Now())...)
	first(t, n.r.backup, "primary.payments", 3)
	s := n.section(t, "Topic deleted on backup")
	s.soon(t)
	n.stop()
	s.next(t)
	n.start(t, "")
	s.soon(t)
	s.done(t)
	n.same(t, n.r.backup, "primary.payments", 500, 3)
	n.archived(t, "payments#1", 503)
}

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

// wire is the way to the brokers of the other site. When it is cut, nobody gets through.
type wire struct {
	mu        sync.Mutex
	isCut     bool
	listeners []net.Listener
	conns     map[net.Conn]bool
}

func (l *wire) before(_ int, address string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.listeners = append(l.listeners, listener)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go l.pass(from, address)
		}
	}()
	return listener.Addr().String(), nil
}

func (l *wire) pass(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	if l.isCut {
		l.mu.Unlock()
		return
	}
	if l.conns == nil {
		l.conns = make(map[net.Conn]bool)
	}
	l.conns[from], l.conns[to] = true, true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, from)
		delete(l.conns, to)
	}()
	go func() {
		defer from.Close()
		_, _ = io.Copy(from, to) // ends with the connection
	}()
	_, _ = io.Copy(to, from)
}

// cut ends what is there, and whoever comes.
func (l *wire) cut(off bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut = off; off {
		for c := range l.conns {
			c.Close()
		}
	}
}

func (l *wire) close() {
	for _, listener := range l.listeners {
		listener.Close()
	}
	l.cut(true)
}
