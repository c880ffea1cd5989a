package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/testkit/realkafka"
)

// result is what a process that ended by itself has left.
type result struct {
	status         int
	stdout, stderr string
}

// runMirror runs mirror to an end that it must find by itself.
func runMirror(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, mirrorBinary, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("mirror %q runs on:\n%s", args, complaint.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
}

// wantRefusal wants exit status 2 and one line that says why. Before it the log may have said that mirror starts.
func (r result) wantRefusal(t *testing.T, words ...string) {
	t.Helper()
	if r.status != 2 {
		t.Errorf("exit status %d, want 2", r.status)
	}
	var reasons []string
	for l := range strings.Lines(r.stderr) {
		if !strings.Contains(l, `"level":"info"`) && !strings.Contains(l, "did you mean") { // the hint may be what helps
			reasons = append(reasons, l)
		}
	}
	if len(reasons) != 1 || r.stdout != "" {
		t.Fatalf("%d lines on standard error, want 1:\n%s\nstandard output:\n%s", len(reasons), r.stderr, r.stdout)
	}
	for _, w := range words {
		if !strings.Contains(reasons[0], w) {
			t.Errorf("%q is not in: %s", w, reasons[0])
		}
	}
}

const soundProperties = `clusters = primary, backup
primary.bootstrap.servers = 127.0.0.1:1
backup.bootstrap.servers = 127.0.0.1:2
primary->backup.enabled = true
`

func TestFilesThatCannotRun(t *testing.T) {
	tests := []struct {
		name, properties string
		args             []string
		want             []string
	}{
		{name: "no such alias", properties: soundProperties, args: []string{"--clusters", "backup,bakcup"}, want: []string{"bakcup", "primary"}},
		{name: "no such flag", properties: soundProperties, args: []string{"--cluster", "backup"}, want: []string{"--cluster"}},
		{name: "a second file", properties: soundProperties, args: []string{"other.properties"}, want: []string{"one file, not 2"}},
		{name: "an invalid regex", properties: soundProperties + "topics = orders.*, (unclosed\n", want: []string{"mm2.properties:5", "topics", "(unclosed"}},
		{name: "a regex cut by its comma", properties: soundProperties + "topics = a{1,3}(\n", want: []string{"mm2.properties:5", "topics"}},
		{name: "not a number", properties: soundProperties + "replication.factor = three\n", want: []string{"mm2.properties:5", "replication.factor", "three"}},
		{name: "a flow of an unknown cluster", properties: soundProperties + "primary->bakcup.enabled = true\n", want: []string{"mm2.properties:5", "bakcup"}},
		{name: "no addresses", properties: strings.Replace(soundProperties, "backup.bootstrap", "backup.bootsrap", 1), want: []string{"backup.bootstrap.servers"}},
		{name: "nothing enabled", properties: strings.Replace(soundProperties, "= true", "= false", 1) + "emit.heartbeats.enabled = false\n", want: []string{"enable one, as in primary->backup.enabled = true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runMirror(t, append([]string{propertiesFile(t, tt.properties)}, tt.args...)...).wantRefusal(t, tt.want...)
		})
	}
	t.Run("no file named", func(t *testing.T) { runMirror(t).wantRefusal(t, "mirror FILE") })
	t.Run("no such file", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "mm3.properties")
		runMirror(t, missing).wantRefusal(t, "mm3.properties", "no such file")
	})
}

func TestTwoAliasesOfOneCluster(t *testing.T) {
	a, _ := clusters(t)
	properties := oneBroker + fmt.Sprintf(`
clusters = one, same
one.bootstrap.servers = %s
same.bootstrap.servers = %s
one->same.enabled = true
`, a.Bootstrap, a.Direct)
	runMirror(t, propertiesFile(t, properties)).wantRefusal(t, "one and same are one cluster", "bootstrap.servers")
	wantTopics(t, a, "one.")
}

