package drill

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	report "tandem/internal/drill"
	"tandem/internal/kafka"
	"tandem/internal/stream"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/wait"
)

const patience = 2 * time.Minute

// eventually waits until a condition holds, and tells why it does not.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, 100*time.Millisecond, what, holds)
}

// side is a cluster as a test sees it.
type side struct {
	t      *testing.T
	admin  *kafka.Admin
	client *kgo.Client
	direct string
}

func on(t *testing.T, c *realkafka.Cluster) side {
	t.Helper()
	s := side{t: t, direct: c.Direct}
	parsed, err := kafka.Parse(map[string]string{"bootstrap.servers": c.Direct})
	s.must(err)
	s.admin = kafka.NewAdmin(parsed)
	s.client = s.newClient()
	t.Cleanup(func() { s.admin.Close() })
	return s
}

func (s side) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s side) newClient(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(s.direct, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression())}, opts...)...)
	s.must(err)
	s.t.Cleanup(client.Close)
	return client
}

func (s side) create(name string, partitions int32, configs map[string]string) {
	s.t.Helper()
	results, err := s.admin.CreateTopics(s.t.Context(), []stream.NewTopic{{Name: name, Partitions: partitions, Factor: 1, Configs: configs}})
	s.must(cmp.Or(err, results[name]))
}

// write puts records "label 0000", "label 0001", ... into a partition.
func (s side) write(topic string, partition int32, label string, from, n int) {
	s.t.Helper()
	var list []*kgo.Record
	for i := range n {
		list = append(list, &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Appendf(nil, "key %d", (from+i)%50), Value: fmt.Appendf(nil, "%s %04d", label, from+i),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, from+i)}}})
	}
	s.must(s.client.ProduceSync(s.t.Context(), list...).FirstErr())
}

func (s side) end(p stream.Partition) (int64, error) {
	ends, failed, err := s.admin.Offsets(s.t.Context(), []stream.Partition{p}, stream.Latest)
	return ends[p], cmp.Or(err, failed[p])
}

// read are the records of a partition.
func (s side) read(p stream.Partition, committed bool) (list []stream.Record, err error) {
	_, err = s.admin.ReadFrom(s.t.Context(), p.Topic, p.Number, 0, committed, func(r stream.Record) error {
		list = append(list, r)
		return nil
	})
	return list, err
}

// holds waits until a partition of the other side has at least so many records.
func (s side) holds(topic string, partition int32, n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d records in %s/%d", n, topic, partition), func() error {
		end, err := s.end(stream.Partition{Topic: topic, Number: partition})
		if err == nil && end < int64(n) {
			err = fmt.Errorf("it ends at %d", end)
		}
		return err
	})
}

// deleteBefore deletes the records of a partition below an offset.
func (s side) deleteBefore(topic string, offset int64) {
	s.t.Helper()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = offset
	x := kmsg.NewDeleteRecordsRequestTopic()
	x.Topic, x.Partitions = topic, append(x.Partitions, p)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, x), 10_000
	resp, err := req.RequestWith(s.t.Context(), s.client)
	s.must(err)
	s.must(kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode))
}

// transactions writes ten transactions of five records, of which every third is aborted.
func (s side) transactions(topic string) {
	s.t.Helper()
	client := s.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	for n := range 10 {
		s.must(client.BeginTransaction())
		for i := range 5 {
			s.must(client.ProduceSync(s.t.Context(), &kgo.Record{Value: fmt.Appendf(nil, "transaction %d record %d", n, i)}).FirstErr())
		}
		s.must(client.EndTransaction(s.t.Context(), n%3 != 2))
	}
}

// picture is what stands on a cluster.
type picture map[string]string

// take looks at topics with their configs, at groups with their offsets, and at the living records of internal topics, without those that
// mirror itself writes anew all the time.
func (s side) take(internal ...string) (picture, error) {
	ctx := s.t.Context()
	all := make(picture)
	topics, err := s.admin.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
		all["topic "+t.Name] = fmt.Sprint(t.Partitions, t.ID)
	}
	configs, err := s.admin.Configs(ctx, names)
	if err != nil {
		return nil, err
	}
	for topic, list := range configs {
		for _, c := range list {
			if c.Source == stream.ConfigTopic {
				all["config "+topic+" "+c.Name] = c.Value
			}
		}
	}
	groups, err := s.admin.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	offsets, _, err := s.admin.GroupOffsets(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		all["group "+id] = fmt.Sprint(offsets[id])
	}
	for _, topic := range internal {
		list, err := s.read(stream.Partition{Topic: topic}, false)
		if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
			return nil, err
		}
		for _, r := range list {
			switch key := fmt.Sprintf("record %s %q", topic, r.Key); {
			case r.Value == nil:
				delete(all, key)
			case strings.HasPrefix(topic, "mm2-tandem.") && strings.ContainsRune("POAME", rune(r.Key[1])):
			default:
				all[key] = "there"
			}
		}
	}
	return all, nil
}

