package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"tandem/internal/config"
	"tandem/internal/stream"
)

const providedProperties = `clusters = a, b
a.bootstrap.servers = 127.0.0.1:1
b.bootstrap.servers = 127.0.0.1:2
a->b.enabled = true
security.protocol = SASL_PLAINTEXT
sasl.mechanism = PLAIN
sasl.jaas.config = org.apache.kafka.common.security.plain.PlainLoginModule required username="${file:%[1]s:user}" password="${file:%[1]s:password}";
config.providers = file
config.providers.file.class = org.apache.kafka.common.config.provider.FileConfigProvider
`

// reloading is a process whose credentials come from a file of secrets, before it connects to anything.
func reloading(t *testing.T) (l *reloader, secrets string, events *[]stream.Event) {
	t.Helper()
	secrets = filepath.Join(t.TempDir(), "secrets.properties")
	overwrite(t, secrets, "user=alice\npassword=first-secret\n")
	file := filepath.Join(t.TempDir(), "mm2.properties")
	overwrite(t, file, fmt.Sprintf(providedProperties, secrets))
	conf, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	events = &[]stream.Event{}
	p := newProcess(conf, func(e stream.Event) { *events = append(*events, e) }, nil)
	for _, f := range p.flows {
		if err := f.open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.clients.close)
	}
	return &reloader{path: file, level: zap.NewAtomicLevel(), report: p.report, started: conf, applied: conf, flows: p.flows}, secrets, events
}

func overwrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// principals are who the clients of all flows would be on a new connection.
func (l *reloader) principals() (names []string) {
	for _, f := range l.flows {
		for _, w := range f.clients.ways {
			names = append(names, w.client.Principal())
		}
	}
	return names
}

func TestCredentialsFollowTheirFile(t *testing.T) {
	l, secrets, events := reloading(t)
	all := func(want string) {
		t.Helper()
		for _, name := range l.principals() {
			if name != "User:"+want {
				t.Errorf("a client is %s, want %s", name, want)
			}
		}
	}
	said := func(words string) {
		t.Helper()
		text := fmt.Sprint(*events)
		if !strings.Contains(text, words) || strings.Contains(text, "secret\"") || strings.Contains(text, "-secret") {
			t.Errorf("events: %s", text)
		}
		*events = nil
	}
	seen := l.look(l.look(""))
	all("alice")
	if len(*events) > 0 {
		t.Errorf("nothing has changed, and it says %v", *events)
	}

	overwrite(t, secrets, "user=alice-of-today\npassword=second-secret\n")
	seen = l.look(seen)
	all("alice-of-today")
	said("new connections use what it says now")

	overwrite(t, secrets, "user=nobody\n")
	seen = l.look(seen)
	all("alice-of-today")
	said("the old ones stay")

	if err := os.Remove(secrets); err != nil {
		t.Fatal(err)
	}
	seen = l.look(seen)
	all("alice-of-today")
	said("the old ones stay")

	overwrite(t, secrets, "user=bob\npassword=third-secret\n")
	l.look(seen)
	all("bob")
	said("new connections use what it says now")
}

