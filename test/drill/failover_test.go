package drill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/batch"
	report "tandem/internal/drill"
	"tandem/internal/stream"
	"tandem/internal/testkit/proc"
)

// A flow that is well passes, under load, with compacted topics and transactions, and nothing is left.
func TestPasses(t *testing.T) {
	for _, c := range []struct{ name, more string }{
		{"prefixed", "prefixed->prefixedB.sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 1\n"},
		{"identity", "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\nidentity.consumer.isolation.level = read_committed\n"},
		{"twoways", "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\ntwowaysB->twoways.enabled = true\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFlow(t, c.name, c.more)
			plain, compacted, transactional, short := c.name+"-plain", c.name+"-compacted", c.name+"-transactional", c.name+"-short"
			f.a.create(plain, 3, nil)
			f.a.create(compacted, 1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "1000"})
			f.a.create(transactional, 1, nil)
			f.a.create(short, 1, nil)
			f.a.create(c.name+"-empty", 1, nil)
			f.start()
			f.a.write(short, 0, "short", 0, 3)
			f.a.transactions(transactional)
			if c.name == "twoways" {
				f.b.holds(short, 0, 3)
				f.b.write(short, 0, "theirs", 0, 4) // they come back under the same name
				f.a.holds(short, 0, 7)
				f.a.write(short, 0, "short", 3, 2)
			}
			f.a.write(compacted, 0, "compacted", 0, 2000)
			_, err := f.a.admin.CommitOffsets(t.Context(), c.name+"-app", map[stream.Partition]stream.Committed{{Topic: short}: {Offset: 2}})
			f.a.must(err)
			stop := f.load(plain)
			f.a.holds(plain, 2, 300)
			eventually(t, "the cleaner", func() error {
				f.a.write(compacted, 0, "compacted", 0, 1) // a segment ends when something comes behind it
				list, err := f.a.read(stream.Partition{Topic: compacted}, false)
				if err == nil && len(list) > 1500 {
					err = fmt.Errorf("%d records are left", len(list))
				}
				return err
			})
			eventually(t, "the group to be noted", func() error {
				now, err := f.b.take(stream.TandemTopic(f.from))
				if _, ok := now[fmt.Sprintf("record %s %q", stream.TandemTopic(f.from), "\x01G\x00"+string(rune(len(c.name)+4))+c.name+"-app")]; !ok && err == nil {
					err = errors.New("not yet")
				}
				return err
			})
			if c.name == "prefixed" {
				eventually(t, "the group to be synced", func() error {
					offsets, _, err := f.b.admin.GroupOffsets(t.Context(), []string{c.name + "-app"})
					if err == nil && len(offsets[c.name+"-app"]) == 0 {
						err = errors.New("not yet")
					}
					return err
				})
			}
			a, b := f.picture()
			dir := filepath.Join(t.TempDir(), "reports")
			got := f.drill(true, "--records", "60", "--report", dir)
			stop()
			figures := map[string]report.Figure{}
			for _, x := range got.Figures {
				figures[x.Name] = x
			}
			if n := figures["records that are the same on both"].Value; n < 100 {
				t.Errorf("%.0f records were compared", n)
			}
			if n := figures["positions that go on at the exact record"].Value; n != 6*4 {
				t.Errorf("%.0f positions of 24", n)
			}
			if n := figures["groups that a switch would move"].Value; n < 1 {
				t.Errorf("%.0f groups", n)
			}
			if o := f.outcome(); !o.Passed || o.Summary != got.Summary || !o.At.Equal(got.Ended) {
				t.Errorf("the outcome that is kept: %+v", o)
			}
			for _, ending := range []string{".json", ".html"} {
				if _, err := os.Stat(filepath.Join(dir, got.Name()+ending)); err != nil {
					t.Error(err)
				}
			}
			f.clean(a, b)
			again := f.run("--topics", short)
			if again.status != 0 || !strings.Contains(again.stdout, "PASSED in ") {
				t.Errorf("again: exit status %d\n%s%s", again.status, again.stdout, again.stderr)
			}
			f.clean(a, b)
		})
	}
}

// load writes to all partitions of a topic until it is stopped.
func (f *flow) load(topic string) (stop func()) {
	var over atomic.Bool
	client := f.a.newClient()
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil && !over.Load(); i++ {
			var list []*kgo.Record
			for p := range int32(3) {
				for n := range 10 {
					list = append(list, &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, "%d %d", i, n)})
				}
			}
			err = client.ProduceSync(f.t.Context(), list...).FirstErr()
		}
		done <- err
	}()
	return func() {
		f.t.Helper()
		over.Store(true)
		f.a.must(<-done)
	}
}

