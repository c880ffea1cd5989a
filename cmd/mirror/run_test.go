package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/testkit/embedded"
)

const (
	patience  = 30 * time.Second // after it a condition is taken for one that will never hold
	pollEvery = 10 * time.Millisecond
)

// screen is what a run writes, to be looked at while it runs.
type screen struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// linesWith are the lines that contain all words.
func (s *screen) linesWith(words ...string) (found []string) {
	for line := range strings.Lines(s.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}

// running is a run of the command inside the test.
type running struct {
	t        *testing.T
	out, err screen
	cancel   context.CancelFunc // what SIGTERM does
	ended    chan struct{}      // closed once status may be read
	status   int
}

// start runs the command with its arguments until it ends by itself, is stopped, or the test is over.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &running{t: t, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.status = run(ctx, args, &p.out, &p.err)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("mirror %s\n%s%s", strings.Join(args, " "), &p.out, &p.err)
		}
	})
	return p
}

// exit waits for the end and returns the exit status.
func (p *running) exit() int {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.status
	case <-timer.C:
		p.t.Fatal("mirror does not end")
		return -1
	}
}

// stop ends it as SIGTERM does, and wants exit status 0.
func (p *running) stop() {
	p.t.Helper()
	p.cancel()
	if status := p.exit(); status != 0 {
		p.t.Errorf("stopped with exit status %d", status)
	}
	if len(p.err.linesWith("mirror stopped")) != 1 {
		p.t.Error("the log does not end with: mirror stopped")
	}
}

// until waits for a condition; a running that has ended will not meet it.
func (p *running) until(what string, holds func() error) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			p.t.Fatalf("wait for %s: %v; mirror ended with status %d", what, err, p.status)
		case <-deadline.C:
			p.t.Fatalf("wait for %s: %v", what, err)
		}
	}
}

func (p *running) waitFor(words ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("a log line with %q", words), func() error {
		if len(p.err.linesWith(words...)) == 0 {
			return fmt.Errorf("none yet")
		}
		return nil
	})
}

