package docs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

// theArchive does what docs/archive.md tells an operator to do: one topic is poisoned and brought back, then the primary dies, then there
// is nothing but the archive.
func theArchive(t *testing.T, r *reader) {
	r.primary, r.backup = realkafka.Start(t, realkafka.Options{}), realkafka.Start(t, realkafka.Options{})
	create(t, r.primary, "orders", "delete")
	create(t, r.primary, "payments", "delete")
	s := &scene{r: r, folder: t.TempDir()}
	s.file = s.properties(t, "")
	says(t, r.sh(t, "bin/archive ls "+s.file), "nothing is there: mirror has not stored anything of primary yet")
	m := r.start(t, "bin/mirror "+s.file)
	write(t, r.primary, "orders", dated(1000, time.Now())...)
	write(t, r.primary, "payments", dated(10, time.Now())...)
	commit(t, r.primary, "billing", "orders", 300)
	s.until(m, "orders", 1000, 300)
	s.lookAtIt(t, m)
	good := time.Now() // the archive has seen the group by now
	write(t, r.primary, "orders", dated(40, good.Add(time.Millisecond))...)
	s.until(m, "orders", 1040, 300)
	s.bringBack(t, m, good.UTC().Format("2006-01-02T15:04:05.000Z"))
	s.encrypt(t)
	s.tidy(t)
	s.withoutThePrimary(t)
	s.fromNothing(t)
}

// scene is an archive on the way of its page.
type scene struct {
	r            *reader
	folder, file string
}

// properties are those of the page, with the archive in a folder and more lines.
func (s *scene) properties(t *testing.T, more string) string {
	t.Helper()
	return s.r.properties(t, "primary->backup.archive.enabled = true\narchive.url = file://"+s.folder+"\narchive.flush.interval.ms = 300\n"+
		"emit.checkpoints.interval.seconds = 1\nrefresh.topics.interval.seconds = 1\n"+more)
}

// follow is the reader's, with the file and more replaced.
func (s *scene) follow(t *testing.T, command string, replaced ...string) string {
	t.Helper()
	return s.r.follow(t, command, append([]string{shipped, s.file}, replaced...)...)
}

// until waits until the archive has so many records of a topic, and billing at a place of it.
func (s *scene) until(m *mirror, topic string, records, billing int64) {
	m.t.Helper()
	m.until(fmt.Sprintf("%d records of %s in the archive", records, topic), func() error {
		out := s.r.sh(m.t, "bin/archive ls --json --groups "+s.file)
		var have struct {
			Topics []struct {
				Topic   string
				Records int64
			}
			Groups []struct {
				Group   string
				Offsets map[string]int64
			}
		}
		if err := json.Unmarshal([]byte(out), &have); err != nil {
			return err
		}
		for _, x := range have.Topics {
			for _, g := range have.Groups {
				if x.Topic == topic && x.Records == records && g.Group == "billing" && g.Offsets["orders/0"] == billing {
					return nil
				}
			}
		}
		return errors.New(out)
	})
}

