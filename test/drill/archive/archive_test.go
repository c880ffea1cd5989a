package archive

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/drill"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/s3"
)

const properties = `
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
config.storage.replication.factor = 1
status.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
B.offset.flush.interval.ms = 500
emit.checkpoints.interval.seconds = 1
sync.topic.configs.interval.seconds = 1
status.address = 127.0.0.1:0
clusters = A, B
A.bootstrap.servers = %[1]s
B.bootstrap.servers = %[2]s
B.security.protocol = SASL_PLAINTEXT
B.sasl.mechanism = PLAIN
B.sasl.jaas.config = org.apache.kafka.common.security.plain.PlainLoginModule required username="%[3]s" password="s3cret";
topics = .*
A->B.enabled = true
A->B.archive.enabled = true
archive.url = %[4]s
archive.encryption.key.url = %[5]s
archive.flush.interval.ms = 300
`

// scene is a flow whose archive is rehearsed.
type scene struct {
	t      *testing.T
	a, b   side
	server *s3.Server
	bucket string
	file   string // mm2.properties
	poor   string // the same, with a login that may do little
	mirror *proc.Process
}

func (s *scene) startMirror() {
	s.t.Helper()
	p, err := proc.Start(filepath.Join(s.t.TempDir(), "mirror.log"), mirrorBinary, s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mirror = p
	s.t.Cleanup(func() {
		p.Kill()
		if s.t.Failed() {
			s.t.Logf("log of mirror:\n%s", p.LogTail(30))
		}
	})
}

func (s *scene) stopMirror() {
	s.t.Helper()
	if err := s.mirror.Stop(30 * time.Second); err != nil {
		s.t.Fatal(err)
	}
}

// archived waits until everything that the source has is archived and copied.
func (s *scene) archived(topics ...string) {
	s.t.Helper()
	eventually(s.t, "everything in the archive", func() error {
		r := run(s.t, "ls", s.file, "--json", "--partitions")
		var list struct {
			Topics []struct {
				Topic   string `json:"topic"`
				Offsets []struct {
					Partition int32 `json:"partition"`
					Next      int64 `json:"next"`
				} `json:"offsets"`
			} `json:"topics"`
		}
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
			return fmt.Errorf("%w\n%s%s", err, r.stdout, r.stderr)
		}
		for _, topic := range topics {
			ends, err := s.a.ends(topic, -1)
			if err != nil {
				return err
			}
			for _, l := range list.Topics {
				for _, p := range l.Offsets {
					if l.Topic == topic && p.Next >= ends[p.Partition] {
						ends[p.Partition] = 0
					}
				}
			}
			if slices.ContainsFunc(ends, func(n int64) bool { return n > 0 }) {
				return fmt.Errorf("%s lacks up to %v", topic, ends)
			}
		}
		return nil
	})
}

