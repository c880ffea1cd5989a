package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is how to reach one cluster: the Java client properties of mm2.properties, read once, in the form that both
// libraries are set up from. Its secrets stay behind functions, so that no way of printing it, or a struct that holds it,
// shows them.
type Client struct {
	bootstrap []string
	id        string
	security  *security

	requestTimeout      time.Duration
	setupTimeout        time.Duration
	connectionsMaxIdle  time.Duration
	metadataMaxAge      time.Duration
	retryBackoff        time.Duration
	reconnectBackoff    time.Duration
	reconnectBackoffMax time.Duration
}

// defaultClientID is what brokers see in their request logs and quotas when the properties set no client.id.
const defaultClientID = "tandem"

// Parse reads one set of Java client properties. Keys that do not say how to reach the cluster (acks, group.id, ...) are
// left to their owners. No error repeats a secret.
func Parse(props map[string]string) (Client, error) {
	c := Client{id: strings.TrimSpace(props["client.id"])}
	if c.id == "" {
		c.id = defaultClientID
	}
	var err error
	if c.bootstrap, err = parseBootstrap(props["bootstrap.servers"]); err != nil {
		return Client{}, err
	}
	if err := c.parseTimes(props); err != nil {
		return Client{}, err
	}
	if c.security, err = parseSecurity(props); err != nil {
		return Client{}, err
	}
	return c, nil
}

// parseTimes fills the durations; the defaults are those of Kafka's Java clients.
func (c *Client) parseTimes(props map[string]string) error {
	for _, t := range []struct {
		key    string
		def    time.Duration
		least  time.Duration
		target *time.Duration
	}{
		{"request.timeout.ms", 30 * time.Second, time.Millisecond, &c.requestTimeout},
		{"socket.connection.setup.timeout.ms", 10 * time.Second, time.Millisecond, &c.setupTimeout},
		{"connections.max.idle.ms", 9 * time.Minute, time.Second, &c.connectionsMaxIdle},
		{"metadata.max.age.ms", 5 * time.Minute, time.Second, &c.metadataMaxAge},
		{"retry.backoff.ms", 100 * time.Millisecond, 0, &c.retryBackoff},
		{"reconnect.backoff.ms", 50 * time.Millisecond, 0, &c.reconnectBackoff},
		{"reconnect.backoff.max.ms", time.Second, 0, &c.reconnectBackoffMax},
	} {
		value := strings.TrimSpace(props[t.key])
		if value == "" {
			*t.target = t.def
			continue
		}
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("read %s: %q is not a number of milliseconds", t.key, value)
		}
		if ms < 0 && t.key == "connections.max.idle.ms" {
			ms = int64(24 * time.Hour / time.Millisecond) // Kafka's -1: do not close idle connections
		}
		d := time.Duration(min(ms, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
		if d < t.least {
			return fmt.Errorf("read %s: %s is less than the least value, %d", t.key, value, t.least.Milliseconds())
		}
		*t.target = d
	}
	return nil
}

// bootstrapAddress is an entry of bootstrap.servers: Kafka lets a protocol stand before the host and brackets around an
// IPv6 address.
var bootstrapAddress = regexp.MustCompile(`^(?:[0-9a-zA-Z\-%._]*://)?\[?([0-9a-zA-Z\-%._:]+)]?:([0-9]+)$`)

func parseBootstrap(list string) ([]string, error) {
	var servers []string
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		m := bootstrapAddress.FindStringSubmatch(entry)
		if m == nil {
			return nil, fmt.Errorf("read bootstrap.servers: %q is not host:port", entry)
		}
		if port, err := strconv.Atoi(m[2]); err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("read bootstrap.servers: %q has no valid port", entry)
		}
		servers = append(servers, net.JoinHostPort(m[1], m[2]))
	}
	if len(servers) == 0 {
		return nil, errors.New("read bootstrap.servers: no broker is named")
	}
	return servers, nil
}

