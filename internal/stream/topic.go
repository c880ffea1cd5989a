package stream

// Topic is what a cluster's metadata says of one topic.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions int32
	Internal   bool // the broker marks it internal, as it does __consumer_offsets
}

// NewTopic is a topic to create.
type NewTopic struct {
	Name       string
	Partitions int32
	Factor     int16             // replication factor; -1 leaves it to the broker's default
	Configs    map[string]string // topic configs set at creation
}

// ConfigSource says where a broker found the value of a topic config; the numbers are Kafka's own
// (DescribeConfigsResponse, field ConfigSource).
type ConfigSource int8

// The config sources of Kafka's protocol.
const (
	ConfigUnknown              ConfigSource = 0
	ConfigTopic                ConfigSource = 1
	ConfigDynamicBroker        ConfigSource = 2
	ConfigDynamicDefaultBroker ConfigSource = 3
	ConfigStaticBroker         ConfigSource = 4
	ConfigDefault              ConfigSource = 5
)

// ConfigEntry is one topic config as DescribeConfigs answers it.
type ConfigEntry struct {
	Name      string
	Value     string
	Source    ConfigSource
	ReadOnly  bool
	Sensitive bool
}

// ConfigChange is one operation of IncrementalAlterConfigs on a topic: set Name to Value, or delete its topic-level value.
type ConfigChange struct {
	Name   string
	Value  string
	Delete bool
}