// A replica that is not what it should be fails the drill, which says where.
func TestCorruptedReplica(t *testing.T) {
	f := newFlow(t, "corrupt", "")
	const records = 40
	value := func(kind string, n int) []byte { return fmt.Appendf(nil, "corrupt-%s %04d", kind, n) }
	stories := []struct {
		kind         string
		running      func(topic, remote string) // done while all run
		edit         func(log []byte) []byte    // of B's log while B is down
		where, words string
	}{
		{"foreign", func(_, remote string) { f.b.write(remote, 0, "foreign", 0, 1) }, nil, "offset none, corrupt.corrupt-foreign/0 offset 40", "somebody else"},
		{"standing", func(topic, remote string) {
			f.b.write(remote, 0, "foreign", 0, 1)
			f.a.write(topic, 0, topic, records, 5)
		}, nil, "", "corrupt"}, // mirror halts, sooner or later: the plan is blocked, or the foreign record is found
		{"repeated", func(topic, remote string) {
			i := records - 1
			f.a.must(f.b.client.ProduceSync(t.Context(), &kgo.Record{Topic: remote, Key: fmt.Appendf(nil, "key %d", i%50), Value: value("repeated", i),
				Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}}).FirstErr())
		}, nil, "corrupt.corrupt-repeated/0 offset 40", "repeats the record of source offset 39"},
		{"deleted", func(_, remote string) { f.b.deleteBefore(remote, 7) }, nil, "corrupt-deleted/0 offset 6, corrupt.corrupt-deleted/0 offset 6", "retention does not explain"},
		{"changed", nil, func(log []byte) []byte {
			return bytes.Replace(log, value("changed", 17), []byte("corrupt-changed 9917"), 1)
		}, "corrupt-changed/0 offset 17, corrupt.corrupt-changed/0 offset 17", "another value"},
		{"exchanged", nil, func(log []byte) []byte {
			log = bytes.Replace(log, value("exchanged", 20), []byte("corrupt-exchanged XXXX"), 1)
			log = bytes.Replace(log, value("exchanged", 21), value("exchanged", 20), 1)
			return bytes.Replace(log, []byte("corrupt-exchanged XXXX"), value("exchanged", 21), 1)
		}, "corrupt-exchanged/0 offset 20, corrupt.corrupt-exchanged/0 offset 20", "another value"},
		{"rewritten", nil, func(log []byte) []byte { return log }, "", ""}, // the control: an edited log that is the same
	}
	for _, s := range stories {
		f.a.create("corrupt-"+s.kind, 1, nil)
	}
	f.start()
	for _, s := range stories {
		f.a.write("corrupt-"+s.kind, 0, "corrupt-"+s.kind, 0, records)
	}
	for _, s := range stories {
		f.b.holds("corrupt.corrupt-"+s.kind, 0, records)
	}
	f.a.must(f.process.Stop(patience))
	clusterB.Shutdown(0)
	for _, s := range stories {
		if s.edit != nil {
			f.edit("corrupt.corrupt-"+s.kind, s.edit)
		}
	}
	f.a.must(clusterB.Restart(0))
	f.start()
	for _, s := range stories { // of a topic that others write to while mirror runs it copies nothing more
		if s.running != nil {
			s.running("corrupt-"+s.kind, "corrupt.corrupt-"+s.kind)
		}
	}
	a, b := f.picture()
	for _, s := range stories {
		t.Run(s.kind, func(t *testing.T) {
			f := *f
			f.t = t
			got := f.drill(s.words == "", "--topics", "corrupt-"+s.kind, "--timeout", "25s")
			for _, x := range got.Findings {
				if x.Fatal && strings.Contains(x.Where, s.where) && strings.Contains(x.Where+x.What, s.words) {
					return
				}
			}
			if s.words != "" {
				t.Errorf("it does not say where: %+v", got.Findings)
			}
		})
	}
	if o := f.outcome(); !o.Passed {
		t.Errorf("the last outcome: %+v", o)
	}
	f.clean(a, b)
	f.a.must(f.process.Stop(patience))
}

// edit changes a log of B, whose broker is down, as a broken disk or program would that gets the checksums right.
func (f *flow) edit(topic string, change func([]byte) []byte) {
	f.t.Helper()
	segment := filepath.Join(dataB, topic+"-0", "00000000000000000000.log")
	old, err := os.ReadFile(segment)
	f.a.must(err)
	log := change(bytes.Clone(old))
	if len(log) != len(old) || bytes.Equal(log, old) == (topic != "corrupt.corrupt-rewritten") {
		f.t.Fatalf("the log of %s has %d bytes, and had %d", topic, len(log), len(old))
	}
	for rest := log; len(rest) > 0; {
		v, next, err := batch.Next(rest)
		f.a.must(err)
		raw := v.Bytes()
		binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
		rest = next
	}
	f.a.must(os.WriteFile(segment, log, 0o600))
}

