package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

// binding is one ACL; on is "topic orders", "group g" or "txn t", and a name with % at its end is a prefix.
func binding(user string, permission, operation int8, on string) stream.ACL {
	kind, name, _ := strings.Cut(on, " ")
	b := stream.ACL{ResourceType: map[string]int8{"topic": stream.ResourceTopic, "group": stream.ResourceGroup, "txn": stream.ResourceTransactionalID}[kind],
		PatternType: stream.PatternLiteral, Resource: name, Principal: "User:" + user, Host: "*", Operation: operation, Permission: permission}
	if prefix, ok := strings.CutSuffix(name, "%"); ok {
		b.Resource, b.PatternType = prefix, stream.PatternPrefixed
	}
	return b
}

func allows(user string, operation int8, on string) stream.ACL {
	return binding(user, stream.PermissionAllow, operation, on)
}

func denies(user string, operation int8, on string) stream.ACL {
	return binding(user, stream.PermissionDeny, operation, on)
}

// createACLs creates bindings; a broker may heed them a moment later.
func (s side) createACLs(bindings []stream.ACL) {
	s.t.Helper()
	request := kmsg.NewPtrCreateACLsRequest()
	for _, b := range bindings {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(b.ResourceType), b.Resource, kmsg.ACLResourcePatternType(b.PatternType)
		c.Principal, c.Host, c.Operation, c.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		request.Creations = append(request.Creations, c)
	}
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		for _, r := range response.Results {
			if err == nil {
				err = kerr.ErrorForCode(r.ErrorCode)
			}
		}
	}
	if err != nil {
		s.t.Fatalf("create ACLs %v: %v", bindings, err)
	}
}

func (s side) grant(bindings ...stream.ACL) {
	s.t.Helper()
	s.createACLs(bindings)
	eventually(s.t, "the broker to know of them", s.hasACLs(func(all []stream.ACL) error {
		for _, b := range bindings {
			if !slices.Contains(all, b) {
				return fmt.Errorf("not yet of %v", b)
			}
		}
		return nil
	}))
}

func (s side) revoke(bindings ...stream.ACL) {
	s.t.Helper()
	request := kmsg.NewPtrDeleteACLsRequest()
	for _, b := range bindings {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = kmsg.ACLResourceType(b.ResourceType), &b.Resource, kmsg.ACLResourcePatternType(b.PatternType)
		f.Principal, f.Host, f.Operation, f.PermissionType = &b.Principal, &b.Host, kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		request.Filters = append(request.Filters, f)
	}
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, r := range response.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil || len(r.MatchingACLs) != 1 {
			s.t.Fatalf("revoke %v: %v, %d", bindings[i], err, len(r.MatchingACLs))
		}
	}
}

// hasACLs is a condition on all bindings of a cluster.
func (s side) hasACLs(holds func([]stream.ACL) error) func() error {
	return func() error {
		request := kmsg.NewPtrDescribeACLsRequest()
		request.ResourceType, request.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
		request.Operation, request.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		response, err := request.RequestWith(s.t.Context(), s.client)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		if err != nil {
			return err
		}
		var all []stream.ACL
		for _, r := range response.Resources {
			for _, b := range r.ACLs {
				all = append(all, stream.ACL{ResourceType: int8(r.ResourceType), PatternType: int8(r.ResourcePatternType), Resource: r.ResourceName,
					Principal: b.Principal, Host: b.Host, Operation: int8(b.Operation), Permission: int8(b.PermissionType)})
			}
		}
		return holds(all)
	}
}

// hasJust is a condition: the cluster has these bindings and no others.
func (s side) hasJust(want ...[]stream.ACL) func() error {
	sorted := slices.SortedFunc(slices.Values(slices.Concat(want...)), stream.ACL.Compare)
	return s.hasACLs(func(all []stream.ACL) error {
		slices.SortFunc(all, stream.ACL.Compare)
		if !slices.Equal(all, sorted) {
			return fmt.Errorf("the cluster has %d bindings\n%v\nwant %d\n%v", len(all), all, len(sorted), sorted)
		}
		return nil
	})
}

// brokersConfig sets a config of all brokers at run time.
func (s side) brokersConfig(name, value string) {
	s.t.Helper()
	s.alter(kmsg.ConfigResourceTypeBroker, "", map[string]string{name: value})
}

const aclsProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = acls-.*, [*]
%[1]s->%[1]sB.groups = acls-.*
sync.topic.acls.interval.seconds = 1
`

// Two clusters that ask who may. By default mirror makes just the bindings that MM2 makes; in full it makes more, and takes away
// again what it made, and nothing else.
func TestACLs(t *testing.T) {
	guarded := realkafka.Options{Config: map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
		"log.retention.ms": "987654321"}}
	a, b := on(t, realkafka.Start(t, guarded)), on(t, realkafka.Start(t, guarded))
	const (
		read, write, all, alter, describeConfigs = stream.OperationRead, stream.OperationWrite, stream.OperationAll, int8(7), int8(10)
	)
	a.brokersConfig("log.roll.ms", "7654321")
	a.create("acls-orders", 2, 1, map[string]string{"max.compaction.lag.ms": "123456789", "min.insync.replicas": "1"})
	a.create("acls-items", 1, 1, nil)
	a.create("other", 1, 1, nil)
	host := allows("hal", read, "topic acls-orders")
	host.Host = "10.1.2.3"
	a.grant(
		allows("ann", read, "topic acls-orders"), allows("ann", describeConfigs, "topic acls-orders"), allows("bob", all, "topic acls-orders"),
		allows("cy", write, "topic acls-orders"), denies("dan", all, "topic acls-orders"), denies("eve", write, "topic acls-items"), host,
		allows("flo", alter, "topic acls-later"), allows("ann", read, "topic other"), allows("gus", read, "topic *"),
		allows("ivy", all, "topic acls-%"), allows("ivy", write, "topic acls-o%"), denies("joe", read, "topic oth%"),
		allows("ann", read, "group acls-group"), allows("ann", read, "group other"), allows("kim", read, "group acls-%"),
		allows("cy", write, "txn acls-txn"), denies("dan", write, "txn t%"),
	)
	byHand := []stream.ACL{
		allows("ann", write, "topic full.acls-orders"), allows("lee", read, "topic full.acls-%"), allows("ivy", read, "topic full.acls-%"),
		allows("ann", read, "group acls-other"), denies("mia", all, "topic full.acls-orders"), allows("ann", read, "topic own"),
	}
	b.grant(byHand...)

	// By MM2's rules, beside MM2: the same bindings, but for the alias.
	likeMM2 := func(alias string) (list []stream.ACL) {
		for _, c := range []stream.ACL{
			allows("ann", read, "topic acls-orders"), allows("ann", describeConfigs, "topic acls-orders"), allows("bob", read, "topic acls-orders"),
			denies("dan", all, "topic acls-orders"), denies("eve", write, "topic acls-items"), host, allows("flo", alter, "topic acls-later"),
			allows("gus", read, "topic *"),
		} {
			c.Resource = alias + "." + c.Resource
			list = append(list, c)
		}
		return list
	}
	mm2 := startMM2(t, fmt.Sprintf(aclsProperties, "mm", a.Bootstrap, b.Bootstrap))
	m := startMirror(t, fmt.Sprintf(aclsProperties, "tandem", a.Bootstrap, b.Bootstrap))
	m.until("the bindings of both", b.hasJust(byHand, likeMM2("mm"), likeMM2("tandem")))
	// Of configs what was set at run time on the brokers goes along, what stands in their files does not.
	carried := map[string]string{"max.compaction.lag.ms": "123456789", "segment.ms": "7654321"}
	m.until("MM2's configs", hasConfigs(b, "mm.acls-orders", carried))
	m.until("mirror's configs", hasConfigs(b, "tandem.acls-orders", carried))
	mm2.Kill()
	a.grant(allows("late", read, "topic acls-items"))
	later := allows("late", read, "topic tandem.acls-items")
	m.until("a later one", b.hasJust(byHand, likeMM2("mm"), likeMM2("tandem"), []stream.ACL{later}))
	m.stop()
	wantLines(t, m, len(likeMM2(""))+1, "created ACL")
	wantLines(t, m, 0, `"level":"warn"`)
	b.revoke(slices.Concat(likeMM2("mm"), likeMM2("tandem"), []stream.ACL{later})...)
	a.revoke(allows("late", read, "topic acls-items"))

	// In full, in both directions.
	inFull := fmt.Sprintf(aclsProperties, "full", a.Bootstrap, b.Bootstrap) +
		"sync.topic.acls.mode = full\nfullB->full.enabled = true\nfullB->full.topics = acls-.*\nfullB->full.groups = acls-.*\n"
	made := likeMM2("full")
	made[len(made)-1] = allows("gus", read, "topic full.%")
	made = append(made, allows("ann", read, "group acls-group"), allows("kim", read, "group acls-%"), allows("cy", write, "txn acls-txn"), denies("dan", write, "txn t%"))
	m = startMirror(t, inFull)
	m.until("all bindings", b.hasJust(byHand, made))
	back := []stream.ACL{allows("ann", read, "group acls-other")} // of the target's own, which goes the other way
	wantOnA := func(more ...stream.ACL) func() error {
		return a.hasACLs(func(all []stream.ACL) error {
			for _, c := range more {
				if !slices.Contains(all, c) {
					return fmt.Errorf("not yet %v", c)
				}
			}
			return nil
		})
	}
	m.until("the group of the other side", wantOnA(back...))

	// What the source takes away goes, here and there; what was made by hand stays, also where the source had the same.
	a.revoke(allows("ann", read, "topic acls-orders"), allows("gus", read, "topic *"), allows("ivy", all, "topic acls-%"),
		allows("ann", read, "group acls-group"), allows("cy", write, "txn acls-txn"))
	gone := []stream.ACL{allows("ann", read, "topic full.acls-orders"), allows("gus", read, "topic full.%"), allows("ann", read, "group acls-group"), allows("cy", write, "txn acls-txn")}
	made = slices.DeleteFunc(made, func(c stream.ACL) bool { return slices.Contains(gone, c) })
	m.until("what was taken away to go", b.hasJust(byHand, made))
	m.stop()
	wantLines(t, m, len(gone), "deleted ACL", "full->fullB")

	// Another process knows what the one before made; and nothing has come back.
	a.revoke(allows("kim", read, "group acls-%"))
	b.revoke(allows("ann", read, "group acls-other"))
	m = startMirror(t, inFull)
	made = slices.DeleteFunc(made, func(c stream.ACL) bool { return c == allows("kim", read, "group acls-%") })
	byHand = slices.DeleteFunc(byHand, func(c stream.ACL) bool { return c == allows("ann", read, "group acls-other") })
	m.until("the rest to go", b.hasJust(byHand, made))
	m.until("the other side's to go", a.hasACLs(func(all []stream.ACL) error {
		if slices.Contains(all, back[0]) || slices.ContainsFunc(gone, func(c stream.ACL) bool { return slices.Contains(all, c) }) {
			return fmt.Errorf("the source has\n%v", all)
		}
		return nil
	}))
	m.stop()
	wantLines(t, m, 0, "created ACL")
	wantLines(t, m, 2, "deleted ACL")
	if err := b.hasJust(byHand, made)(); err != nil {
		t.Error(err)
	}
}
