package docs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

// TestCommands follows the pages from the first page on. A command that no step follows is one that nobody has tried.
func TestCommands(t *testing.T) {
	r := newReader(t)
	for _, step := range []struct {
		name string
		does func(*testing.T, *reader)
	}{
		{"build", build},
		{"demo", demo},
		{"help", help},
		{"targets", targets},
		{"first use", firstUse},
		{"refused record", refusedRecord},
		{"failover", moveGroups},
		{"end of the demo", demoEnds},
		{"archive", theArchive},
		{"runbooks", runbooks},
		{"active-active", activeActive},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.does(t, r) }) {
			return
		}
	}
	for _, command := range r.documented {
		if !slices.Contains(r.followed, command) {
			t.Errorf("no step follows what the pages say: %s", command)
		}
	}
}

func build(t *testing.T, r *reader) {
	r.sh(t, r.follow(t, "make build"))
	if out := r.sh(t, r.follow(t, "bin/mirror version")); !strings.HasPrefix(out, "mirror ") {
		t.Errorf("version: %s", out)
	}
}

// demo is stopped half way once; then it is begun again, and mostly waits while other pages are followed.
func demo(t *testing.T, r *reader) {
	r.interrupted(t, r.follow(t, "make demo"), "       2 s ")
	r.demo = r.begin(t, r.follow(t, "make demo DEMO_FLAGS=--stay", "--stay", "'--for 2s --stay'"))
}

// demoEnds looks at the end of the story, where it stays until Ctrl-C.
func demoEnds(t *testing.T, r *reader) {
	out := r.demo.interrupt(t, "lost with primary ")
	for _, proof := range []string{
		`ok +copied to backup +[1-9][0-9,]* orders: missing in between 0, repeated 0, different 0, out of order 0`,
		`ok +moved group, no gap +[1-9][0-9,]* orders billed: skipped 0, billed twice 0`,
		`ok +topic brought back +[1-9][0-9,]* orders: lost 0, different 0, too many 0`,
	} {
		if !regexp.MustCompile(proof).MatchString(out) {
			t.Errorf("no proof of %s:\n%s", proof, out)
		}
	}
}

// help runs the commands that the pages name without running them.
func help(t *testing.T, r *reader) {
	for _, command := range []string{"mirror --help", "failover --help"} {
		if out := r.sh(t, "bin/"+r.follow(t, command)); !strings.Contains(out, "Exit statuses") {
			t.Errorf("help:\n%s", out)
		}
	}
	for _, command := range []string{"failover status", "failover plan", "failover apply", "failover undo", "failover back", "failover back plan", "failover back apply"} {
		if out := r.sh(t, "bin/"+r.follow(t, command)+" --help"); !strings.Contains(out, "Exit statuses") || !strings.Contains(out, command) {
			t.Errorf("help:\n%s", out)
		}
	}
	helpOfArchive(t, r)
	for _, verb := range []string{"failover drill", "failover plan", "mirror check", "mirror reload"} {
		helpOfVerb(t, r, verb)
	}
	completions(t, r)
	for _, command := range r.documented {
		if flags, ok := strings.CutPrefix(command, "mirror FILE --"); ok {
			r.follow(t, command)
			if flag, _, _ := strings.Cut(flags, " "); !strings.Contains(r.sh(t, "bin/mirror --help"), "--"+flag) {
				t.Errorf("help of mirror does not know --%s", flag)
			}
		}
	}
	for command, sub := range map[string]string{
		"mirror FILE":     "",
		"mirror demo":     "demo",
		"mirror position": "position",
		"mirror position FILE FLOW TOPIC/PARTITION OFFSET": "position",
	} {
		if out := r.sh(t, "bin/mirror "+sub+" --help"); !strings.Contains(out, r.follow(t, command)) {
			t.Errorf("help does not say %q:\n%s", command, out)
		}
	}
	for command, sub := range map[string]string{
		"failover status FILE":                    "status",
		"failover plan FILE --from A --to B":      "plan",
		"failover apply PLAN":                     "apply",
		"failover undo PLAN":                      "undo",
		"failover back plan FILE --from B --to A": "back plan",
		"failover back apply PLAN":                "back apply",
	} {
		if out := r.sh(t, "bin/failover "+sub+" --help"); !strings.Contains(out, r.follow(t, command)) {
			t.Errorf("help does not say %q:\n%s", command, out)
		}
	}
}

// completions are for all commands and shells that docs/running.md names.
func completions(t *testing.T, r *reader) {
	r.follow(t, "mirror completion bash")
	for _, command := range []string{"mirror", "failover", "archive"} {
		for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
			if out := r.sh(t, "bin/"+command+" completion "+shell); !strings.Contains(out, command) {
				t.Errorf("completion of %s for %s: %.200s", command, shell, out)
			}
		}
	}
}

