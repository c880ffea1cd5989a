package docs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	first(t, n.r.backup, "primary.orders", 1003)
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
	first(t, n.r.backup, "primary.payments", 500)
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
	first(t, n.r.backup, "primary.payments", 503)
	n.same(t, n.r.backup, "primary.payments", 500, 3)
	n.archived(t, "payments#1", 503)
}
