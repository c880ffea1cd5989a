package integration

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
)

// killed is a topic with noise, transactions that were committed, aborted and left open, and timestamps in disorder, and its archive.
type killed struct {
	t      *testing.T
	a, b   side
	file   string
	log    wrote
	end    []int64
	middle time.Time // half of the noise is behind it
	random *rand.Rand
}

const killedTopic = "killed-back"

func newKilled(t *testing.T) *killed {
	t.Helper()
	a, b := clusters(t)
	k := &killed{t: t, a: a, b: b, random: rand.New(rand.NewPCG(*seed, 7))}
	a.create(killedTopic, 3, 1, nil)
	k.middle = time.Now()
	for half := range 2 {
		for p := range int32(2) {
			records := toPartition(p, noise(k.random, 15_000, 400))
			for _, r := range records {
				r.Timestamp = k.middle.Add(time.Duration(k.random.IntN(2000)-1000) * time.Millisecond)
			}
			a.write(killedTopic, records, kgo.ProducerBatchCompression(kgo.Lz4Compression()))
		}
		transacted(t, a, killedTopic, half == 0)
	}
	writeGaps(a, killedTopic, 1)
	open := a.newClient(kgo.TransactionalID("killed-open"), kgo.DefaultProduceTopic(killedTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := open.ProduceSync(patient(t), toPartition(2, numbered(30))...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a.write(killedTopic, toPartition(2, numbered(50)))
	a.commit("killed-back", map[stream.Partition]int64{{Topic: killedTopic, Number: 1}: 30_012, {Topic: killedTopic, Number: 2}: 50})
	k.file, _ = backedUp(t, a, b, killedTopic)
	k.end, _ = a.ends(killedTopic)
	if err := open.EndTransaction(patient(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	k.log = a.log(killedTopic)
	return k
}

// kind is a restore of the topic, and what is to come of it.
type killedKind struct {
	name string
	args []string
	want [][]*kgo.Record
}

func (k *killed) kinds() []killedKind {
	all, early := below(k.end), both(below(k.end), until(k.middle))
	return []killedKind{
		{"all", nil, k.log.asOf(all)},
		{"until", []string{"--until", k.middle.UTC().Format("2006-01-02T15:04:05.000Z"), "--no-groups"}, k.log.asOf(early)},
	}
}

func (k *killed) args(kind killedKind, prefix string) []string {
	return append([]string{"restore", k.file, "--to", "B", "--yes", "--topics", killedTopic, "--rename-prefix", prefix}, kind.args...)
}

// proved runs the restore to its end, and holds what is there against what one clean run writes.
func (k *killed) proved(kind killedKind, prefix string) {
	k.t.Helper()
	into := prefix + killedTopic
	runArchive(k.t, k.args(kind, prefix)...).must(k.t)
	again := runArchive(k.t, k.args(kind, prefix)...).must(k.t)
	if !strings.Contains(again.stdout, "nothing was written") {
		k.t.Errorf("once more it says\n%s", again.stdout)
	}
	wantSame(k.t, kind.want, k.b.read(into))
	if kind.args != nil {
		return
	}
	got := k.b.committed("killed-back")
	for p, offset := range map[int32]int64{1: 30_012, 2: 50} {
		n := int64(0)
		for _, r := range kind.want[p] {
			if r.Offset < offset {
				n++
			}
		}
		if at := got[stream.Partition{Topic: into, Number: p}]; at != n {
			k.t.Errorf("the group stands at %d of %s/%d, want %d", at, into, p, n)
		}
	}
}

func restoreKills() int {
	if long() && *kills == 5 {
		return 50
	}
	return *kills
}

// Killed at moments that nobody chose, from before its plan to after its last record, and run again: the target has what one clean run
// writes. When one restore has ended, the next one begins, into another topic: of all that is archived, and of a moment by timestamps; from
// bundles as mirror wrote them, then from compacted ones, which replace them while a restore is on its way.
func TestRestoreKilled(t *testing.T) {
	k := newKilled(t)
	t.Logf("%d kills, -seed %d", restoreKills(), *seed)
	kinds := k.kinds()
	if total(kinds[0].want) <= total(kinds[1].want) || total(kinds[1].want) < 20_000 {
		t.Fatalf("%d records, and %d of the moment", total(kinds[0].want), total(kinds[1].want))
	}
	finished, compacted := 0, false
	prefix := func() string { return fmt.Sprintf("back%d-", finished) }
	for n := range restoreKills() {
		kind := kinds[finished%len(kinds)]
		if n == restoreKills()/2 {
			t.Log(runArchive(t, "compact", k.file, "--older-than", "0s", "--yes").must(t).stdout)
			compacted = true
		}
		args := append(k.args(kind, prefix()), "--throttle", fmt.Sprint(2_000_000+k.random.Int64N(20_000_000)))
		p, err := proc.Start(filepath.Join(t.TempDir(), "restore.log"), archiveBinary, args...)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Done():
			k.proved(kind, prefix())
			finished++
			continue
		case <-time.After(time.Duration(k.random.Int64N(int64(2 * time.Second)))):
		}
		p.Kill()
		t.Log(kind.name, p.LogTail(1))
	}
	for range kinds { // both kinds once to their ends, whatever the moments were
		k.proved(kinds[finished%len(kinds)], prefix())
		finished++
	}
	t.Logf("%d restores, compacted: %t", finished, compacted)
}

// The target dies under a restore, and comes back: it goes on by itself. While it does not answer, Ctrl-C ends the restore at once, and
// says what to do.
func TestRestoreWhileTheTargetDies(t *testing.T) {
	a, _ := clusters(t)
	const topic = "dying-back"
	a.create(topic, 2, 1, nil)
	random := rand.New(rand.NewPCG(*seed, 9))
	for p := range int32(2) {
		a.write(topic, toPartition(p, noise(random, 8_000, 400)))
	}
	dying := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	file, _ := backedUp(t, a, dying, topic)
	start := func() *proc.Process {
		t.Helper()
		p, err := proc.Start(filepath.Join(t.TempDir(), "restore.log"), archiveBinary, "restore", file, "--to", "B", "--yes", "--throttle", "2000000")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		return p
	}
	p := start()
	eventually(t, "some records", dying.reaches(topic, 1000))
	if err := dying.Pause(0); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	select {
	case <-p.Done():
		t.Logf("stopped after %s", time.Since(asked))
	case <-time.After(patience):
		t.Fatal("Ctrl-C does not end it")
	}
	if err := p.ExitedWith(); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(p.LogTail(1), "stopped; run it again: it goes on") {
		t.Errorf("stopped, it says: %v", err)
	}
	if err := dying.Resume(0); err != nil {
		t.Fatal(err)
	}
	had, err := dying.count(topic)
	if err != nil || had == 16_000 {
		t.Fatalf("%d records: %v", had, err)
	}
	p = start()
	eventually(t, "more records", dying.reaches(topic, had+1000))
	dying.Kill(0)
	if err := dying.Restart(0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("it does not go on: %s", p.LogTail(5))
	}
	if err := p.ExitedWith(); err == nil || !strings.Contains(err.Error(), "exit status 0") {
		t.Error(err)
	}
	wantSame(t, a.read(topic), dying.read(topic))
}