// helpOfArchive runs what the pages name of archive without running it: its help must have the usage, and each flag.
func helpOfArchive(t *testing.T, r *reader) {
	for _, command := range r.documented {
		if !strings.HasPrefix(command, "archive ") {
			continue
		}
		usage, _, _ := strings.Cut(r.follow(t, command), " --")
		if command == "archive restore FILE --to CLUSTER" {
			usage = command
		}
		verb := strings.TrimSpace(regexp.MustCompile(` [A-Z].*| --.*`).ReplaceAllString(command, ""))
		out := r.sh(t, "bin/"+verb+" --help")
		if !strings.Contains(out, usage) {
			t.Errorf("help of %s does not say %q:\n%s", verb, usage, out)
		}
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(command, -1) {
			if !strings.Contains(out, flag) {
				t.Errorf("help of %s does not know %s", verb, flag)
			}
		}
	}
}

// helpOfVerb runs what the pages name of a verb without running it: its help must have the verb and each flag.
func helpOfVerb(t *testing.T, r *reader, verb string) {
	out := r.sh(t, "bin/"+verb+" --help")
	if !strings.Contains(out, verb+" FILE") || !strings.Contains(out, "Exit statuses") {
		t.Errorf("help of %s:\n%s", verb, out)
	}
	for _, command := range r.documented {
		if command != verb && !strings.HasPrefix(command, verb+" ") {
			continue
		}
		r.follow(t, command)
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(command, -1) {
			if !strings.Contains(out, flag) {
				t.Errorf("help of %s does not know %s", verb, flag)
			}
		}
	}
}

// targets looks that make knows how; what they do takes long, and CI does it.
func targets(t *testing.T, r *reader) {
	for _, command := range []string{"make test", "make test-unit", "make soak", "make lint"} {
		r.sh(t, strings.Replace(r.follow(t, command), "make", "make -n", 1))
	}
	r.sh(t, r.follow(t, "make dist")+" PLATFORMS=linux/"+runtime.GOARCH)
	if sums, err := os.ReadFile(filepath.Join(r.dir, "dist/SHA256SUMS")); err != nil || !strings.Contains(string(sums), "-linux-"+runtime.GOARCH+".tar.gz") {
		t.Errorf("sums: %v %s", err, sums)
	}
	if out := r.sh(t, r.follow(t, "make help")); !strings.Contains(out, "soak ") {
		t.Errorf("targets: %s", out)
	}
	for _, command := range r.documented {
		if strings.HasPrefix(command, "make bench") {
			r.sh(t, strings.Replace(r.follow(t, command), "make", "make -n", 1))
		}
	}
}

func firstUse(t *testing.T, r *reader) {
	file := r.clusters(t, "")
	create(t, r.primary, "orders", "delete")
	write(t, r.primary, "orders", &kgo.Record{Value: []byte("the first order")})
	for command, want := range map[string]string{"": "primary->backup: 1 topic,", " --plan": "create topic primary.orders for orders", " --effective": "primary->backup"} {
		if out := r.sh(t, r.follow(t, "bin/mirror check config/mm2.properties"+command, "config/mm2.properties", file)); !strings.Contains(out, want) {
			t.Errorf("check%s does not say %q:\n%s", command, want, out)
		}
	}
	m := r.start(t, r.follow(t, "bin/mirror config/mm2.properties", "config/mm2.properties", file))
	if got := first(t, r.backup, "primary.orders", 1); got[0] != "the first order" {
		t.Errorf("replicated: %q", got)
	}
	if body := m.curl(r.follow(t, "curl -s 127.0.0.1:8383/readyz")); !strings.Contains(body, `"ready":true`) {
		t.Errorf("/readyz: %s", body)
	}
	scrape, names := r.follow(t, "curl -s 127.0.0.1:8383/metrics"), metricNames(t, r)
	m.until("all metrics of the page", func() error { // some wait for the first round of checkpoints
		metrics := m.curl(scrape)
		for _, name := range names {
			if !strings.HasPrefix(name, "tandem_archive_") && !strings.Contains(metrics, "\n"+name+"{") && !strings.Contains(metrics, "\n"+name+" ") {
				return fmt.Errorf("/metrics lacks %s", name)
			}
		}
		return nil
	})
	reload(t, r, m, file)
	m.stop()

	const position = `bin/mirror position config/mm2.properties "primary->backup" orders/0 12000`
	out := r.sh(t, r.follow(t, position, "config/mm2.properties", file, "12000", "0"))
	if !strings.Contains(out, "orders/0 of primary goes on at offset 0 at the next start") {
		t.Errorf("position: %s", out)
	}
	m = r.start(t, "bin/mirror "+file)
	if got := first(t, r.backup, "primary.orders", 2); got[1] != "the first order" {
		t.Errorf("replicated from offset 0 again: %q", got)
	}
	m.stop()
}