// objects are those of the bucket, but for reports.
func (s *scene) objects() (names []string) {
	s.t.Helper()
	folder := s.server.Folder(s.bucket)
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.Contains(path, "/reports/") && !strings.Contains(path, ".sgwtmp") {
			names = append(names, strings.TrimPrefix(path, folder))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

func (s *scene) reports() (n int) {
	s.t.Helper()
	_ = filepath.WalkDir(s.server.Folder(s.bucket), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.Contains(path, "/reports/drill/B/") {
			n++
		}
		return nil
	})
	return n
}

// drill runs a drill and wants its exit status.
func (s *scene) drill(status int, args ...string) (drill.Report, ran) {
	s.t.Helper()
	r := run(s.t, append([]string{"drill", s.file, "--json"}, args...)...)
	if r.status != status {
		s.t.Fatalf("archive drill %q: status %d, not %d\n%s%s", args, r.status, status, r.stdout, r.stderr)
	}
	if left := s.b.scratch(); len(left) > 0 {
		s.t.Errorf("archive drill %q has left %q", args, left)
	}
	if status == 2 {
		return drill.Report{}, r
	}
	report, err := drill.Decode([]byte(r.stdout))
	if err != nil {
		s.t.Fatalf("%v\n%s", err, r.stdout)
	}
	if report.Passed != (status == 0) || len(report.Remaining) > 0 || report.Kind != drill.Archive {
		s.t.Errorf("the report says %+v", report)
	}
	return report, r
}

func figure(r drill.Report, name string) float64 {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// fails wants a drill to fail by a finding with all the words.
func (s *scene) fails(topic string, words ...string) {
	s.t.Helper()
	report, _ := s.drill(1, "--topics", topic, "--records", "1000")
	for _, f := range report.Findings {
		text := f.Where + ": " + f.What
		if f.Fatal && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
	}
	s.t.Errorf("no finding with %q in %+v", words, report.Findings)
}

func TestDrill(t *testing.T) {
	const secret = "s3cret"
	a := on(t, realkafka.Start(t, realkafka.Options{Config: map[string]string{"log.retention.ms": "-1",
		"log.cleaner.min.compaction.lag.ms": "9000000000000"}})) // all of it is archived
	b := on(t, realkafka.Start(t, realkafka.Options{
		Users: map[string]string{"admin": secret, "poor": secret},
		Config: map[string]string{"log.cleaner.backoff.ms": "500", "log.retention.ms": "-1",
			"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:admin;User:ANONYMOUS"},
	}))
	s := &scene{t: t, a: a, b: b, server: s3.Start(t), bucket: "drilled"}
	s.server.Bucket(t, s.bucket, false)
	dir := t.TempDir()
	key := run(t, "keys", "new", filepath.Join(dir, "archive.key"), "--json")
	var made struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal([]byte(key.stdout), &made); err != nil {
		t.Fatalf("%v: %+v", err, key)
	}
	url := s3.URL(s.server.Endpoint(), s.bucket, "some/prefix")
	for user, file := range map[string]*string{"admin": &s.file, "poor": &s.poor} {
		*file = filepath.Join(dir, user+".properties")
		if err := os.WriteFile(*file, fmt.Appendf(nil, properties, a.Bootstrap, b.Bootstrap, user, url, made.URL), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.topics()
	s.startMirror()
	s.archived("orders", "ledger", "payments", "small")

	s.sub("healthy, under load", s.healthy)
	s.sub("killed, and stopped", s.killed)
	s.sub("a foreign record", s.foreign)
	s.archived("orders", "ledger", "payments", "small")
	s.stopMirror()
	s.sub("without rights", s.rights)
	s.sub("deleted by retention", s.expired)
	s.sub("a corrupted replica", s.corrupted)
	s.sub("a damaged archive", s.damaged)
	s.sub("the store is away", s.away)
}

// sub is a part of the test, whose failure is its own.
func (s *scene) sub(name string, part func(*testing.T)) {
	whole := s.t
	whole.Run(name, func(t *testing.T) {
		s.t, s.a.t, s.b.t = t, t, t
		part(t)
	})
	s.t, s.a.t, s.b.t = whole, whole, whole
}

// topics are of all kinds.
func (s *scene) topics() {
	s.t.Helper()
	s.a.create("orders", 3, nil)
	var records []*kgo.Record
	for i := range 3000 {
		r := &kgo.Record{Topic: "orders", Partition: int32(i % 3), Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "order %d", i), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i))}
		if i%7 == 0 {
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: nil}, {Key: "h", Value: []byte{0, byte(i)}}}
		}
		records = append(records, r)
	}
	lz4 := s.a.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err := lz4.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	s.a.create("ledger", 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01",
		"delete.retention.ms": "0"})
	for round := range 8 {
		s.round(round)
	}
	s.a.create("payments", 1, nil)
	client := s.a.newClient(kgo.TransactionalID("drill"), kgo.DefaultProduceTopic("payments"))
	for i := range 6 {
		if err := client.BeginTransaction(); err != nil {
			s.t.Fatal(err)
		}
		for n := range 10 {
			client.Produce(s.t.Context(), &kgo.Record{Value: fmt.Appendf(nil, "payment %d.%d", i, n)}, nil)
		}
		if err := client.Flush(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if err := client.EndTransaction(s.t.Context(), i%2 == 0); err != nil {
			s.t.Fatal(err)
		}
	}
	s.a.create("small", 1, nil)
	for i := range 40 {
		s.a.write(&kgo.Record{Topic: "small", Key: fmt.Appendf(nil, "%d", i), Value: fmt.Appendf(nil, "value %d", i)})
	}
}

// round changes every account of the ledger. Its time begins a segment: the cleaner leaves the last one alone.
func (s *scene) round(n int) {
	s.t.Helper()
	var batch []*kgo.Record
	for i := range 100 {
		r := &kgo.Record{Topic: "ledger", Key: fmt.Appendf(nil, "account %d", i), Value: fmt.Appendf(nil, "round %d %0100d", n, i),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n)*60_000)}
		if i == 13 && n > 4 {
			r.Value = nil
		}
		batch = append(batch, r)
	}
	s.a.write(batch...)
}