// Wrong credentials end the program, right ones run; neither shows a password.
func TestCredentials(t *testing.T) {
	_, b := clusters(t)
	const right, wrong = "s3cret-one", "s3cret-two"
	guarded := on(t, realkafka.Start(t, realkafka.Options{Users: map[string]string{"mirror": right}}))
	guarded.create("guarded-orders", 1, 1, nil)
	guarded.write("guarded-orders", numbered(100))
	properties := func(password string) string {
		return oneBroker + quiet + fmt.Sprintf(`
clusters = guarded, guardedB
guarded.bootstrap.servers = %s
guarded.security.protocol = SASL_PLAINTEXT
guarded.sasl.mechanism = PLAIN
guarded.sasl.jaas.config = org.apache.kafka.common.security.plain.PlainLoginModule required username="mirror" password="%s";
guardedB.bootstrap.servers = %s
guarded->guardedB.enabled = true
guarded->guardedB.topics = guarded-orders
`, guarded.Bootstrap, password, b.Bootstrap)
	}
	refused := runMirror(t, propertiesFile(t, properties(wrong)))
	refused.wantRefusal(t, "guarded", "uthentication")
	if strings.Contains(refused.stderr, wrong) {
		t.Errorf("the password is shown:\n%s", refused.stderr)
	}
	m := startMirror(t, properties(right))
	m.until("the records", b.holds("guarded.guarded-orders", 100))
	m.stop()
	if shown := m.lines(right); len(shown) > 0 {
		t.Errorf("the password is shown: %s", shown[0].Text)
	}
	misspelt := strings.Replace(properties(right), "required username", "requird username", 1)
	spelling := runMirror(t, propertiesFile(t, misspelt))
	spelling.wantRefusal(t, "sasl.jaas.config")
	if strings.Contains(spelling.stderr, right) {
		t.Errorf("the password is shown:\n%s", spelling.stderr)
	}
}

// Topics that match nothing are a warning: one that matches may still come.
func TestTopicsThatMatchNothing(t *testing.T) {
	a, b := clusters(t)
	m := startMirror(t, oneBroker+quiet+fmt.Sprintf(`
clusters = none, noneB
none.bootstrap.servers = %s
noneB.bootstrap.servers = %s
none->noneB.enabled = true
none->noneB.topics = none-.*
`, a.Bootstrap, b.Bootstrap))
	m.waitFor(`"level":"warn"`, "match nothing")
	a.create("none-at-first", 1, 1, nil)
	a.write("none-at-first", numbered(10))
	m.until("the records", b.holds("none.none-at-first", 10))
	m.stop()
	if warned := m.lines(`"level":"warn"`); len(warned) != 1 {
		t.Errorf("%d warnings, want 1: %v", len(warned), warned)
	}
}

// A cluster that cannot be reached is told once, waited for, and worked with when it is there.
func TestUnreachableAtFirst(t *testing.T) {
	a, b := clusters(t)
	a.create("later-orders", 1, 1, nil)
	a.write("later-orders", numbered(100))
	for _, late := range []string{"later", "laterB"} {
		t.Run(late, func(t *testing.T) {
			door := newDoor(t, b)
			source, target := a.Bootstrap, door.address
			if late == "later" {
				door = newDoor(t, a)
				source, target = door.address, b.Bootstrap
			}
			b := on(t, b.Cluster)
			alias := "from" + late
			m := startMirror(t, oneBroker+quiet+fmt.Sprintf(`
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = later-orders
`, alias, source, target))
			m.waitFor(`"level":"warn"`, "cannot reach cluster", door.address)
			door.open()
			m.until("the records", b.holds(alias+".later-orders", 100))
			m.stop()
			if warned := m.lines(`"level":"warn"`); len(warned) != 1 {
				t.Errorf("%d warnings, want 1: %v", len(warned), warned)
			}
			if done := m.lines("reach cluster", "done"); len(done) != 1 {
				t.Errorf("%d lines tell of the end, want 1: %v", len(done), done)
			}
		})
	}
}

// door is an address in front of a broker where nobody listens until it is opened.
type door struct {
	t       *testing.T
	address string
	behind  string
}

func newDoor(t *testing.T, s side) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return &door{t, l.Addr().String(), s.Bootstrap}
}

// open lets connections through. The brokers tell clients their own addresses, so only the first ones come this way.
func (d *door) open() {
	d.t.Helper()
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go pass(from, d.behind)
		}
	}()
}
