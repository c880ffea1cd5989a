package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// onlyParts are some partitions of a topic, the others empty.
func onlyParts(records [][]*kgo.Record, partitions ...int) [][]*kgo.Record {
	some := make([][]*kgo.Record, len(records))
	for _, p := range partitions {
		some[p] = records[p]
	}
	return some
}

// What restore is told to do otherwise, and what it refuses before anything is written.
func TestRestoreFlags(t *testing.T) {
	a, b := clusters(t)
	const orders, large, old, noisy = "flag-orders", "flag-large", "flag-old", "flag-noise"
	random := rand.New(rand.NewPCG(*seed, 3))
	a.create(orders, 3, 1, nil)
	for p := range int32(2) {
		a.write(orders, toPartition(p, awkward(300)))
	}
	writeGaps(a, orders, 2)
	a.create(large, 1, 1, nil)
	a.write(large, noise(random, 5, 200_000), kgo.ProducerBatchMaxBytes(250_000))
	a.create(old, 1, 1, nil)
	withCodec(kgo.NoCompression(), 16<<10)(a, old)
	a.create(noisy, 2, 1, nil)
	for p := range int32(2) {
		a.write(noisy, toPartition(p, noise(random, 700, 1000)))
	}
	a.commit("flag-group", map[stream.Partition]int64{{Topic: orders}: 100, {Topic: orders, Number: 2}: 23})
	source := map[string][][]*kgo.Record{}
	for _, topic := range []string{orders, large, old, noisy} {
		source[topic] = a.read(topic)
	}
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, "flag-.*", url) +
		"A->B.enabled = false\nemit.checkpoints.interval.seconds = 1\ngroups = flag-.*\n"
	m := startMirror(t, properties)
	m.until("all topics in the archive", archivesAll(t, url, a, source))
	a.configure(old, map[string]string{"retention.ms": "3600000"})
	m.until("its retention", func() error {
		if all := archived(t, url, "A").events(bundle.KindTopicConfigs); !slices.ContainsFunc(all, func(e string) bool { return strings.Contains(e, "retention.ms=3600000") }) {
			return fmt.Errorf("%q", all)
		}
		return nil
	})
	m.stop()
	file := propertiesFile(t, properties)
	restore := func(topic, prefix string, args ...string) ran {
		return runArchive(t, append([]string{"restore", file, "--to", "B", "--yes", "--topics", topic, "--rename-prefix", prefix}, args...)...)
	}
	done := func(t *testing.T, r ran) ran {
		t.Helper()
		return r.must(t)
	}

	t.Run("some partitions, renamed", func(t *testing.T) {
		b := on(t, b.Cluster)
		done(t, restore(orders, "", "--rename", orders+"=flag-renamed", "--partitions", "1,2", "--no-groups"))
		wantSame(t, onlyParts(source[orders], 1, 2), b.read("flag-renamed"))
	})
	t.Run("append", func(t *testing.T) {
		b := on(t, b.Cluster)
		b.create("app-"+orders, 3, 1, nil)
		own := numbered(7)
		b.write("app-"+orders, own)
		restore(orders, "app-").refuses(t, 1, "topic app-"+orders+" is there already", "nothing was done")
		done(t, restore(orders, "app-", "--append"))
		want := slices.Clone(source[orders])
		want[0] = append(own, want[0]...)
		wantSame(t, want, b.read("app-"+orders))
		if got := b.committed("flag-group")[stream.Partition{Topic: "app-" + orders}]; got != 107 {
			t.Errorf("the group stands at %d", got)
		}
		if r := done(t, restore(orders, "app-", "--append")); !strings.Contains(r.stdout, "nothing was written") {
			t.Error(r.stdout)
		}
	})
	// The test counts itself: the bytes that the target got, and how long it took. A slow machine only takes longer.
	t.Run("throttle", func(t *testing.T) {
		b := on(t, b.Cluster)
		began := time.Now()
		done(t, restore(noisy, "slow-", "--throttle", "600KiB"))
		took, bytes := time.Since(began).Seconds(), float64(b.logBytes("slow-"+noisy))
		t.Logf("%.0f bytes in %.1f s: %.0f KiB/s", bytes, took, bytes/took/1024)
		if bytes < 1_400_000 || bytes/took > 1.2*600*1024 {
			t.Errorf("faster than it may be")
		}
		wantSame(t, source[noisy], b.read("slow-"+noisy))
	})
	t.Run("live groups", func(t *testing.T) {
		for kind, protocol := range map[string]kgo.Opt{"classic": kgo.Balancers(kgo.RangeBalancer()), "consumer": kgo.ServerSideBalancer()} {
			b, prefix := on(t, b.Cluster), kind+"-"
			b.create("idle-"+kind, 1, 1, nil)
			leave := b.member("idle-"+kind, kgo.ConsumerGroup("flag-group"), kgo.DisableAutoCommit(), protocol)
			eventually(t, "a live group", inState(patient(t), b.admin(), stream.Group{ID: "flag-group", Type: kind, State: "Stable"}))
			r := restore(orders, prefix)
			if r.status != 1 || !strings.Contains(r.stdout, "Left alone: group flag-group: it has members") || !strings.Contains(r.stderr, "run the same command again") {
				t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
			}
			at := stream.Partition{Topic: prefix + orders, Number: 2}
			if got, ok := b.committed("flag-group")[at]; ok {
				t.Errorf("the live group stands at %d", got)
			}
			leave()
			eventually(t, "an empty group", inState(patient(t), b.admin(), stream.Group{ID: "flag-group", Type: kind, State: "Empty"}))
			done(t, restore(orders, prefix))
			if got := b.committed("flag-group")[at]; got != 21 { // of the third transaction the second record: two markers stand before it
				t.Errorf("the group stands at %d", got)
			}
			wantSame(t, source[orders], b.read(prefix+orders))
			if r := done(t, restore(orders, prefix)); !strings.Contains(r.stdout, "nothing was written") {
				t.Error(r.stdout)
			}
			b.deleteGroup("flag-group")
		}
	})
	for _, c := range []struct {
		name, topic string
		partitions  int32
		configs     map[string]string
		words       string
	}{
		{"too few partitions", orders, 2, nil, "has 2 partitions; the archive has 3"},
		{"small batches", large, 1, map[string]string{"max.message.bytes": "100000"}, "takes none larger than 100000 bytes"},
		{"few replicas", orders, 3, map[string]string{"min.insync.replicas": "2"}, "has 1 replicas in sync, and takes records only with 2"},
		{"old records", old, 1, map[string]string{"retention.ms": "1000000"}, "would delete records at once"},
		{"time of append", orders, 3, map[string]string{"message.timestamp.type": "LogAppendTime"}, "over all timestamps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, prefix := on(t, b.Cluster), strings.ReplaceAll(c.name, " ", "-")+"-"
			b.create(prefix+c.topic, c.partitions, 1, c.configs)
			r := restore(c.topic, prefix, "--append")
			r.refuses(t, 1, "1 thing in the way")
			if lines := strings.Split(r.stdout, "\n"); len(slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "! ") || !strings.Contains(l, c.words) })) != 1 {
				t.Errorf("it says\n%s", r.stdout)
			}
			if n, err := b.count(prefix + c.topic); err != nil || n > 0 {
				t.Errorf("%d records were written: %v", n, err)
			}
		})
	}
	t.Run("more partitions", func(t *testing.T) {
		b := on(t, b.Cluster)
		b.create("wide-"+orders, 5, 1, nil)
		r := done(t, restore(orders, "wide-", "--append", "--no-groups"))
		if !strings.Contains(r.stdout, "has 5 partitions, "+orders+" had 3") {
			t.Error(r.stdout)
		}
		wantSame(t, append(slices.Clone(source[orders]), nil, nil), b.read("wide-"+orders))
	})
	t.Run("old records are kept", func(t *testing.T) {
		b := on(t, b.Cluster)
		restore(old, "kept-").refuses(t, 1, "1 thing in the way")
		if topics := b.topicsWith("kept-"); len(topics) > 0 {
			t.Errorf("%q were made", topics)
		}
		r := done(t, restore(old, "kept-", "--keep-old"))
		if !strings.Contains(r.stdout, "--add-config retention.ms=3600000") {
			t.Error(r.stdout)
		}
		wantSame(t, source[old], b.read("kept-"+old))
		eventually(t, "its configs", hasConfigs(b, "kept-"+old, map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}))
	})
}