func (s *scene) healthy(t *testing.T) {
	for n := range 3 { // one after the other: what mirror joins into one batch begins no segment
		last := fmt.Sprintf("round %d ", 8+n)
		s.round(8 + n)
		eventually(t, last+"on the replica", func() error {
			all := s.b.read("A.ledger", 0)
			if len(all) == 0 || !strings.HasPrefix(string(all[len(all)-1].Value), last) {
				return fmt.Errorf("%d records, and not the last one", len(all))
			}
			return nil
		})
	}
	s.archived("ledger")
	eventually(t, "compaction of the replica", func() error {
		if n := len(s.b.read("A.ledger", 0)); n > 600 {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
	eventually(t, "the map of offsets on the target", func() error {
		if report, _ := s.drill(0); len(report.Findings) > 0 {
			return fmt.Errorf("%+v", report.Findings)
		}
		return nil
	})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		client := s.a.newClient(kgo.DefaultProduceTopic("orders"))
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = client.ProduceSync(t.Context(), &kgo.Record{Value: fmt.Appendf(nil, "load %d", i)}) // the ledger is the cluster itself
			}
		}
	}()
	topics, groups, outcomes, folder := s.b.topics(), s.b.groups(), s.reports(), t.TempDir()
	report, _ := s.drill(0, "--records", "1000", "--report", folder, "--seed", "7")
	close(stop)
	<-done
	if now := s.b.topics(); !slices.Equal(now, topics) {
		t.Errorf("topics were %q, are %q", topics, now)
	}
	if now := s.b.groups(); !slices.Equal(now, groups) {
		t.Errorf("groups were %q, are %q", groups, now)
	}
	for _, name := range s.objects() {
		if !strings.Contains(name, "/bundles/") && !strings.Contains(name, "/index/") {
			t.Errorf("the store has %s", name)
		}
	}
	if n := s.reports(); n != outcomes+1 {
		t.Errorf("%d outcomes in the store, %d before", n, outcomes)
	}
	if n := figure(report, "records compared"); n < 2000 {
		t.Errorf("%v records were compared", n)
	}
	if n := figure(report, "removed by compaction"); n < 100 {
		t.Errorf("%v records were removed by compaction", n)
	}
	for _, name := range []string{"records restored", "bytes restored", "restore", "rate", "all of it would take about"} {
		if figure(report, name) <= 0 {
			t.Errorf("figure %q is missing in %+v", name, report.Figures)
		}
	}
	for _, f := range report.Findings {
		t.Errorf("it found %+v", f)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "drill-archive-A-B-*")); len(files) != 2 {
		t.Errorf("the report is in %q", files)
	}
}

// begun starts a drill that restores for long enough, and waits until it has scratch topics.
func (s *scene) begun() *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), archiveBinary, "drill", s.file)
	cmd.Stderr = &strings.Builder{}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "scratch topics", func() error {
		if len(s.b.scratch()) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	return cmd
}

func (s *scene) killed(t *testing.T) {
	cmd := s.begun()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it says that it was killed
	if len(s.b.scratch()) == 0 {
		t.Fatal("nothing was left to be taken away")
	}
	s.drill(0)

	cmd = s.begun()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait() // the status is asked for
	if left := s.b.scratch(); cmd.ProcessState.ExitCode() != 2 || len(left) > 0 {
		t.Errorf("status %d, left %q\n%s", cmd.ProcessState.ExitCode(), left, cmd.Stderr)
	}
}

// foreign: somebody writes to the replica while mirror copies.
func (s *scene) foreign(t *testing.T) {
	s.a.create("touched", 1, nil)
	for i := range 30 {
		if i == 20 {
			eventually(t, "the first records on the replica", func() error {
				ends, err := s.b.ends("A.touched", -1)
				if err == nil && ends[0] < 20 {
					err = fmt.Errorf("%d records", ends[0])
				}
				return err
			})
			s.b.write(&kgo.Record{Topic: "A.touched", Value: []byte("of somebody else")})
		}
		s.a.write(&kgo.Record{Topic: "touched", Value: fmt.Appendf(nil, "%d", i)})
	}
	s.archived("touched")
	eventually(t, "the drill to fail", func() error { // the map comes after a few seconds
		r := run(t, "drill", s.file, "--topics", "touched")
		if r.status != 1 || !strings.Contains(r.stdout, "! touched/0, compared with A.touched/0 of B: offset 20 there: a record that the source does not have") {
			return fmt.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
		}
		return nil
	})
}

