package realkafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestTwoClustersHoldTheirOwnRecords(t *testing.T) {
	a, b := Shared(t, "A", Options{}), Shared(t, "B", Options{})
	if again := Shared(t, "A", Options{}); again != a {
		t.Fatal("the second call started another cluster")
	}
	if idA, idB := clusterID(t, a), clusterID(t, b); idA == idB {
		t.Fatalf("both clusters have the id %s: a client that compares ids takes them for one", idA)
	}
	createTopic(t, a, "own", 1, 1)
	createTopic(t, b, "own", 1, 1)
	produce(t, a, "own", "from A", "from A too")
	produce(t, b, "own", "from B")
	wantRecords(t, a, "own", "from A", "from A too")
	wantRecords(t, b, "own", "from B")
}

// What a broker has acknowledged is there after SIGKILL and a restart on the same port, though nothing was fsynced.
func TestABrokerComesBackAfterSIGKILL(t *testing.T) {
	c := Start(t, Options{})
	before := c.Bootstrap
	createTopic(t, c, "kept", 1, 1)
	produce(t, c, "kept", "one", "two")
	c.Kill(0)
	if conn, err := net.Dial("tcp", c.Bootstrap); err == nil {
		conn.Close()
		t.Fatal("the killed broker still takes connections")
	}
	if err := c.Restart(0); err != nil {
		t.Fatal(err)
	}
	if c.Bootstrap != before {
		t.Fatalf("address %s became %s", before, c.Bootstrap)
	}
	produce(t, c, "kept", "three")
	wantRecords(t, c, "kept", "one", "two", "three")
	if err := c.Restart(0); err == nil {
		t.Fatal("a running broker was restarted")
	}
}

func TestThreeBrokersLoseOneAndGoOn(t *testing.T) {
	c := Start(t, Options{Brokers: 3, Config: map[string]string{"min.insync.replicas": "2"}})
	createTopic(t, c, "spread", 1, 3)
	produce(t, c, "spread", "by three")
	// Broker 0 votes in clusters of every size, so its loss also tells whether the others form a quorum.
	c.Kill(0)
	produce(t, c, "spread", "by two")
	if leader(t, c, "spread") == 0 {
		t.Fatal("the dead broker leads")
	}
	if err := c.Restart(0); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, c, "spread", "by three", "by two")
	c.Shutdown(leader(t, c, "spread"))
	produce(t, c, "spread", "by two again")
	wantRecords(t, c, "spread", "by three", "by two", "by two again")
}

// A paused broker takes connections, since the kernel does that, and answers nothing until it is resumed.
func TestAPausedBrokerIsSilent(t *testing.T) {
	c := Start(t, Options{})
	if err := c.Pause(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := waitForBrokers(ctx, c.Direct, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a paused broker answered: %v", err)
	}
	if err := c.Resume(0); err != nil {
		t.Fatal(err)
	}
	if err := waitForBrokers(t.Context(), c.Direct, 1); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordsAreChecked(t *testing.T) {
	c := Start(t, Options{Users: map[string]string{"alice": `pa"ss\word`, "bob": "b"}})
	tests := []struct {
		user, password string
		want           error
	}{
		{"alice", `pa"ss\word`, nil},
		{"bob", "b", nil},
		{"bob", "wrong", kerr.SaslAuthenticationFailed},
		{"carol", "b", kerr.SaslAuthenticationFailed},
	}
	for _, tt := range tests {
		t.Run(tt.user+" "+tt.password, func(t *testing.T) {
			client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap), kgo.SASL(plain.Auth{User: tt.user, Pass: tt.password}.AsMechanism()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Ping(t.Context()); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
	// The direct listener asks for nothing.
	if err := waitForBrokers(t.Context(), c.Direct, 1); err != nil {
		t.Fatal(err)
	}
}

func TestClientsAreToldTheAdvertisedAddress(t *testing.T) {
	const proxy = "127.0.0.1:19999"
	var listens string
	c := Start(t, Options{Advertise: func(broker int, address string) (string, error) {
		listens = address
		return proxy, nil
	}})
	if c.Bootstrap != proxy {
		t.Fatalf("bootstrap %s", c.Bootstrap)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(listens))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if told := fmt.Sprintf("%s:%d", response.Brokers[0].Host, response.Brokers[0].Port); told != proxy {
		t.Fatalf("told to connect to %s", told)
	}
	nowhere := errors.New("no proxy")
	if _, err := StartCluster(t.TempDir(), Options{Advertise: func(int, string) (string, error) { return "", nowhere }}); !errors.Is(err, nowhere) {
		t.Fatalf("got %v", err)
	}
}

// A broker that cannot start is an error with the reason that it logged, and soon.
func TestABadSettingIsToldWithTheLog(t *testing.T) {
	_, err := StartCluster(t.TempDir(), Options{Config: map[string]string{"log.retention.ms": "soon"}})
	if err == nil || !strings.Contains(err.Error(), "log.retention.ms") {
		t.Fatalf("got %v", err)
	}
}

// The Java tools run, and KIP-848 groups and transactions are on as in a freshly formatted release.
func TestJavaToolsRun(t *testing.T) {
	c := Shared(t, "A", Options{})
	out, err := Java(t.Context(), "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", c.Bootstrap, "describe")
	if err != nil {
		t.Fatal(err)
	}
	for _, feature := range []string{"group.version", "transaction.version"} {
		if !strings.Contains(out, "Feature: "+feature) || strings.Contains(line(out, feature), "FinalizedVersionLevel: 0") {
			t.Fatalf("%s is off:\n%s", feature, out)
		}
	}
	if _, err := Java(t.Context(), "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", c.Bootstrap, "--nonsense"); err == nil ||
		!strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("a wrong option: %v", err)
	}
}

// The released MirrorMaker 2 copies a topic between two clusters of the kit.
func TestMM2CopiesATopic(t *testing.T) {
	a, b := Shared(t, "A", Options{}), Shared(t, "B", Options{})
	createTopic(t, a, "orders", 1, 1)
	produce(t, a, "orders", "first", "second")
	dir := t.TempDir()
	file := filepath.Join(dir, "mm2.properties")
	text := fmt.Sprintf(`clusters = A, B
A.bootstrap.servers = %s
B.bootstrap.servers = %s
A->B.enabled = true
A->B.topics = orders
emit.heartbeats.enabled = false
replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
`, a.Bootstrap, b.Bootstrap)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	mm2, err := StartMM2(file, filepath.Join(dir, "mm2.log"), "-Xmx512m")
	if err != nil {
		t.Fatal(err)
	}
	defer mm2.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		select {
		case <-mm2.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	got, err := consume(ctx, b, "A.orders", 2)
	if err != nil {
		t.Fatalf("%v: %q\n%s", err, got, mm2.LogTail(60))
	}
	if strings.Join(got, ",") != "first,second" {
		t.Fatalf("got %q", got)
	}
}

func line(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, word) {
			return l
		}
	}
	return ""
}