// A drill that is killed leaves its groups; the next one takes them away. One that is stopped takes them away itself. Two at once are one.
func TestStoppedHalfWay(t *testing.T) {
	f := newFlow(t, "halfway", "")
	f.a.create("halfway-orders", 1, nil)
	f.a.write("halfway-orders", 0, "halfway", 0, 200)
	f.start()
	f.b.holds(f.remote("halfway-orders"), 0, 200)
	f.drill(true) // by now everything runs
	a, b := f.picture()
	begin := func() *proc.Process {
		t.Helper()
		p, err := proc.Start(filepath.Join(t.TempDir(), "drill.log"), failoverBinary, f.command().Args[1:]...)
		f.a.must(err)
		t.Cleanup(p.Kill)
		return p
	}
	groups := func() (n int) {
		t.Helper()
		ids, err := f.a.throwAways()
		f.a.must(err)
		return len(ids)
	}

	for groups() == 0 { // a drill that has ended before it could be killed has taken them away
		killed := begin()
		for groups() == 0 && killed.ExitedWith() == nil {
		}
		killed.Kill()
	}
	next := f.drill(true)
	if !strings.Contains(fmt.Sprint(next.Findings), "a drill that was killed had left") {
		t.Errorf("it says nothing of what was left: %+v", next.Findings)
	}
	f.clean(a, b)

	for interrupted := false; !interrupted; {
		stopped := begin()
		for groups() == 0 && stopped.ExitedWith() == nil {
		}
		if err := stopped.Signal(syscall.SIGTERM); err == nil {
			<-stopped.Done()
		}
		interrupted = strings.Contains(stopped.LogTail(5), "interrupted; what the drill had made is taken away")
	}
	f.clean(a, b)

	elsewhere, over := context.WithCancel(t.Context())
	defer over()
	claim := report.Claim{ID: "elsewhere", By: "al@other", Since: time.Now()}
	write := func() {
		key, value := claim.Record()
		f.a.must(f.b.admin.Append(t.Context(), stream.TandemTopic(f.from), []stream.Record{{Key: key, Value: value}}))
	}
	write()
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		for tick := time.NewTicker(time.Second); elsewhere.Err() == nil; claim.Beat++ {
			write()
			select {
			case <-elsewhere.Done():
			case <-tick.C:
			}
		}
	}()
	f.run().refuses(t, "a drill of halfway->halfwayB by al@other is going on since")
	over()
	<-beats
	f.drill(true) // it is silent now, and counts as dead
	f.clean(a, b)
	f.a.must(f.process.Stop(patience))
}

// What keeps a drill from beginning is said in a line, and nothing is touched.
func TestRefusals(t *testing.T) {
	f := newFlow(t, "refused", "")
	f.a.create("refused-orders", 1, nil)
	t.Run("mirror never ran", func(t *testing.T) { f.run().refuses(t, "mm2-tandem.refused.internal", "mirror never ran") })
	f.a.write("refused-orders", 0, "refused", 0, 10)
	f.start()
	f.b.holds(f.remote("refused-orders"), 0, 10)
	t.Run("no such topic", func(t *testing.T) { f.run("--topics", "nothing").refuses(t, "no topic", "--topics nothing") })
	t.Run("no such flow", func(t *testing.T) {
		back := *f
		back.from, back.to = f.to, f.from
		back.run().refuses(t, "enables no flow refusedB->refused")
	})
	changed := func(more string) *flow {
		text, err := os.ReadFile(f.file)
		f.a.must(err)
		other := *f
		other.file = filepath.Join(t.TempDir(), "other.properties")
		f.a.must(os.WriteFile(other.file, append(text, more...), 0o600))
		return &other
	}
	t.Run("groups left out", func(t *testing.T) {
		changed("\ngroups = app-.*\n").run().refuses(t, "groups.exclude", "tandem-drill-.*")
	})
	t.Run("source away", func(t *testing.T) {
		changed("\nrefused.bootstrap.servers = 127.0.0.1:1\n").run().refuses(t, "cluster refused", "127.0.0.1:1", "needs both clusters")
	})
	t.Run("target away", func(t *testing.T) {
		changed("\nrefusedB.bootstrap.servers = 127.0.0.1:1\n").run().refuses(t, "cluster refusedB", "127.0.0.1:1")
	})
	f.a.must(f.process.Stop(patience))
	a, b := f.picture()
	t.Run("mirror not running", func(t *testing.T) { f.run().refuses(t, "no heartbeat of refused->refusedB", "mirror does not run") })
	f.clean(a, b)
}
