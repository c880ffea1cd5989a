package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/wait"
)

// The programs under test.
var mirrorBinary, archiveBinary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "drill-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mirrorBinary, archiveBinary = filepath.Join(dir, "mirror"), filepath.Join(dir, "archive")
	if out, err := exec.Command("go", "build", "-o", dir, "tandem/cmd/mirror", "tandem/cmd/archive").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	return realkafka.Main(m)
}

const patience = 3 * time.Minute

// eventually waits until the condition holds, and tells why it does not.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, 50*time.Millisecond, what, holds)
}

// side is a cluster as a test sees it, past any password.
type side struct {
	*realkafka.Cluster
	t      *testing.T
	client *kgo.Client
}

func on(t *testing.T, c *realkafka.Cluster) side {
	t.Helper()
	s := side{Cluster: c, t: t}
	s.client = s.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return s
}

func (s side) newClient(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(s.Direct, ",")...)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

func (s side) create(name string, partitions int32, configs map[string]string) {
	s.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for key, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	eventually(s.t, "topic "+name, func() error { // one of the name may be on its way out
		response, err := request.RequestWith(s.t.Context(), s.client)
		if err == nil {
			err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
		}
		return err
	})
	eventually(s.t, "the leaders of "+name, func() error {
		_, err := s.ends(name, -1)
		return err
	})
}

func (s side) drop(name string) {
	s.t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TopicNames, request.Topics = []string{name}, append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("delete topic %s: %v", name, err)
	}
}

// topics are all there are.
func (s side) topics() (names []string) {
	s.t.Helper()
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, topic := range response.Topics {
		names = append(names, *topic.Topic)
	}
	slices.Sort(names)
	return names
}

// scratch are the scratch topics that are there.
func (s side) scratch() []string {
	s.t.Helper()
	return slices.DeleteFunc(s.topics(), func(name string) bool { return !strings.HasPrefix(name, "__tandem-drill.") })
}

func (s side) groups() (names []string) {
	s.t.Helper()
	response, err := kmsg.NewPtrListGroupsRequest().RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range response.Groups {
		names = append(names, g.Group)
	}
	slices.Sort(names)
	return names
}

// ends are the offsets of a topic at a time: -1 its ends, -2 its starts.
func (s side) ends(name string, at int64) ([]int64, error) {
	meta := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &name
	meta.Topics = append(meta.Topics, one)
	described, err := meta.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(described.Topics[0].ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(described.Topics[0].Partitions))
	for i := range ends {
		request := kmsg.NewPtrListOffsetsRequest()
		request.ReplicaID = -1
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = name
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), at
		topic.Partitions = append(topic.Partitions, p)
		request.Topics = append(request.Topics, topic)
		response, err := request.RequestWith(s.t.Context(), s.client)
		if err == nil {
			err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			return nil, err
		}
		ends[i] = response.Topics[0].Partitions[0].Offset
	}
	return ends, nil
}

func (s side) write(records ...*kgo.Record) {
	s.t.Helper()
	if err := s.client.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

// read reads one partition up to its end.
func (s side) read(name string, partition int32) (records []*kgo.Record) {
	s.t.Helper()
	ends, err := s.ends(name, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {partition: kgo.NewOffset().AtStart()}}), kgo.KeepControlRecords())
	defer client.Close()
	for at := int64(0); at < ends[partition]; {
		fetches := client.PollFetches(s.t.Context())
		if err := fetches.Err(); err != nil {
			s.t.Fatal(err)
		}
		for r := range fetches.RecordsAll() {
			records, at = append(records, r), r.Offset+1
		}
	}
	return records
}

// ran is a command that has ended.
type ran struct {
	stdout, stderr string
	status         int
}

// run runs archive to its end.
func run(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, archiveBinary, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("archive %s: %v %v\n%s%s", strings.Join(args, " "), err, ctx.Err(), out.String(), complaint.String())
	}
	return ran{out.String(), complaint.String(), cmd.ProcessState.ExitCode()}
}

// lastLine is what a person reads.
func (r ran) lastLine() string {
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	return lines[len(lines)-1]
}