// reload has the running mirror read a file that selects less.
func reload(t *testing.T, r *reader, m *mirror, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil { // the port was chosen by the system, and the command has to find it
		err = os.WriteFile(file, fmt.Appendf(text, "\nstatus.address = %s\nprimary->backup.topics = orders\n", m.address()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{" --dry-run", "would change: primary->backup topics:"}, {"", "changed: primary->backup topics:"}} {
		if out := r.sh(t, r.follow(t, "bin/mirror reload config/mm2.properties"+c[0], "config/mm2.properties", file)); !strings.Contains(out, c[1]) {
			t.Errorf("reload%s does not say %q:\n%s", c[0], c[1], out)
		}
	}
}

// metricNames are those that docs/operations.md explains.
func metricNames(t *testing.T, r *reader) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`tandem_[a-z_]+`).FindAllString(string(text), -1)
	if len(names) < 5 {
		t.Errorf("docs/operations.md names only %q", names)
	}
	return names
}

// tools are Kafka's scripts by the classes that they start.
var tools = map[string]string{
	"kafka-configs.sh":          "org.apache.kafka.tools.ConfigCommand",
	"kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
	"kafka-consumer-groups.sh":  "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"kafka-dump-log.sh":         "org.apache.kafka.tools.DumpLogSegments",
	"kafka-get-offsets.sh":      "org.apache.kafka.tools.GetOffsetShell",
	"kafka-topics.sh":           "org.apache.kafka.tools.TopicCommand",
}

// kafka runs a line of the pages that begins with one of Kafka's scripts.
func (r *reader) kafka(t *testing.T, line string) string {
	t.Helper()
	out, err := r.script(t, line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// script is kafka for lines that may fail. Output that is sent to a file goes there.
func (r *reader) script(t *testing.T, line string) (string, error) {
	t.Helper()
	line, to, _ := strings.Cut(line, " > ")
	words := strings.Fields(line)
	for i, w := range words {
		if words[i] = strings.Trim(w, "'"); strings.HasSuffix(w, "0000.log") {
			words[i] = filepath.Join(r.dir, w)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := realkafka.Java(ctx, tools[words[0]], words[1:]...)
	if err != nil || to == "" {
		return out, err
	}
	return out, os.WriteFile(filepath.Join(r.dir, to), []byte(out), 0o600)
}

// refusedRecord sets a record aside and reads it back. Its remote topic is compacted, and it has no key.
func refusedRecord(t *testing.T, r *reader) {
	file := r.clusters(t, "on.refused = skip\nsync.topic.configs.enabled = false\n")
	create(t, r.primary, "invoices", "delete")
	create(t, r.backup, "primary.invoices", "compact")
	write(t, r.primary, "invoices", &kgo.Record{Value: []byte("an invoice without a key")}, &kgo.Record{Key: []byte("k"), Value: []byte("the next one")})
	m := r.start(t, "bin/mirror "+file)
	if got := first(t, r.backup, "primary.invoices", 1); got[0] != "the next one" {
		t.Fatalf("replicated: %q", got)
	}
	m.stop()
	const consume = "kafka-console-consumer.sh --bootstrap-server 127.0.0.1:29092 --topic mm2-tandem-refused.primary.internal "
	listed := r.kafka(t, r.follow(t, consume+"--from-beginning --timeout-ms 5000 --formatter-property print.offset=true --formatter-property print.key=true --formatter-property print.value=false",
		"127.0.0.1:29092", r.backup.Direct))
	if !strings.Contains(listed, "Offset:0") || !strings.Contains(listed, `"topic":"invoices","partition":0,"offset":0,"remote":"primary.invoices"`) {
		t.Fatalf("listed: %s", listed)
	}
	r.kafka(t, r.follow(t, consume+"--partition 0 --offset 0 --max-messages 1 --formatter-property line.separator= > 00000000000000000000.log",
		"127.0.0.1:29092", r.backup.Direct))
	shown := r.kafka(t, r.follow(t, "kafka-dump-log.sh --files 00000000000000000000.log --print-data-log"))
	if !strings.Contains(shown, "payload: an invoice without a key") {
		t.Errorf("shown: %s", shown)
	}
}
