package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

// finding is one of `mirror check --json`.
type finding struct {
	Severity, Check, Flow, Cluster, Topic, Key, What, Do string
	Line                                                 int
	Run                                                  []string
}

// checked is what `mirror check` answers.
type checked struct {
	t        *testing.T
	status   int
	Findings []finding
}

func runCheck(t *testing.T, properties string, args ...string) checked {
	t.Helper()
	r := runMirror(t, append([]string{"check", propertiesFile(t, properties), "--json"}, args...)...)
	c := checked{t: t, status: r.status}
	if err := json.Unmarshal([]byte(r.stdout), &c); err != nil {
		t.Fatalf("status %d: %v\n%s%s", r.status, err, r.stdout, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, checkSecret) {
		t.Errorf("it tells a password:\n%s%s", r.stdout, r.stderr)
	}
	return c
}

// has wants a finding with all the words.
func (c checked) has(severity, check string, words ...string) {
	c.t.Helper()
	if !slices.ContainsFunc(c.Findings, func(f finding) bool {
		return f.Severity == severity && f.Check == check && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(fmt.Sprint(f), w) })
	}) {
		c.t.Errorf("no %s of %s with %q:\n%s", severity, check, words, c)
	}
}

// lacks wants no finding of a check.
func (c checked) lacks(check string) {
	c.t.Helper()
	for _, f := range c.Findings {
		if f.Check == check {
			c.t.Errorf("there is a finding of %s:\n%s", check, c)
		}
	}
}

func (c checked) exits(status int) {
	c.t.Helper()
	if c.status != status {
		c.t.Errorf("status %d, want %d:\n%s", c.status, status, c)
	}
}

func (c checked) String() string {
	var text strings.Builder
	for _, f := range c.Findings {
		fmt.Fprintf(&text, "  %+v\n", f)
	}
	return text.String()
}

const checkSecret = "s3cret-of-check"

