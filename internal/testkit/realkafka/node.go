package realkafka

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tandem/internal/testkit/proc"
)

// templateID is the cluster id of the storage that is formatted once; each cluster then gets an id of its own.
const templateID = "AAAAAAAAQACAAAAAAAAAAA"

// newClusterID is a random UUID as Kafka writes one.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// node is one process that is both broker and controller.
type node struct {
	id             int    // Kafka's node.id: 1 for broker 0
	cluster        string // cluster.id
	dir            string
	controllerPort int
	clientPort     int
	directPort     int
	otherPorts     []int  // of Options.Listeners
	advertised     string // what the client listener tells clients to connect to
	process        *proc.Process
}

func (n *node) propertiesFile() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) logDir() string         { return filepath.Join(n.dir, "data") }
func (n *node) logFile() string        { return filepath.Join(n.dir, "server.log") }
func (n *node) direct() string         { return local(n.directPort) }

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// voters is at most three: more would only make the quorum slower. With two nodes only the first votes, and is needed.
func voters(nodes []node) string {
	n := min(len(nodes), 3)
	if n == 2 {
		n = 1
	}
	var list []string
	for _, node := range nodes[:n] {
		list = append(list, fmt.Sprintf("%d@%s", node.id, local(node.controllerPort)))
	}
	return strings.Join(list, ",")
}

func (n *node) writeProperties(o Options, all []node) error {
	isVoter := strings.Contains(","+voters(all), fmt.Sprintf(",%d@", n.id))
	factor := fmt.Sprint(min(len(all), 3))
	listeners := fmt.Sprintf("CLIENT://%s,DIRECT://%s", local(n.clientPort), local(n.directPort))
	advertised := n.advertised
	if advertised == "" {
		advertised = local(n.clientPort)
	}
	p := map[string]string{
		"process.roles":                  "broker",
		"node.id":                        fmt.Sprint(n.id),
		"controller.quorum.voters":       voters(all),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "DIRECT",
		"listeners":                      listeners,
		"advertised.listeners":           fmt.Sprintf("CLIENT://%s,DIRECT://%s", advertised, local(n.directPort)),
		"listener.security.protocol.map": "CLIENT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                       n.logDir(),

		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       factor,
		"group.initial.rebalance.delay.ms":                 "0",
		"offsets.topic.num.partitions":                     "1",
		"offsets.topic.replication.factor":                 factor,
		"transaction.state.log.num.partitions":             "1",
		"transaction.state.log.replication.factor":         factor,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.replication.factor": factor,
		"share.coordinator.state.topic.min.isr":            "1",
		"broker.session.timeout.ms":                        sessionTimeout(len(all)),
		"broker.heartbeat.interval.ms":                     "500",
		// The log cleaner takes 128 MB of the heap unless told otherwise.
		"log.cleaner.dedupe.buffer.size": "4194304",
	}
	for i, l := range o.Listeners {
		address := fmt.Sprintf(",%s://%s", l.Name, local(n.otherPorts[i]))
		p["listeners"] += address
		p["advertised.listeners"] += address
		p["listener.security.protocol.map"] += fmt.Sprintf(",%s:%s", l.Name, l.Protocol)
		for key, value := range l.Config {
			p["listener.name."+strings.ToLower(l.Name)+"."+key] = value
		}
	}
	if isVoter {
		p["process.roles"] = "broker,controller"
		p["listeners"] += ",CONTROLLER://" + local(n.controllerPort)
	}
	if len(o.Users) > 0 {
		p["listener.security.protocol.map"] = strings.Replace(p["listener.security.protocol.map"], "CLIENT:PLAINTEXT", "CLIENT:SASL_PLAINTEXT", 1)
		p["listener.name.client.sasl.enabled.mechanisms"] = "PLAIN"
		p["listener.name.client.plain.sasl.jaas.config"] = jaas(o.Users)
	}
	maps.Copy(p, o.Config)

	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&text, "%s=%s\n", key, strings.ReplaceAll(p[key], `\`, `\\`))
	}
	return os.WriteFile(n.propertiesFile(), []byte(text.String()), 0o644)
}

// sessionTimeout is how long a controller waits for a broker's heartbeat before others lead its partitions. Kafka's default is
// nine seconds; tests of such a change get to it sooner. A broker that is alone has nobody to be replaced by and
// needs to last through a busy machine: it is fenced all the same, and takes this long to come back after SIGKILL.
func sessionTimeout(brokers int) string {
	if brokers > 1 {
		return "3000"
	}
	return "6000"
}

func jaas(users map[string]string) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var text strings.Builder
	text.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&text, ` user_%s="%s"`, user, quote.Replace(users[user]))
	}
	text.WriteString(";")
	return text.String()
}

// formatLogDir does for this node what `StorageTool format` does, with the checkpoint that the tool wrote once.
func (n *node) formatLogDir(k installation) error {
	if err := os.MkdirAll(n.logDir(), 0o755); err != nil {
		return err
	}
	checkpoint, err := os.ReadFile(k.path("bootstrap.checkpoint"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.logDir(), "bootstrap.checkpoint"), checkpoint, 0o644); err != nil {
		return err
	}
	// The directory id is a base64 UUID; it must differ between nodes and not be one of the first hundred, which are reserved.
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%cAAAAAAAQACAAAAAAAAAAA\n", n.cluster, n.id, 'A'+n.id)
	return os.WriteFile(filepath.Join(n.logDir(), "meta.properties"), []byte(meta), 0o644)
}
