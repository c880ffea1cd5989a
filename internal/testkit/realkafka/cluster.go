package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/testkit/proc"
)

// Options say what differs from a cluster of one plaintext broker.
type Options struct {
	Brokers int               // 0 means 1
	Config  map[string]string // broker properties, over the kit's own
	Users   map[string]string // name to password: the client listener asks for SASL/PLAIN

	// Listeners stand beside those of every cluster. Clients that come by one are told of the brokers by the same one.
	Listeners []Listener

	// Advertise, called before a broker starts, is given the address of its client listener and returns the one it
	// is to tell clients: that of a proxy in front of it.
	Advertise func(broker int, address string) (string, error)

	// JVM replaces the options of the brokers' JVMs. The default starts quickly and stays small; a bench wants
	// the full compiler.
	JVM []string
}

// Listener is one more listener of each broker.
type Listener struct {
	Name     string            // upper-case letters
	Protocol string            // a security.protocol
	Config   map[string]string // without listener.name.NAME.
}

// Cluster is a running Kafka cluster. Brokers are counted from 0. Its methods are for one goroutine at a time.
type Cluster struct {
	Bootstrap string // the client listeners, as in bootstrap.servers
	Direct    string // the same brokers by plaintext and past any proxy

	kafka   installation
	options Options
	nodes   []node
	lease   *portLease
}

var quickJVM = []string{"-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"}

const (
	readyPatience = 60 * time.Second
	stopPatience  = 20 * time.Second
)

// StartCluster starts brokers whose data and logs are kept in dir, which must be empty. The caller must Stop it.
func StartCluster(dir string, o Options) (*Cluster, error) {
	k, err := installed()
	if err != nil {
		return nil, err
	}
	return k.start(dir, o)
}

// Start is StartCluster for a test: the cluster ends with it, and a failed test tells the end of the brokers' logs.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := StartCluster(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.logFailure(t)
		c.Stop()
	})
	return c
}

func (k installation) start(dir string, o Options) (*Cluster, error) {
	if o.Brokers == 0 {
		o.Brokers = 1
	}
	if o.JVM == nil {
		o.JVM = quickJVM
	}
	each := 3 + len(o.Listeners)
	lease, err := leasePorts(each * o.Brokers)
	if err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	c := &Cluster{kafka: k, options: o, lease: lease}
	id := newClusterID()
	for i := range o.Brokers {
		c.nodes = append(c.nodes, node{
			id:             i + 1,
			cluster:        id,
			dir:            filepath.Join(dir, fmt.Sprintf("broker-%d", i)),
			controllerPort: lease.ports[each*i],
			clientPort:     lease.ports[each*i+1],
			directPort:     lease.ports[each*i+2],
			otherPorts:     lease.ports[each*i+3 : each*(i+1)],
		})
	}
	if err := c.begin(); err != nil {
		c.Stop()
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	return c, nil
}

func (c *Cluster) begin() error {
	if err := c.prepare(); err != nil {
		return err
	}
	for i := range c.nodes {
		if err := c.launch(i); err != nil {
			return err
		}
	}
	return c.waitReady()
}

// prepare writes what the brokers need to start, and the addresses.
func (c *Cluster) prepare() error {
	var client, direct []string
	for i := range c.nodes {
		n := &c.nodes[i]
		n.advertised = local(n.clientPort)
		if c.options.Advertise != nil {
			var err error
			if n.advertised, err = c.options.Advertise(i, n.advertised); err != nil {
				return fmt.Errorf("advertise broker %d: %w", i, err)
			}
		}
		if err := os.MkdirAll(n.dir, 0o755); err != nil {
			return err
		}
		if err := n.writeProperties(c.options, c.nodes); err != nil {
			return err
		}
		if err := n.formatLogDir(c.kafka); err != nil {
			return err
		}
		client = append(client, n.advertised)
		direct = append(direct, n.direct())
	}
	c.Bootstrap, c.Direct = strings.Join(client, ","), strings.Join(direct, ",")
	return nil
}

// Listener is the address of one of Options.Listeners, as in bootstrap.servers.
func (c *Cluster) Listener(name string) string {
	var all []string
	for i := range c.nodes {
		for j, l := range c.options.Listeners {
			if l.Name == name {
				all = append(all, local(c.nodes[i].otherPorts[j]))
			}
		}
	}
	return strings.Join(all, ",")
}

func (c *Cluster) launch(i int) error {
	n := &c.nodes[i]
	p, err := proc.Start(n.logFile(), c.kafka.java,
		append(c.kafka.jvm(c.options.JVM), "kafka.Kafka", n.propertiesFile())...)
	if err != nil {
		return err
	}
	n.process = p
	return nil
}

// waitReady returns when every broker that runs tells that every broker that runs is there.
func (c *Cluster) waitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyPatience)
	defer cancel()
	running := 0
	for i := range c.nodes {
		if c.nodes[i].process.ExitedWith() == nil {
			running++
		}
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.process.ExitedWith() != nil {
			continue
		}
		// A broker that ends while we wait is told at once, with its log, and not after the whole patience.
		alive, ended := context.WithCancel(ctx)
		go func() {
			select {
			case <-n.process.Done():
			case <-alive.Done():
			}
			ended()
		}()
		err := waitForBrokers(alive, n.direct(), running)
		ended()
		if err != nil {
			return fmt.Errorf("wait for broker %d: %w", i, errors.Join(err, n.process.ExitedWith()))
		}
	}
	return nil
}

// Kill ends a broker with SIGKILL.
func (c *Cluster) Kill(broker int) { c.nodes[broker].process.Kill() }

// Shutdown ends a broker with SIGTERM: it hands over what it leads first, where another can take it.
func (c *Cluster) Shutdown(broker int) {
	_ = c.nodes[broker].process.Stop(stopPatience) // a JVM that was asked to leave never exits with 0
}

// Pause stops a broker with SIGSTOP: its connections stay open and answer nothing.
func (c *Cluster) Pause(broker int) error { return c.nodes[broker].process.Signal(syscall.SIGSTOP) }

// Resume lets a paused broker go on.
func (c *Cluster) Resume(broker int) error { return c.nodes[broker].process.Signal(syscall.SIGCONT) }

// Restart starts a broker that was ended, on its data and its ports, and returns when all that run are ready.
func (c *Cluster) Restart(broker int) error {
	if c.nodes[broker].process.ExitedWith() == nil {
		return fmt.Errorf("restart broker %d: it still runs", broker)
	}
	if err := c.launch(broker); err != nil {
		return fmt.Errorf("restart broker %d: %w", broker, err)
	}
	return c.waitReady()
}

// Stop ends all brokers at once, without ceremony: nobody reads their data after it. It may be called twice.
func (c *Cluster) Stop() {
	for i := range c.nodes {
		if p := c.nodes[i].process; p != nil {
			p.Kill()
		}
	}
	c.lease.release()
}

func (c *Cluster) logFailure(t testing.TB) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for i := range c.nodes {
		t.Logf("end of the log of broker %d:\n%s", i, c.nodes[i].process.LogTail(40))
	}
}