// file writes an mm2.properties file.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mm2.properties")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const oneBroker = `
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
checkpoints.topic.replication.factor = 1
sync.topic.acls.enabled = false
`

// pair starts two embedded clusters with a topic of two partitions each, and writes the file that names them.
func pair(t *testing.T, more string) (east, west *embedded.Cluster, path string) {
	t.Helper()
	begin := func(id, topic string) *embedded.Cluster {
		c, err := embedded.Start(id, 2, topic)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	east, west = begin(t.Name()+"-east", "orders"), begin(t.Name()+"-west", "payments")
	return east, west, file(t, fmt.Sprintf("clusters = east, west\neast.bootstrap.servers = %s\nwest.bootstrap.servers = %s\n%s%s",
		east.Bootstrap(), west.Bootstrap(), oneBroker, more))
}

// written writes orders for a while and returns how many there are.
func written(t *testing.T, c *embedded.Cluster, topic string) int {
	t.Helper()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	n := 0
	err := c.WriteOrders(ctx, topic, 2000, func(embedded.Order) {
		if n++; n == 100 {
			enough()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// arrives waits until a remote topic holds so many orders.
func (p *running) arrives(c *embedded.Cluster, topic string, orders int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	n := 0
	err := c.ReadOrders(ctx, topic, func(embedded.Order) {
		if n++; n == orders {
			cancel()
		}
	})
	if err != nil || n != orders {
		p.t.Fatalf("%d orders in %s, want %d: %v", n, topic, orders, err)
	}
}

func TestVersion(t *testing.T) {
	p := start(t, "version")
	if p.exit() != 0 || !strings.HasPrefix(p.out.String(), "mirror ") || p.err.String() != "" {
		t.Errorf("status %d, out %q, err %q", p.status, &p.out, &p.err)
	}
	p = start(t, "version", "--json")
	var info map[string]string
	if err := json.Unmarshal([]byte(p.jsonOut()), &info); err != nil || info["version"] == "" || !strings.HasPrefix(info["go"], "go1") {
		t.Errorf("%q: %v", &p.out, err)
	}
}

func (p *running) jsonOut() string {
	if status := p.exit(); status != 0 {
		p.t.Errorf("exit status %d", status)
	}
	return p.out.String()
}

func TestHelp(t *testing.T) {
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--help"}, []string{"mirror config/mm2.properties", "Exit statuses: 0 ", ", 1 ", ", 2 ", "--clusters", "--log-format", "demo", "version"}},
		{[]string{"demo", "--help"}, []string{"mirror demo --for 20s", "Exit statuses: 0 ", "--rate"}},
		{[]string{"check", "--help"}, []string{"mirror check mm2.properties --plan", "Exit statuses: 0 ", ", 1 ", ", 2 ", "--json"}},
		{[]string{"reload", "--help"}, []string{"mirror reload config/mm2.properties --dry-run", "Exit statuses: 0 ", ", 1 ", ", 2 ", "--json"}},
		{[]string{"help", "position"}, []string{"mirror position mm2.properties", "Exit statuses: 0 ", ", 1 ", ", 2 "}},
	} {
		p := start(t, c.args...)
		if status := p.exit(); status != 0 || p.err.String() != "" {
			t.Errorf("%q: exit status %d, standard error %q", c.args, status, &p.err)
		}
		for _, words := range c.says {
			if !strings.Contains(p.out.String(), words) {
				t.Errorf("%q does not say %q:\n%s", c.args, words, &p.out)
			}
		}
	}
}

// silent is a file by which no mirror runs.
const silent = `clusters = a, b
a.bootstrap.servers = 127.0.0.1:1
b.bootstrap.servers = 127.0.0.1:1
a->b.enabled = true
status.address = 127.0.0.1:1
`

// Settings by which no client can be made are told once, and the other cluster is looked at all the same.
func TestCheckOfWrongClients(t *testing.T) {
	p := start(t, "check", file(t, silent+"a.security.protocol = SASL_SSL\na.sasl.mechanism = SCRAM-SHA-1\n"), "--timeout", "5s")
	if status := p.exit(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	for words, times := range map[string]int{
		"BLOCKER  file: cluster a: read sasl.mechanism: ": 1, "needed by a->b, b->a": 1, "reach, a": 0, "reach, b: does not answer: ": 1,
	} {
		if n := strings.Count(p.out.String(), words); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", words, n, times, &p.out)
		}
	}
}

// A port where nobody answers does not take the time that the other cluster needs, nor more than there is.
func TestCheckOfASilentPort(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, west, _ := pair(t, "")
	p := start(t, "check", file(t, fmt.Sprintf("clusters = a, b\na.bootstrap.servers = %s\nb.bootstrap.servers = %s\na->b.enabled = true\nstatus.address =\n%s",
		l.Addr(), west.Bootstrap(), oneBroker)), "--timeout", "3s")
	p.exit()
	for words, times := range map[string]int{"reach, a: does not answer: no answer from the cluster in time": 1, "reach, b": 0, "b: cluster ": 1} {
		if n := strings.Count(p.out.String(), words); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", words, n, times, &p.out)
		}
	}
}

// TestCannotRun: whatever keeps it from running ends it with status 2 and one line that says what to change.
func TestCannotRun(t *testing.T) {
	idle := file(t, "clusters = a, b\na.bootstrap.servers = h:1\nb.bootstrap.servers = h:2\nemit.heartbeats.enabled = false\n")
	for _, c := range []struct {
		story string
		args  []string
		says  string
	}{
		{"no file", nil, "which mm2.properties?"},
		{"no such file", []string{"absent.properties"}, "absent.properties"},
		{"two files", []string{idle, idle}, "one file, not 2"},
		{"a flag that does not exist", []string{idle, "--cluster", "b"}, "unknown flag: --cluster"},
		{"a flag without its value", []string{idle, "--clusters"}, "flag needs an argument"},
		{"a log format that does not exist", []string{idle, "--log-format", "xml"}, "console or json"},
		{"an alias that is not in the file", []string{idle, "--clusters", "c"}, "c"},
		{"nothing enabled", []string{idle}, "no flow has anything to do"},
		{"a key that is spelt wrong leaves a cluster without brokers", []string{file(t, "clusters = a, b\na.bootstrap.servers = h:1\nbb.bootstrap.servers = h:2\n")}, "add b.bootstrap.servers"},
		{"a check of no file", []string{"check", "absent.properties"}, "absent.properties: no such file"},
		{"a check of a folder", []string{"check", t.TempDir()}, "is a directory"},
		{"a check of two kinds", []string{"check", idle, "--plan", "--effective"}, "either --effective or --plan"},
		{"a reload of no file", []string{"reload", "absent.properties"}, "absent.properties: no such file"},
		{"a reload without a mirror", []string{"reload", file(t, silent)}, "no mirror answers at 127.0.0.1:1 (status.address): connect: connection refused; is it running?"},
		{"an argument to demo", []string{"demo", "fast"}, "fast"},
		{"a rate of nothing", []string{"demo", "--rate", "0"}, "--rate is 0"},
		{"a negative time", []string{"demo", "--for", "-1s"}, "--for is -1s"},
		{"no time", []string{"demo", "--for", "0s"}, "--for is 0s"},
		{"a time without a unit", []string{"demo", "--for", "20"}, "--for"},
		{"a position without an offset", []string{"position", idle, "a->b", "orders/0"}, "four arguments, not 3"},
		{"a position of a whole topic", []string{"position", idle, "a->b", "orders", "5"}, "\"orders\" is no partition"},
		{"an argument to version", []string{"version", "now"}, "now"},
		{"a flag that version lacks", []string{"version", "--yaml"}, "unknown flag: --yaml"},
	} {
		p := start(t, c.args...)
		status := p.exit()
		last := p.err.linesWith("mirror: ")
		if status != 2 || len(last) != 1 || !strings.Contains(last[0], c.says) || p.out.String() != "" {
			t.Errorf("%s: exit status %d, out %q, err %q", c.story, status, &p.out, &p.err)
		}
	}
}
