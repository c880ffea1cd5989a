package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

// allow lets a user do something.
func (s side) allow(user string, resource kmsg.ACLResourceType, name string, pattern kmsg.ACLResourcePatternType, operations ...kmsg.ACLOperation) {
	s.t.Helper()
	var bindings []stream.ACL
	for _, o := range operations {
		bindings = append(bindings, stream.ACL{ResourceType: int8(resource), PatternType: int8(pattern), Resource: name,
			Principal: "User:" + user, Host: "*", Operation: int8(o), Permission: stream.PermissionAllow})
	}
	s.createACLs(bindings)
}

// allowed are the users that have ACLs on a topic.
func (s side) allowed(topic string) (users []string) {
	s.t.Helper()
	request := kmsg.NewPtrDescribeACLsRequest()
	request.ResourceType, request.ResourceName, request.ResourcePatternType = kmsg.ACLResourceTypeTopic, &topic, kmsg.ACLResourcePatternTypeLiteral
	request.Operation, request.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range response.Resources {
		for _, a := range r.ACLs {
			users = append(users, fmt.Sprintf("%s %s", a.Principal, a.Operation))
		}
	}
	slices.Sort(users)
	return users
}

// A cluster that asks who may: ACLs come back with their topics; whoever restores without a right is told which one it is before a record
// is written, and goes on once it has it.
func TestRestoreRights(t *testing.T) {
	const topic, secret = "right-orders", "s3cret"
	g := on(t, realkafka.Start(t, realkafka.Options{
		Users: map[string]string{"admin": secret, "poor": secret},
		Config: map[string]string{"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users": "User:admin;User:ANONYMOUS"},
	}))
	g.create(topic, 1, 1, nil)
	g.write(topic, numbered(100))
	g.commit("right-group", map[stream.Partition]int64{{Topic: topic}: 40})
	g.allow("alice", kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLOperationRead)
	g.allow("bob", kmsg.ACLResourceTypeTopic, "right-", kmsg.ACLResourcePatternTypePrefixed, kmsg.ACLOperationRead)
	g.allow("carol", kmsg.ACLResourceTypeTopic, "other", kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLOperationRead)
	url := "file://" + t.TempDir()
	as := func(user string) string {
		login := "security.protocol = SASL_PLAINTEXT\n%[1]s.sasl.mechanism = PLAIN\n%[1]s.sasl.jaas.config = " +
			`org.apache.kafka.common.security.plain.PlainLoginModule required username="%[2]s" password="%[3]s";` + "\n"
		return fmt.Sprintf(archiveProperties, "B", g.Bootstrap, g.Bootstrap, topic, url) + "A->B.enabled = false\nemit.checkpoints.interval.seconds = 1\n" +
			"A." + fmt.Sprintf(login, "A", "admin", secret) + "B." + fmt.Sprintf(login, "B", user, secret)
	}
	m := startMirror(t, strings.Replace(as("admin"), "B.bootstrap.servers = "+g.Bootstrap, "B.bootstrap.servers = "+nobody(t), 1))
	m.until("the topic in the archive", reachesEnds(t, url, g, topic))
	m.until("its ACLs and the group", func() error {
		k := archived(t, url, "A")
		if acls, groups := k.events(bundle.KindACLs), k.groups("right-group"); len(acls) == 0 || len(groups) == 0 {
			return fmt.Errorf("%q, %v", acls, groups)
		}
		return nil
	})
	m.stop()

	r := runArchive(t, "restore", propertiesFile(t, as("admin")), "--to", "B", "--yes", "--acls", "--no-groups", "--rename", topic+"=right-back").must(t)
	if !strings.Contains(r.stdout, "1 ACL.") || !strings.Contains(r.stdout, `an ACL of User:bob on topics "right-" (prefixed) is not restored`) {
		t.Errorf("it says\n%s", r.stdout)
	}
	if users := g.allowed("right-back"); !slices.Equal(users, []string{"User:alice READ"}) {
		t.Errorf("the topic is open to %q", users)
	}
	same := runArchive(t, "restore", propertiesFile(t, as("admin")), "--to", "B", "--yes", "--append")
	same.refuses(t, 1, "nothing was done")
	if !strings.Contains(same.stdout, "is the topic that was archived, and it is still there") {
		t.Error(same.stdout)
	}

	poor := propertiesFile(t, as("poor"))
	again := func() ran {
		return runArchive(t, "restore", poor, "--to", "B", "--yes", "--rename", topic+"=poor-orders")
	}
	step := func(words string, records int64) {
		t.Helper()
		r := again()
		if r.status != 1 || !strings.Contains(r.stdout+r.stderr, words) {
			t.Errorf("status %d, want the words %q\n%s%s", r.status, words, r.stdout, r.stderr)
		}
		if n, _ := g.count("poor-orders"); n != records {
			t.Errorf("%d records, want %d", n, records)
		}
	}
	literal := kmsg.ACLResourcePatternTypeLiteral
	step("cannot be created", 0)
	g.allow("poor", kmsg.ACLResourceTypeTopic, "poor-orders", literal, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs)
	step("no right to Write and Read on topic poor-orders", 0)
	g.allow("poor", kmsg.ACLResourceTypeTopic, "poor-orders", literal, kmsg.ACLOperationWrite)
	step("no right to Read on topic poor-orders", 0)
	g.allow("poor", kmsg.ACLResourceTypeTopic, "poor-orders", literal, kmsg.ACLOperationRead)
	step("Left alone: group right-group: whether it has members cannot be found out", 100)
	g.allow("poor", kmsg.ACLResourceTypeGroup, "right-group", literal, kmsg.ACLOperationRead)
	if r := again(); r.status != 0 {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if at := g.committed("right-group")[stream.Partition{Topic: "poor-orders"}]; at != 40 {
		t.Errorf("the group stands at %d", at)
	}
	wantSame(t, g.read(topic), g.read("poor-orders"))
}