// Each setting that a reload says it has changed is one that the flow then has.
func TestReloadChangesWhatItSays(t *testing.T) {
	played(t, "exit 0", "exit 0") // drills need their commands
	for _, c := range []struct {
		key, value string
		shows      func(*config.Flow) string
	}{
		{"topics", "orders", func(f *config.Flow) string {
			return fmt.Sprint(f.Topics.Replicates("orders"), f.Topics.Replicates("others"))
		}},
		{"topics.exclude", "orders", func(f *config.Flow) string { return fmt.Sprint(f.Topics.Replicates("orders")) }},
		{"groups", "one", func(f *config.Flow) string { return fmt.Sprint(f.Groups.Accepts("two")) }},
		{"groups.exclude", "one", func(f *config.Flow) string { return fmt.Sprint(f.Groups.Accepts("one")) }},
		{"config.properties.exclude", "retention.ms", func(f *config.Flow) string { return fmt.Sprint(f.ConfigFilter.Replicates("retention.ms")) }},
		{"refresh.topics.interval.seconds", "7", func(f *config.Flow) string { return f.RefreshTopics.String() }},
		{"sync.topic.configs.interval.seconds", "7", func(f *config.Flow) string { return f.SyncConfigs.String() }},
		{"sync.topic.acls.interval.seconds", "7", func(f *config.Flow) string { return f.SyncACLs.String() }},
		{"refresh.groups.interval.seconds", "7", func(f *config.Flow) string { return f.Checkpoints.Refresh.String() }},
		{"emit.checkpoints.interval.seconds", "7", func(f *config.Flow) string { return f.Checkpoints.Interval.String() }},
		{"emit.heartbeats.interval.seconds", "7", func(f *config.Flow) string { return f.HeartbeatInterval.String() }},
		{"b.offset.flush.interval.ms", "7000", func(f *config.Flow) string { return f.FlushInterval.String() }},
		{"throttle.bytes.per.second", "7000", func(f *config.Flow) string { return fmt.Sprint(f.Throttle.BytesPerSecond) }},
		{"drill.schedule", "0 3 * * 1", func(f *config.Flow) string { return f.Drill.Schedule }},
		{"drill.reports", "/", func(f *config.Flow) string { return f.Drill.Reports }},
		{"drill.records", "7", func(f *config.Flow) string { return fmt.Sprint(f.Drill.Records) }},
		{"drill.partitions", "7", func(f *config.Flow) string { return fmt.Sprint(f.Drill.Partitions) }},
		{"throttle.topics", "orders=7000", func(f *config.Flow) string { return fmt.Sprint(len(f.Throttle.Topics)) }},
	} {
		l, _, _ := reloading(t)
		text, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		before := c.shows(l.flows[0].conf())
		overwrite(t, l.path, string(text)+c.key+" = "+c.value+"\n")
		done, err := l.reload(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Applied) == 0 || len(done.Restart) > 0 {
			t.Errorf("%s: applied %v, restart %v", c.key, done.Applied, done.Restart)
		}
		if now := c.shows(l.flows[0].conf()); now == before {
			t.Errorf("%s: the flow still has %s", c.key, now)
		}
		if again, err := l.reload(t.Context(), false); err != nil || len(again.Applied) > 0 {
			t.Errorf("%s: once more: %v %v", c.key, again, err)
		}
		// A process that is started with the file by now runs the flow by the same settings; what waits for a restart makes them differ.
		started := func() string {
			t.Helper()
			conf, err := config.Load(l.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			return conf.Flows[0].Hash()
		}
		if now := l.flows[0].conf().Hash(); now != started() {
			t.Errorf("%s: others are told that it runs by other settings", c.key)
		}
		overwrite(t, l.path, string(text)+c.key+" = "+c.value+"\ntopic.recreated = follow\n")
		if _, err := l.reload(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if now := l.flows[0].conf().Hash(); now == started() {
			t.Errorf("%s: others are not told that it lacks a restart", c.key)
		}
	}
}

// Credentials that come with another way to log in are not in use before a restart, and not said to be.
func TestCredentialsOfAnotherMechanismWait(t *testing.T) {
	l, secrets, _ := reloading(t)
	file := fmt.Sprintf(strings.ReplaceAll(providedProperties, "= PLAIN\n", "= SCRAM-SHA-256\n"), secrets)
	overwrite(t, l.path, strings.ReplaceAll(file, "plain.PlainLoginModule", "scram.ScramLoginModule")+"log.level = warn\n")
	overwrite(t, secrets, "user=bob\npassword=second-secret\n")
	done, err := l.reload(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Applied) != 1 || done.Applied[0].Key != "log.level" || !strings.Contains(fmt.Sprint(done.Restart), "sasl.jaas.config") {
		t.Errorf("applied %v, needs a restart %v", done.Applied, done.Restart)
	}
	if done.File != l.path {
		t.Errorf("read %s, want %s", done.File, l.path)
	}
	if another(l.path, l.path) || another("absent", l.path) || !another(secrets, l.path) {
		t.Error("which file a mirror runs with is not told")
	}
}

// What a reload would refuse, its dry run refuses too.
func TestDryReloadRefusesTheSame(t *testing.T) {
	l, _, _ := reloading(t)
	played(t, "exit 0", "exit 0")
	text, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, l.path, string(text)+"drill.schedule = @daily\ndrill.reports = "+filepath.Join(t.TempDir(), "nowhere")+"\n")
	for _, dry := range []bool{true, false} {
		if _, err := l.reload(t.Context(), dry); err == nil || !strings.Contains(err.Error(), "there is no directory") {
			t.Errorf("dry run %v: error is %v", dry, err)
		}
	}
	if l.applied != l.started {
		t.Error("a file that was refused counts as applied")
	}
}
