package alerts

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
)

const properties = `
clusters = east, west
east.bootstrap.servers = %s
west.bootstrap.servers = %s
east->west.enabled = true
west->east.enabled = false
east->west.topics = orders, invoices
emit.checkpoints.interval.seconds = 1
refresh.topics.interval.seconds = 1
sync.topic.configs.enabled = false
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
config.storage.replication.factor = 1
status.storage.replication.factor = 1
status.address = %s
status.token = %s
`

// TestAlertsFire: a real mirror between real brokers meets what people are woken for, and a real Prometheus tells of just that, and of
// the end of it.
func TestAlertsFire(t *testing.T) {
	const token = "only-prometheus-knows"
	east, west := realkafka.Shared(t, "east", realkafka.Options{}), realkafka.Shared(t, "west", realkafka.Options{})
	create(t, east, "orders")
	create(t, east, "invoices")
	produce(t, east, "orders", "an order")
	produce(t, east, "invoices", "an invoice")
	address := freeAddress(t)
	file := filepath.Join(t.TempDir(), "mm2.properties")
	write(t, file, fmt.Sprintf(properties, east.Bootstrap, west.Bootstrap, address, token))
	m := startMirror(t, file)
	p := startPrometheus(t, address, token)
	all := func(expr string, want float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s == %v", expr, want), func() error {
			if got, err := p.value(expr); err != nil || got != want {
				return fmt.Errorf("%v %w", got, err)
			}
			return nil
		})
	}
	all(`tandem_ready{job="tandem"}`, 1)
	all(`sum(tandem_lag_records{flow="east->west"})`, 0)
	p.until("all is well")

	// A record that the target does not take. That the partition stands still for it is told once; what it holds up is at risk after a while.
	configure(t, west, "east.invoices", "max.message.bytes", "20000")
	produce(t, east, "invoices", strings.Repeat("a long invoice", 5000))
	p.until("a record is refused", "TandemQuarantine critical", "(TandemRPOExceeded critical)")
	configure(t, west, "east.invoices", "max.message.bytes", "1000000")
	p.until("it is taken")

	// The source dies with nothing on its way: what it may have taken in since nobody knows.
	east.Kill(0)
	p.until("the source is lost", "TandemStandsStill critical", "TandemRPOExceeded critical")
	if err := east.Restart(0); err != nil {
		t.Fatal(err)
	}
	p.until("the source is there again")

	m.Kill()
	p.until("mirror is gone", "TandemDown critical")
	startMirror(t, file)
	produce(t, east, "orders", "the next order")
	p.until("mirror is there again")
	all(`tandem_flow_up{flow="east->west"}`, 1)

	// What the dashboard asks for percentiles works with this Prometheus.
	all(`count(histogram_quantile(0.99, sum by (flow) (rate(tandem_ack_seconds{flow="east->west"}[5m]))) >= 0)`, 1)
}

// startMirror ends with the test, whose failure prints its log.
func startMirror(t *testing.T, file string) *proc.Process {
	t.Helper()
	p, err := proc.Start(filepath.Join(t.TempDir(), "mirror.log"), mirrorBinary, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of mirror, pid %d:\n%s", p.PID(), p.LogTail(60))
		}
	})
	return p
}

func client(t *testing.T, c *realkafka.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	k, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.Direct, ",")...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func create(t *testing.T, c *realkafka.Cluster, name string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 2, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(t.Context(), client(t, c))
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

func configure(t *testing.T, c *realkafka.Cluster, topic, key, value string) {
	t.Helper()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = key, &value
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(t.Context(), client(t, c))
	if err == nil {
		err = kerr.ErrorForCode(response.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("configure topic %s: %v", topic, err)
	}
}

func produce(t *testing.T, c *realkafka.Cluster, topic, value string) {
	t.Helper()
	k := client(t, c, kgo.DefaultProduceTopic(topic), kgo.UnknownTopicRetries(-1), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := k.ProduceSync(t.Context(), &kgo.Record{Value: bytes.Clone([]byte(value))}).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}
