package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const reloadProperties = oneBroker + quiet + `
clusters = reload, reloadB
reload.bootstrap.servers = %[1]s
reloadB.bootstrap.servers = %[2]s
reload->reloadB.enabled = true
status.address = 127.0.0.1:%[3]d
log.level = %[4]s
topics = %[5]s
groups = %[6]s
emit.checkpoints.interval.seconds = %[7]d
sync.topic.configs.interval.seconds = %[8]d
throttle.topics = %[9]s
`

// A hundred reloads under load, by signal and by request: what they say is applied at once, no running partition notices, and every record
// arrives once.
func TestReloadUnderLoad(t *testing.T) {
	ca, cb := clusters(t)
	a, b := on(t, ca.Cluster), on(t, cb.Cluster)
	const topic, remote, partitions = "reload-numbers", "reload.reload-numbers", 6
	a.create(topic, partitions, 1, nil)
	w := startWriter(a, topic, partitions)
	port := freePort(t)
	text := func(level, topics, groups string, checkpoints, configs int, throttle string) string {
		return fmt.Sprintf(reloadProperties, a.Bootstrap, b.Bootstrap, port, level, topics, groups, checkpoints, configs, throttle)
	}
	plain := text("info", "reload-numbers", ".*", 60, 600, "nobody=1")
	m := startMirror(t, plain)
	m.until("records", b.reaches(remote, 1000))
	file := propertiesFile(t, plain)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil { // never half a file
			t.Fatal(err)
		}
	}
	reload := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), mirrorBinary, append([]string{"reload", file}, args...)...).CombinedOutput()
		return string(out), err
	}
	p := watch(b, remote, partitions)

	for n := range 100 {
		level, groups, throttle := "info", ".*", "nobody=1"
		topics := "reload-numbers"
		if n%2 == 0 {
			level, groups, throttle, topics = "warn", "orders-.*", "nobody=100000", fmt.Sprintf("reload-numbers, reload-more-%d", n)
		}
		write(text(level, topics, groups, 1+n%7, 1+n%5, throttle))
		if n%3 == 0 {
			if err := m.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if out, err := reload(); err != nil {
			t.Fatalf("reload %d: %v\n%s", n, err, out)
		}
	}

	t.Run("a topic more", func(t *testing.T) {
		a.create("reload-later", 1, 1, nil)
		write(text("info", "reload-numbers, reload-later", ".*", 60, 600, "nobody=1"))
		shown, err := reload("--dry-run")
		if err != nil || !strings.Contains(shown, "would change: reload->reloadB topics:") {
			t.Fatalf("%v\n%s", err, shown)
		}
		<-time.After(100 * time.Millisecond) // long enough for what must not happen
		if got := b.topicsWith("reload-later"); len(got) > 0 {
			t.Fatalf("a dry run made %v", got)
		}
		if out, err := reload(); err != nil || !strings.Contains(out, "changed: reload->reloadB topics: ") {
			t.Fatalf("%v\n%s", err, out)
		}
		m.until("the topic on the other side", func() error {
			if len(b.topicsWith("reload.reload-later")) == 0 {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	})
	t.Run("a file with an error changes nothing", func(t *testing.T) {
		write(text("info", "reload-numbers, reload-later", ".*", 60, 600, "nobody=1") + "replication.factor = many\n")
		out, err := reload()
		if err == nil || !strings.Contains(out, "replication.factor") || !strings.Contains(out, "goes on as it was") {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := m.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		m.waitFor("not reloaded, nothing has changed", "replication.factor")
	})
	t.Run("what needs a restart is named", func(t *testing.T) {
		write(text("info", "reload-numbers, reload-later", ".*", 60, 600, "nobody=1") + "memory.bytes = 134217728\n")
		out, err := reload("--json")
		if err != nil || !strings.Contains(out, `"needs_restart":[{`) || !strings.Contains(out, "memory.bytes") {
			t.Fatalf("%v\n%s", err, out)
		}
		m.waitFor("memory.bytes", "needs a restart")
	})
	longest, over := p.pauses()
	t.Logf("the longest pause of a partition was %s, %d of %d paused for over a second", longest.Round(time.Millisecond), over, partitions)
	m.until("the rest", b.reaches(remote, w.end()))
	m.stop()
	w.wantEachOnce(b, remote)
	if starts := m.lines("mirror starts"); len(starts) != 1 {
		t.Errorf("%d starts", len(starts))
	}
}

// freePort is a port of the loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