// lookAtIt is what the page shows before anything has gone wrong.
func (s *scene) lookAtIt(t *testing.T, m *mirror) {
	r := s.r
	for _, name := range metricNames(t, r) {
		if strings.HasPrefix(name, "tandem_archive_") && !strings.Contains(m.curl("curl -s 127.0.0.1:8383/metrics"), "\n"+name+"{") {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	if body := m.curl("curl -s 127.0.0.1:8383/readyz"); !strings.Contains(body, `"archives":[{"flow":"primary->backup","state":"archiving"`) {
		t.Errorf("/readyz: %s", body)
	}
	says(t, r.sh(t, s.follow(t, "bin/archive ls config/mm2.properties")), "archive of primary in file://", "2 topics")
	says(t, r.sh(t, s.follow(t, "bin/archive ls config/mm2.properties --groups")), "orders    1           1000", "billing  orders/0   300")
	says(t, r.sh(t, s.follow(t, "bin/archive verify config/mm2.properties")), "nothing is odd")
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	says(t, r.sh(t, s.follow(t, "bin/archive verify config/mm2.properties --level record --from 2026-11-19T00:00:00Z --until 2026-11-20T00:00:00Z",
		"2026-11-19T00:00:00Z", day(-1), "2026-11-20T00:00:00Z", day(1))), "1010 records", "nothing is odd")
	says(t, r.sh(t, s.follow(t, `bin/archive mark config/mm2.properties before-deploy-42 --note "orders 3.7"`)),
		"2 topics, 2 partitions, 1 group", "point before-deploy-42 is restorable")
	bundles, err := filepath.Glob(filepath.Join(s.folder, "v1/primary/bundles/*/*/*/*/*-mirror-backup-*.tdm"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("bundles: %v %v", bundles, err)
	}
	slices.SortFunc(bundles, func(a, b string) int { return cmp.Compare(size(t, b), size(t, a)) }) // those that came first hold events alone
	const shown = "20261120T183106.301Z-mirror-backup-0000000000-0000000000.tdm"
	says(t, r.sh(t, s.follow(t, "bin/archive show config/mm2.properties "+shown, shown, filepath.Base(bundles[0]))), "chunk 0: ", "position: orders/0")
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

const moment = "2026-11-20T14:05:00Z"

// bringBack is the runbook of a poisoned topic, up to a mirror that has copied it anew.
func (s *scene) bringBack(t *testing.T, m *mirror, good string) {
	r := s.r
	says(t, r.sh(t, s.follow(t, "bin/archive ls config/mm2.properties --at "+moment+" --partitions --all", moment, time.Now().UTC().Format(time.RFC3339))),
		"from 0", "to 1040")
	const beside = "bin/archive restore config/mm2.properties --to primary --topics orders --until " + moment + " --rename orders=orders-restored --no-groups "
	says(t, r.sh(t, s.follow(t, beside+"--dry-run", moment, good)), "orders  orders-restored  1", "as of "+good[:19])
	says(t, r.fails(t, 2, "bin/archive restore "+s.file+" --to primary --topics orders --until 2026-11-20T14:05:00 --dry-run"), "a time with its zone is wanted")
	says(t, r.fails(t, 1, "bin/archive restore "+s.file+" --to primary --topics orders --dry-run"), "! orders is the topic that was archived, and it is still there")
	says(t, r.sh(t, s.follow(t, beside+"--yes", moment, good)), "Restored 1000 records into primary", "Left out: 40 records behind the moment")
	says(t, r.sh(t, strings.NewReplacer(shipped, s.file, moment, good).Replace(beside+"--yes")), "nothing was written")
	says(t, r.kafka(t, s.tool(t, "kafka-get-offsets.sh --bootstrap-server 127.0.0.1:19092 --topic orders.*")), "orders:0:1040", "orders-restored:0:1000")
	says(t, r.kafka(t, s.tool(t, "kafka-console-consumer.sh --bootstrap-server 127.0.0.1:19092 --topic orders-restored --partition 0 --offset 800 --max-messages 3 --formatter-property print.timestamp=true")),
		"order 800", "order 802")
	says(t, r.sh(t, s.follow(t, "bin/archive restore config/mm2.properties --to primary --point before-deploy-42 --topics orders --rename orders=orders-42 --no-groups --dry-run")),
		"as of point before-deploy-42", "1 topic, 1000 records")
	says(t, r.sh(t, s.follow(t, "bin/archive restore config/mm2.properties --to primary --topics orders --partitions 1 --until "+moment+" --rename orders=orders-1 --no-groups --yes",
		moment, good, "--partitions 1", "--partitions 0")), "Restored 1000 records into primary")

	m.stop()
	r.kafka(t, s.tool(t, "kafka-topics.sh --bootstrap-server 127.0.0.1:19092 --delete --topic orders"))
	r.kafka(t, s.tool(t, "kafka-topics.sh --bootstrap-server 127.0.0.1:29092 --delete --topic primary.orders"))
	says(t, r.sh(t, s.follow(t, "bin/archive restore config/mm2.properties --to primary --topics orders --until "+moment+" --yes", moment, good)),
		"Restored 1000 records into primary", "Positions of 1 group are committed and read back")
	stands(t, r.primary, "billing", "orders", 300)
	s.file = s.properties(t, "topic.recreated = follow\n")
	m = r.start(t, "bin/mirror "+s.file)
	if got := first(t, r.backup, "primary.orders", 1000); got[999] != "order 999" {
		t.Errorf("copied anew: %s", got[999])
	}
	s.until(m, "orders", 1000, 300)
	m.stop()
}

// tool is one of Kafka's scripts of the page, at the clusters of the test.
func (s *scene) tool(t *testing.T, line string) string {
	t.Helper()
	for page, here := range map[string]string{"127.0.0.1:19092": s.r.primary.Direct, "127.0.0.1:29092": s.r.backup.Direct} {
		if strings.Contains(line, page) {
			return s.r.follow(t, line, page, here)
		}
	}
	return s.r.follow(t, line)
}

// encrypt turns encryption on, with a second key, and has mirror write a bundle under it.
func (s *scene) encrypt(t *testing.T) {
	r, key := s.r, filepath.Join(t.TempDir(), "archive.key")
	says(t, r.sh(t, r.follow(t, "bin/archive keys new /etc/tandem/archive.key", "/etc/tandem/archive.key", key)), "archive.encryption.key.url = file://"+key)
	plain := s.file
	s.file = s.properties(t, "archive.encryption.key.url = file://"+key+"\n")
	said := r.sh(t, s.follow(t, "bin/archive keys rotate config/mm2.properties"))
	says(t, said, "wherever it stands now, and start mirror again", ", file://"+key)
	s.file = s.properties(t, said[strings.LastIndex(said, "archive.encryption"):])
	m := r.start(t, "bin/mirror "+s.file)
	write(t, r.primary, "orders", dated(1, time.Now())...)
	s.until(m, "orders", 1001, 300)
	m.stop()
	says(t, r.sh(t, s.follow(t, "bin/archive keys check config/mm2.properties")), "(wraps)", "not encrypted")
	says(t, r.fails(t, 1, "bin/archive restore "+plain+" --to backup --dry-run"), "cannot be opened with the keys of archive.encryption.key.url")
}

// tidy makes the archive smaller, and takes records out of it.
func (s *scene) tidy(t *testing.T) {
	r := s.r
	says(t, r.sh(t, s.follow(t, "bin/archive compact config/mm2.properties --older-than 7d --dry-run", "7d", "0s")), "would be rewritten")
	says(t, r.sh(t, s.follow(t, "bin/archive compact config/mm2.properties --older-than 7d --yes", "7d", "0s")), "records compared and equal")
	says(t, r.sh(t, s.follow(t, "bin/archive prune config/mm2.properties --older-than 90d --keep before-deploy-42 --dry-run", "90d", "0s")),
		"may go", "it is needed by a kept point")
	for _, command := range []string{"bin/archive verify config/mm2.properties --level footer --json", "bin/archive ls config/mm2.properties --json"} {
		var v struct{ Findings, Damaged []any }
		out := r.sh(t, s.follow(t, command))
		if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Findings)+len(v.Damaged) > 0 {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	says(t, r.sh(t, s.follow(t, "bin/archive export config/mm2.properties orders/0 --out exported")), "offsets 0 to 1000, ")
	says(t, r.kafka(t, s.tool(t, "kafka-dump-log.sh --files exported/orders-0/00000000000000000000.log --deep-iteration --print-data-log")), "payload: order 999")
	r.sh(t, s.follow(t, "bin/archive export config/mm2.properties orders/0 --until "+moment+" --format json --out lines", moment, time.Now().UTC().Format(time.RFC3339)))
	lines, err := os.ReadFile(filepath.Join(r.dir, "lines/orders-0/records.json"))
	if err != nil || !strings.Contains(string(lines), `"value":"order 999"`) {
		t.Errorf("lines: %v", err)
	}
}

// withoutThePrimary: its archive has five records that backup has not.
func (s *scene) withoutThePrimary(t *testing.T) {
	r, both := s.r, s.file
	text, err := os.ReadFile(both)
	if err != nil {
		t.Fatal(err)
	}
	s.file = filepath.Join(t.TempDir(), "mm2.properties")
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "primary->backup.enabled = true", "primary->backup.enabled = false", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	m := r.start(t, "bin/mirror "+s.file)
	write(t, r.primary, "orders", dated(5, time.Now())...)
	commit(t, r.primary, "billing", "orders", 1004)
	s.until(m, "orders", 1006, 1004)
	m.stop()
	r.primary.Kill(0)
	s.file = both
	const missing = "bin/archive restore config/mm2.properties --to backup --topics orders,payments --rename-prefix primary. --missing-only --no-groups "
	says(t, r.sh(t, s.follow(t, missing+"--dry-run")), "primary.payments lacks nothing that is archived of payments", "2 topics, 5 records")
	says(t, r.sh(t, s.follow(t, missing+"--yes")), "Restored 5 records into backup")
	if got := first(t, r.backup, "primary.orders", 1006); got[1000] != "order 0" || got[1005] != "order 4" {
		t.Errorf("brought: %q", got[1000:])
	}
}

// fromNothing restores all of it into a cluster that knows of nothing.
func (s *scene) fromNothing(t *testing.T) {
	r, was := s.r, s.r.primary.Bootstrap
	fresh := realkafka.Shared(t, "fresh", realkafka.Options{})
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "new.properties"), []byte(strings.ReplaceAll(string(text), was, fresh.Bootstrap)), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, r.sh(t, r.follow(t, "bin/archive ls new.properties --groups")), "billing  orders/0")
	says(t, r.sh(t, r.follow(t, "bin/archive verify new.properties --level footer")), "nothing is odd")
	says(t, r.sh(t, r.follow(t, "bin/archive restore new.properties --to primary --acls --dry-run")), "all that is archived; the newest bundle is of")
	says(t, r.sh(t, r.follow(t, "bin/archive restore new.properties --to primary --acls --yes")), "into primary", "Positions of 1 group are committed and read back")
	if got := first(t, fresh, "orders", 1006); got[1005] != "order 4" {
		t.Errorf("restored: %q", got[1000:])
	}
	stands(t, fresh, "billing", "orders", 1004)
}

func dated(n int, at time.Time) []*kgo.Record {
	list := numbered(n)
	for _, record := range list {
		record.Timestamp = at
	}
	return list
}