// A bundle is gone: what was in it is named, and the rest comes back if that is allowed.
func TestRestoreWithoutABundle(t *testing.T) {
	a, b := clusters(t)
	const topic = "holed-orders"
	a.create(topic, 1, 1, nil)
	dir := t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, "file://"+dir) + "A->B.enabled = false\n"
	m := startMirror(t, properties)
	for n := range 3 {
		a.write(topic, numberedFrom(100*n, 100))
		m.until("all of it in the archive", reachesEnds(t, "file://"+dir, a, topic))
	}
	m.stop()
	gone := ""
	for _, f := range archived(t, "file://"+dir, "A").footers {
		for _, e := range f.Chunks {
			if e.First == 100 && e.Next == 200 {
				gone = bundle.Name("", f.Header)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(gone))); err != nil {
		t.Fatal(err)
	}
	file := propertiesFile(t, properties)
	r := runArchive(t, "restore", file, "--to", "B", "--yes")
	if r.status != 1 || !strings.Contains(r.stdout, "! "+topic+"/0: offsets 100 to 199 are not in the archive") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	runArchive(t, "restore", file, "--to", "B", "--yes", "--allow-holes").must(t)
	source := a.read(topic)
	wantSame(t, [][]*kgo.Record{slices.Delete(source[0], 100, 200)}, b.read(topic))
}

// What replication did not get to any more comes from the archive, behind what the replica has: markers keep the offsets
// of the two apart.
func TestRestoreOfWhatAReplicaLacks(t *testing.T) {
	a, b := clusters(t)
	const topic = "lacking-orders"
	a.create(topic, 3, 1, nil)
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) + "emit.checkpoints.enabled = false\n"
	writeGaps(a, topic, 0)
	a.write(topic, toPartition(1, numbered(50)))
	a.write(topic, toPartition(2, numbered(5)))
	m := startMirror(t, properties+"A->B.enabled = true\n")
	m.until("the replica", b.holds("A."+topic, 155))
	m.until("the first part in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	transacted(t, a, topic, true)
	for p := range int32(3) {
		a.write(topic, toPartition(p, numberedFrom(1000, 40)))
	}
	only := properties + "A->B.enabled = false\n"
	m = startMirror(t, only)
	m.until("the rest in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	file := propertiesFile(t, only)
	r := runArchive(t, "restore", file, "--to", "B", "--yes", "--rename-prefix", "A.", "--missing-only").must(t)
	if !strings.Contains(r.stdout, "Restored 130 records") {
		t.Error(r.stdout)
	}
	wantSame(t, a.read(topic), b.read("A."+topic))
	again := runArchive(t, "restore", file, "--to", "B", "--yes", "--rename-prefix", "A.", "--missing-only").must(t)
	if !strings.Contains(again.stdout, "nothing was written") {
		t.Error(again.stdout)
	}
}