func (s *scene) rights(t *testing.T) {
	poor := func(words string) {
		t.Helper()
		r := run(t, "drill", s.poor, "--topics", "small")
		if r.status != 2 || !strings.Contains(r.lastLine(), words) {
			t.Errorf("status %d, want the words %q\n%s%s", r.status, words, r.stdout, r.stderr)
		}
	}
	s.allow("mm2-tandem.A.internal", kmsg.ACLOperationRead)
	poor("there is no right to Describe scratch topic __tandem-drill.")
	s.allow("__tandem-drill.", kmsg.ACLOperationDescribe)
	poor("grant Create, Describe, DescribeConfigs, Read, Write and Delete on the topics with the prefix __tandem-drill.")
	s.allow("__tandem-drill.", kmsg.ACLOperationCreate, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationRead, kmsg.ACLOperationDelete)
	poor("there is no right to Write on scratch topic")
	if left := s.b.scratch(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func (s *scene) allow(prefix string, operations ...kmsg.ACLOperation) {
	s.t.Helper()
	request := kmsg.NewPtrCreateACLsRequest()
	for _, o := range operations {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType, c.ResourceName = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypePrefixed, prefix
		c.Principal, c.Host, c.Operation, c.PermissionType = "User:poor", "*", o, kmsg.ACLPermissionTypeAllow
		request.Creations = append(request.Creations, c)
	}
	if _, err := request.RequestWith(s.t.Context(), s.b.client); err != nil {
		s.t.Fatal(err)
	}
}

// expired: what the replica's retention has deleted is no difference.
func (s *scene) expired(t *testing.T) {
	request := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = "A.small"
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = 15
	topic.Partitions = append(topic.Partitions, p)
	request.Topics = append(request.Topics, topic)
	request.TimeoutMillis = 10_000
	if _, err := request.RequestWith(t.Context(), s.b.client); err != nil {
		t.Fatal(err)
	}
	report, _ := s.drill(0, "--topics", "small")
	if n, equal := figure(report, "deleted by retention"), figure(report, "records compared"); n != 15 || equal != 25 {
		t.Errorf("%v deleted by retention, %v equal", n, equal)
	}
}

// corrupted makes the replica anew with something wrong in it.
func (s *scene) corrupted(t *testing.T) {
	const remote = "A.small"
	own := s.a.read("small", 0)
	for _, c := range []struct {
		name  string
		spoil func([]*kgo.Record) []*kgo.Record
		words []string
	}{
		{"a changed value", func(r []*kgo.Record) []*kgo.Record { r[17].Value = []byte("forged"); return r }, []string{"small/0", "source offset 17, offset 17 there", "value differs"}},
		{"a header more", func(r []*kgo.Record) []*kgo.Record {
			r[3].Headers = append(r[3].Headers, kgo.RecordHeader{Key: "x"})
			return r
		}, []string{"source offset 3,", "headers differs"}},
		{"another time", func(r []*kgo.Record) []*kgo.Record { r[4].Timestamp = r[4].Timestamp.Add(time.Hour); return r }, []string{"source offset 4,", "timestamp differs"}},
		{"one is missing", func(r []*kgo.Record) []*kgo.Record { return slices.Delete(r, 39, 40) }, []string{"source offset 39,", "missing"}},
		{"one is there twice", func(r []*kgo.Record) []*kgo.Record { return slices.Insert(r, 20, r[20]) }, []string{"source offset 21,", "key differs"}},
		{"two have changed places", func(r []*kgo.Record) []*kgo.Record { r[8], r[9] = r[9], r[8]; return r }, []string{"source offset 8,"}},
		{"it is gone", nil, []string{"the replica is missing"}},
	} {
		s.b.drop(remote)
		if c.spoil != nil {
			s.b.create(remote, 1, nil)
			var copies []*kgo.Record
			for _, r := range own {
				copies = append(copies, &kgo.Record{Topic: remote, Key: r.Key, Value: r.Value, Headers: slices.Clone(r.Headers), Timestamp: r.Timestamp})
			}
			fresh := s.b.newClient() // the other one knows the topic by its old id
			for _, r := range c.spoil(copies) {
				copied := *r // one may be there twice
				if err := fresh.ProduceSync(t.Context(), &copied).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Run(c.name, func(t *testing.T) {
			s.fails("small", c.words...)
		})
	}
	s.drill(0, "--topics", "orders|payments") // the others are as they were
}

func (s *scene) damaged(t *testing.T) {
	var bundles []string
	for _, name := range s.objects() {
		if strings.Contains(name, "/bundles/") {
			bundles = append(bundles, filepath.Join(s.server.Folder(s.bucket), name))
		}
	}
	largest := slices.MaxFunc(bundles, func(x, y string) int {
		a, _ := os.Stat(x)
		b, _ := os.Stat(y)
		return int(a.Size() - b.Size())
	})
	whole, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := slices.Clone(whole)
	for i := 300; i < len(spoiled)/2; i += 50 {
		spoiled[i] ^= 1
	}
	put := func(b []byte) {
		if err := os.WriteFile(largest, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(spoiled)
	s.fails("orders|payments|ledger", filepath.Base(largest))
	put(whole)
	s.drill(0, "--topics", "orders|payments|ledger", "--records", "1000")
	middle := bundles[len(bundles)/2]
	if err := os.Rename(middle, filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	s.fails("orders|payments|ledger", "should be there before it, and nothing says that it was removed")
}

func (s *scene) away(t *testing.T) {
	s.server.Stop()
	_, r := s.drill(2, "--timeout", "4s")
	if !strings.HasPrefix(r.lastLine(), "archive: ") || !strings.Contains(r.lastLine(), "4s") {
		t.Errorf("it says %q", r.stderr)
	}
}