// Bootstrap lists the addresses that the cluster is first reached by.
func (c Client) Bootstrap() string { return strings.Join(c.bootstrap, ",") }

// String names the cluster's addresses and how it is spoken to, without secrets.
func (c Client) String() string {
	return c.Bootstrap() + " (" + c.security.String() + ")"
}

// GoString keeps %#v as quiet as %v.
func (c Client) GoString() string { return "kafka.Client{" + c.String() + "}" }

// backoff is the wait before the n-th retry, n from 1: doubling from retry.backoff.ms up to reconnect.backoff.max.ms, with
// a fifth of jitter so that many clients do not come back at once, as Kafka's clients do.
func (c Client) backoff(n int) time.Duration {
	base := max(c.retryBackoff, c.reconnectBackoff, time.Millisecond)
	wait := min(base<<min(max(n-1, 0), 16), max(c.reconnectBackoffMax, base))
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}

// What brokers learn of the program that asks (KIP-511).
const (
	softwareName    = "tandem"
	softwareVersion = "1"
)

// kgoOpts sets up franz-go, the library of the data plane.
func (c Client) kgoOpts() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.bootstrap...),
		kgo.ClientID(c.id),
		kgo.SoftwareNameAndVersion(softwareName, softwareVersion),
		kgo.Dialer(c.dial),
		kgo.RetryTimeout(c.requestTimeout),
		kgo.RetryBackoffFn(c.backoff),
		// The library bounds its settings; a cluster's properties may well lie outside.
		kgo.RequestTimeoutOverhead(min(max(c.requestTimeout, 100*time.Millisecond), 15*time.Minute)),
		kgo.ConnIdleTimeout(min(c.connectionsMaxIdle, 15*time.Minute)),
		kgo.MetadataMaxAge(min(c.metadataMaxAge, time.Hour)),
		kgo.MetadataMinAge(250 * time.Millisecond), // a new leader must not wait for the library's default of 5 s
		kgo.DisableClientMetrics(),                 // KIP-714 pushes are for the users' own clients, not for a replicator
	}
	if c.security.login != nil {
		opts = append(opts, kgo.SASL(renewable{c.security}))
	}
	return opts, nil
}

// sarama keeps a dozen meters and sampled histograms for each broker, and a goroutine that ticks for them, which nobody
// here reads. The switch is global to its metrics library; nothing else in the program uses that library.
var _ = func() bool {
	metrics.UseNilMetrics = true
	return true
}()

// saramaConfig sets up sarama, the library of the control plane.
func (c Client) saramaConfig() (*sarama.Config, error) {
	conf := sarama.NewConfig()
	conf.ClientID = c.id
	// sarama asks each broker for its versions and lowers its own to them, so this is the newest set of requests, not a
	// claim about the cluster: 3.8 has all that Kafka 4 still accepts and ConsumerGroupDescribe, and stays below 3.9, from
	// where on sarama's version request itself is one that older brokers refuse.
	conf.Version = sarama.V3_8_0_0
	conf.MetricRegistry = metrics.NewRegistry()
	conf.ChannelBufferSize = 16

	conf.Net.DialTimeout = c.setupTimeout
	conf.Net.ReadTimeout = c.requestTimeout
	conf.Net.WriteTimeout = c.requestTimeout
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, loggedIn{c}

	// The broker's own wait ends before ours, so that its reason arrives instead of our timeout.
	conf.Admin.Timeout = max(c.requestTimeout*3/4, time.Millisecond)
	// One round over all brokers; whether to try again is decided by the caller, who knows how long it may take.
	conf.Metadata.Retry.Max = 0
	conf.Metadata.Retry.Backoff = c.retryBackoff
	conf.Metadata.Timeout = c.requestTimeout
	conf.Metadata.RefreshFrequency = c.metadataMaxAge
	conf.Metadata.AllowAutoTopicCreation = false
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("set up client for %s: %w", c.Bootstrap(), err)
	}
	return conf, nil
}