// differs says what has come and gone since, but for what a drill may leave: its outcome, and checkpoints, which nobody can take back.
func (p picture) differs(now picture) error {
	var what []string
	for _, key := range slices.Sorted(maps.Keys(now)) {
		allowed := strings.HasPrefix(key, "record mm2-tandem.") && strings.HasSuffix(key, `"\x01D\x00\bfailover"`) ||
			strings.HasPrefix(key, "record ") && strings.Contains(key, ".checkpoints.internal ") && strings.Contains(key, "tandem-drill-")
		if was, ok := p[key]; !allowed && (!ok || was != now[key]) {
			what = append(what, fmt.Sprintf("%s: was %q, is %q", key, was, now[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p)) {
		if _, ok := now[key]; !ok {
			what = append(what, "gone: "+key)
		}
	}
	if len(what) > 0 {
		return errors.New(strings.Join(what, "\n"))
	}
	return nil
}

const settings = `
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
refresh.groups.interval.seconds = 1
emit.heartbeats.interval.seconds = 1
heartbeats.replication.enabled = false
emit.checkpoints.interval.seconds = 1
status.address = 127.0.0.1:0
`

// flow is a mirror between the two clusters.
type flow struct {
	t        *testing.T
	from, to string // aliases
	a, b     side
	file     string
	process  *proc.Process
}

// newFlow writes the file of a flow whose topics begin with the alias of the source.
func newFlow(t *testing.T, name, more string) *flow {
	t.Helper()
	f := &flow{t: t, from: name, to: name + "B", a: on(t, clusterA), b: on(t, clusterB), file: filepath.Join(t.TempDir(), "mm2.properties")}
	text := settings + fmt.Sprintf("clusters = %[1]s, %[2]s\n%[1]s.bootstrap.servers = %[3]s\n%[2]s.bootstrap.servers = %[4]s\n%[1]s->%[2]s.enabled = true\ntopics = %[1]s-.*\n%[5]s",
		f.from, f.to, clusterA.Bootstrap, clusterB.Bootstrap, more)
	f.a.must(os.WriteFile(f.file, []byte(text), 0o600))
	return f
}

func (f *flow) start() {
	f.t.Helper()
	log := filepath.Join(f.t.TempDir(), "mirror.log")
	p, err := proc.Start(log, mirrorBinary, f.file)
	f.a.must(err)
	f.process = p
	f.t.Cleanup(func() {
		p.Kill()
		if f.t.Failed() {
			f.t.Logf("log of mirror:\n%s", p.LogTail(30))
		}
	})
}

// remote is where a topic stands on the target.
func (f *flow) remote(topic string) string { return f.from + "." + topic }

// picture is what stands on both clusters.
func (f *flow) picture() (a, b picture) {
	f.t.Helper()
	a, err := f.a.take()
	f.a.must(err)
	b, err = f.b.take(stream.TandemTopic(f.from), f.from+".checkpoints.internal")
	f.a.must(err)
	return a, b
}

// clean waits until nothing but what was there is there.
func (f *flow) clean(a, b picture) {
	f.t.Helper()
	eventually(f.t, "nothing to be left", func() error {
		nowA, err := f.a.take()
		if err != nil {
			return err
		}
		nowB, err := f.b.take(stream.TandemTopic(f.from), f.from+".checkpoints.internal")
		return errors.Join(err, a.differs(nowA), b.differs(nowB))
	})
}

type ran struct {
	status         int
	stdout, stderr string
}

func (f *flow) command(args ...string) *exec.Cmd {
	return exec.CommandContext(f.t.Context(), failoverBinary, append([]string{"drill", f.file, "--from", f.from, "--to", f.to}, args...)...)
}

func (f *flow) run(args ...string) ran {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := f.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// drill runs one that ends with a report.
func (f *flow) drill(passes bool, args ...string) report.Report {
	f.t.Helper()
	r := f.run(append(args, "--json")...)
	got, err := report.Decode([]byte(r.stdout))
	if want := map[bool]int{true: 0, false: 1}[passes]; err != nil || r.status != want || got.Passed != passes {
		f.t.Fatalf("exit status %d, want %d; %v\n%s%s", r.status, want, err, r.stdout, r.stderr)
	}
	if len(got.Remaining) > 0 {
		f.t.Errorf("left behind: %q", got.Remaining)
	}
	return got
}

// refuses wants exit status 2, nothing on standard output, and one line with some words.
func (r ran) refuses(t *testing.T, words ...string) {
	t.Helper()
	if r.status != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit status %d, want 2 and one line:\n%s%s", r.status, r.stdout, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("it does not speak of %q: %s", w, r.stderr)
		}
	}
}

// throwAways are the groups of drills on a cluster.
func (s side) throwAways() (ids []string, err error) {
	groups, err := s.admin.Groups(s.t.Context())
	for _, g := range groups {
		if strings.HasPrefix(g.ID, "tandem-drill-") {
			ids = append(ids, g.ID)
		}
	}
	return ids, err
}

// outcome is what the target keeps of the last drill.
func (f *flow) outcome() report.Outcome {
	f.t.Helper()
	list, err := f.b.read(stream.Partition{Topic: stream.TandemTopic(f.from)}, false)
	f.a.must(err)
	var last report.Outcome
	for _, r := range list {
		o, err := report.Load(r)
		f.a.must(err)
		if o.Kind != "" {
			last = o
		}
	}
	return last
}