// A user without any right gets the lines that grant what the flow needs, and no others: with them check passes, and mirror runs.
// Nothing is changed on the clusters by looking.
func TestCheckRights(t *testing.T) {
	secured := func() realkafka.Options {
		return realkafka.Options{
			Users: map[string]string{"admin": checkSecret, "mirror": checkSecret},
			Config: map[string]string{"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
				"super.users": "User:admin;User:ANONYMOUS"},
		}
	}
	a, b := on(t, realkafka.Start(t, secured())), on(t, realkafka.Start(t, secured()))
	a.create("check-orders", 2, 1, nil)
	a.create("check-team.1", 1, 1, nil)
	a.write("check-orders", numbered(10))
	properties := fmt.Sprintf(`clusters = A, B
A.bootstrap.servers = %s
B.bootstrap.servers = %s
A->B.enabled = true
topics = check-orders, check-team\\..*
groups = check-.*
sync.group.offsets.enabled = true
emit.checkpoints.interval.seconds = 1
%s`, a.Bootstrap, b.Bootstrap, oneBroker)
	as := func(user, password string) string {
		login := "security.protocol = SASL_PLAINTEXT\n%[1]s.sasl.mechanism = PLAIN\n%[1]s.sasl.jaas.config = " +
			`org.apache.kafka.common.security.plain.PlainLoginModule required username="%[2]s" password="%[3]s";` + "\n"
		return properties + "A." + fmt.Sprintf(login, "A", user, password) + "B." + fmt.Sprintf(login, "B", user, password)
	}
	before := [][]string{a.topicsWith(""), b.topicsWith("")}
	poor := runCheck(t, as("mirror", checkSecret))
	poor.exits(1)
	bindings := make(map[string]bool)
	for _, f := range poor.Findings {
		for _, line := range f.Run {
			bindings[line] = true
		}
	}
	const start, config = "kafka-acls --bootstrap-server ", " --command-config admin.properties --add --allow-principal User:mirror"
	want := map[string][]string{
		a.Bootstrap: {
			"--cluster --operation Describe",
			"--group check- --resource-pattern-type prefixed --operation Describe",
			"--topic check-orders --operation Read --operation DescribeConfigs",
			"--topic check-team. --resource-pattern-type prefixed --operation Read --operation DescribeConfigs",
			"--topic heartbeats --operation Create --operation Read --operation Write --operation DescribeConfigs",
			"--topic mm2-offset-syncs.B.internal --operation Create --operation Read --operation Write",
		},
		b.Bootstrap: {
			"--cluster --operation Alter",
			"--group A-mm2 --operation Read",
			"--group check- --resource-pattern-type prefixed --operation Read",
			"--topic A.check-orders --operation Create --operation Read --operation Write --operation Alter --operation AlterConfigs",
			"--topic A.check-team. --resource-pattern-type prefixed --operation Create --operation Read --operation Write --operation Alter --operation AlterConfigs",
			"--topic A.checkpoints.internal --operation Create --operation Read --operation Write",
			"--topic A.heartbeats --operation Create --operation Read --operation Write --operation Alter --operation AlterConfigs",
			"--topic heartbeats --operation Create --operation Write",
			"--topic mm2-offsets.A.internal --operation Create --operation Read --operation Write",
			"--topic mm2-tandem.A.internal --operation Create --operation Read --operation Write",
		},
	}
	for bootstrap, lines := range want {
		for _, l := range lines {
			resource, operations, _ := strings.Cut(l, " --operation ")
			line := start + bootstrap + config + " --operation " + operations + " " + resource
			if !bindings[line] {
				t.Errorf("the line is missing: %s", line)
			}
			delete(bindings, line)
		}
	}
	for line := range bindings {
		t.Errorf("a line that nobody wants: %s", line)
	}
	if t.Failed() {
		t.Fatalf("the findings are:\n%s", poor)
	}
	if after := [][]string{a.topicsWith(""), b.topicsWith("")}; fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("topics were %q and are %q", before, after)
	}
	grant := granting(t, map[string]side{a.Bootstrap: a, b.Bootstrap: b})
	for _, f := range poor.Findings {
		for _, line := range f.Run {
			grant(line)
		}
	}
	rich := runCheck(t, as("mirror", checkSecret))
	rich.exits(0)
	rich.lacks("rights")
	m := startMirror(t, as("mirror", checkSecret))
	m.until("the records", func() error {
		if n, _ := b.count("A.check-orders"); n != 10 {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
	for _, l := range m.lines("not authorized") {
		t.Errorf("mirror lacks a right that check did not name: %s", l.Text)
	}

	// Beside a mirror that runs, check has nothing against it. Who is somebody else cannot even come in.
	runCheck(t, as("mirror", checkSecret)).exits(0)
	m.stop()
	wrong := runCheck(t, strings.Replace(as("mirror", checkSecret), checkSecret, "wrong", 1))
	wrong.exits(1)
	wrong.has("blocker", "reach", "A", "authentication failed")
	wrong.lacks("same cluster")
}

// granting carries out lines of kafka-acls: the first of each kind with Kafka's own tool, which takes a second to start, and the others
// as it would; with TANDEM_LONG all with the tool.
func granting(t *testing.T, clusters map[string]side) func(line string) {
	tried := make(map[string]bool)
	return func(line string) {
		t.Helper()
		words := strings.Fields(line)
		s, arguments := clusters[words[2]], words[slices.Index(words, "--command-config")+2:]
		var operations []kmsg.ACLOperation
		resource, name, pattern := kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLResourcePatternTypeLiteral
		for i, w := range words {
			switch w {
			case "--operation":
				o, err := kmsg.ParseACLOperation(words[i+1])
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				operations = append(operations, o)
			case "--topic":
				resource, name = kmsg.ACLResourceTypeTopic, words[i+1]
			case "--group":
				resource, name = kmsg.ACLResourceTypeGroup, words[i+1]
			case "--resource-pattern-type":
				pattern = kmsg.ACLResourcePatternTypePrefixed
			}
		}
		kind := fmt.Sprint(resource, pattern)
		if tried[kind] && !long() {
			s.allow("mirror", resource, name, pattern, operations...)
			return
		}
		tried[kind] = true
		out, err := realkafka.Java(t.Context(), "org.apache.kafka.tools.AclCommand", append([]string{"--bootstrap-server", s.Direct}, arguments...)...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// What keeps flows from running is found on clusters that are there, whatever others do.
func TestCheck(t *testing.T) {
	a, b := clusters(t)
	const start = "clusters = %s\nchA.bootstrap.servers = %s\nchB.bootstrap.servers = %s\nchA->chB.enabled = true\n"
	a.create("check-a", 1, 1, map[string]string{"retention.ms": "60000"})
	a.create("check-large", 1, 1, map[string]string{"max.message.bytes": "3000000"})
	a.create("chB.check-local", 1, 1, nil)

	same := runCheck(t, fmt.Sprintf(start, "chA, chB", a.Bootstrap, a.Bootstrap)+"topics = check-.*\n"+oneBroker)
	same.exits(1)
	same.has("blocker", "same cluster", "chA and chB are one cluster")

	dead := runCheck(t, fmt.Sprintf(start, "chA, chB", a.Bootstrap, nobody(t))+"topics = check-a, check-nothing\nrefresh.topic = 1\n"+oneBroker)
	dead.exits(1)
	dead.has("blocker", "reach", "chB", "connection refused")
	dead.has("warning", "topics", "check-nothing", "matches no topic of chA")
	dead.has("warning", "file", "refresh.topic")
	dead.has("warning", "retention", "check-a")

	b.create("chA_check-a", 1, 1, nil)
	b.create("chA.filled", 1, 1, nil)
	both := runCheck(t, fmt.Sprintf(start, "chA, chB", a.Bootstrap, b.Bootstrap)+"topics = check-a, check-large, chB\\\\.check-.*\nreplication.factor = 3\n"+
		"checkpoints.topic.replication.factor = 2\nconfig.properties.exclude = max.message.bytes\nchA->chB.archive.enabled = true\narchive.url = file:///nowhere/at/all\n")
	both.exits(1)
	both.has("blocker", "names", "chA.check-a cannot be made on chB", "chA_check-a")
	both.has("blocker", "replication factor", "chA.checkpoints.internal", "replication factor 2", "1 brokers", "checkpoints.topic.replication.factor = 1")
	both.has("blocker", "replication factor", "remote topics", "set replication.factor = 1")
	both.has("warning", "names", "chB.check-local", "skipped")
	both.has("warning", "message size", "check-large (3000000, there 1048588)")
	both.has("blocker", "archive", "chA->chB")
	both.has("note", "rights", "no authorizer")
	both.lacks("clock")

	files := propertiesFile(t, fmt.Sprintf(start, "chA, chB", a.Bootstrap, b.Bootstrap)+"topics = check-large\nsync.topic.acls.enabled = false\n"+oneBroker)
	if r := runMirror(t, "check", files, "--plan"); r.status != 0 || !strings.Contains(r.stdout, "create topic chA.check-large for check-large: 1 partition, replication factor 1, max.message.bytes=3000000") {
		t.Errorf("status %d, the plan is\n%s%s", r.status, r.stdout, r.stderr)
	}
	if r := runMirror(t, "check", files, "--effective"); r.status != 0 || !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), "chA->chB topics line 5: topics check-large") {
		t.Errorf("status %d, the settings are\n%s%s", r.status, r.stdout, r.stderr)
	}

	mm2, stop := asMM2(b, "chA-mm2")
	defer stop()
	mm2()
	running := runCheck(t, fmt.Sprintf(start, "chA, chB", a.Bootstrap, b.Bootstrap)+"topics = check-a\nemit.heartbeats.enabled = false\n"+oneBroker)
	running.exits(1)
	running.has("blocker", "other processes", "MirrorMaker 2 is running", "chA-mm2")
}

// asMM2 joins a group as a worker of Connect does.
func asMM2(s side, group string) (join func(), leave func()) {
	var member string
	join = func() {
		s.t.Helper()
		eventually(s.t, "a member of "+group, func() error {
			req := kmsg.NewPtrJoinGroupRequest()
			req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, 30000, 30000
			req.MemberID, req.ProtocolType = member, "connect"
			p := kmsg.NewJoinGroupRequestProtocol()
			p.Name = "sessioned"
			req.Protocols = append(req.Protocols, p)
			resp, err := req.RequestWith(s.t.Context(), s.coordinated)
			if err != nil {
				return err
			}
			member = resp.MemberID
			if resp.ErrorCode != 0 {
				return fmt.Errorf("code %d", resp.ErrorCode)
			}
			return nil
		})
	}
	return join, func() {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = group
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = member
		req.Members, req.MemberID = append(req.Members, m), member
		if _, err := req.RequestWith(context.WithoutCancel(s.t.Context()), s.coordinated); err != nil {
			s.t.Error(err)
		}
	}
}
