package kafka

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

func reading(user, topic string) stream.ACL {
	return stream.ACL{ResourceType: stream.ResourceTopic, PatternType: stream.PatternLiteral, Resource: topic, Principal: "User:" + user, Host: "*",
		Operation: stream.OperationRead, Permission: stream.PermissionAllow}
}

// guarded is a cluster with an authorizer, as its super user sees it.
func guarded(t *testing.T) (*kfake.Cluster, *Admin) {
	t.Helper()
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", secret), kfake.User("PLAIN", "alice", secret))
	return cluster, as(t, cluster, "admin")
}

func as(t *testing.T, cluster *kfake.Cluster, user string) *Admin {
	t.Helper()
	return adminOf(t, cluster.ListenAddrs()[0], map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": jaas(plainModule, user, secret),
	})
}

func wantACLs(t *testing.T, a *Admin, want ...stream.ACL) {
	t.Helper()
	got, kept, err := a.ACLs(within(t, 10*time.Second))
	if err != nil || !kept || !slices.Equal(got, want) {
		t.Errorf("ACLs: %v, %v, %v, want %v", got, kept, err, want)
	}
}

func TestACLsAreAddedAndDeletedOneByOne(t *testing.T) {
	_, a := guarded(t)
	ctx := within(t, 20*time.Second)
	wantACLs(t, a)
	one, two, three := reading("alice", "orders"), reading("alice", "orders"), reading("bob", "orders")
	two.PatternType = stream.PatternPrefixed
	for range 2 { // what is there already is fine
		answers, err := a.AddACLs(ctx, []stream.ACL{three, one, two})
		if err != nil || len(answers) != 3 || answers[one] != nil || answers[two] != nil || answers[three] != nil {
			t.Fatalf("add: %v, %v", answers, err)
		}
	}
	wantACLs(t, a, one, three, two)
	for range 2 { // what is gone already as well
		answers, err := a.DeleteACLs(ctx, []stream.ACL{one})
		if err != nil || len(answers) != 1 || answers[one] != nil {
			t.Fatalf("delete: %v, %v", answers, err)
		}
	}
	wantACLs(t, a, three, two)
}

// A filter with a word for "any" in it would delete what was not meant.
func TestNoDeletionMatchesMoreThanOneBinding(t *testing.T) {
	_, a := guarded(t)
	ctx := within(t, 20*time.Second)
	kept := reading("alice", "orders")
	if _, err := a.AddACLs(ctx, []stream.ACL{kept}); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*stream.ACL){
		"any resource type": func(b *stream.ACL) { b.ResourceType = 1 }, "any operation": func(b *stream.ACL) { b.Operation = 1 },
		"any permission": func(b *stream.ACL) { b.Permission = 1 }, "any pattern": func(b *stream.ACL) { b.PatternType = 1 },
		"matching patterns": func(b *stream.ACL) { b.PatternType = 2 }, "no resource": func(b *stream.ACL) { b.Resource = "" },
		"no principal": func(b *stream.ACL) { b.Principal = "" }, "no host": func(b *stream.ACL) { b.Host = "" },
		"unknown numbers": func(b *stream.ACL) { b.ResourceType, b.Operation = 0, -1 },
	} {
		b := kept
		change(&b)
		if answers, err := a.DeleteACLs(ctx, []stream.ACL{b}); err != nil || !errors.Is(answers[b], errNotOneBinding) {
			t.Errorf("%s: %v, %v", what, answers, err)
		}
	}
	wantACLs(t, a, kept)
}

func TestManyACLs(t *testing.T) {
	cluster, a := guarded(t)
	asked := countRequests(cluster)
	var many []stream.ACL
	for i := range 2*aclsPerRequest + 1 {
		many = append(many, reading("alice", fmt.Sprintf("topic-%04d", i)))
	}
	ctx := within(t, 20*time.Second)
	answers, err := a.AddACLs(ctx, many)
	if err != nil || len(answers) != len(many) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	wantACLs(t, a, many...)
	if answers, err = a.DeleteACLs(ctx, many); err != nil || len(answers) != len(many) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	wantACLs(t, a)
	for _, key := range []kmsg.Key{kmsg.CreateACLs, kmsg.DeleteACLs} {
		if n := asked.of(key); n != 3 {
			t.Errorf("%d requests of %s, want 3", n, key.Name())
		}
	}
}

func TestACLsThatAreRefused(t *testing.T) {
	cluster, admin := guarded(t)
	poor := as(t, cluster, "alice")
	ctx := within(t, 20*time.Second)
	b := reading("alice", "orders")
	if _, _, err := poor.ACLs(ctx); Classify(err) != Authorization {
		t.Errorf("list: %v", err)
	}
	if answers, err := poor.AddACLs(ctx, []stream.ACL{b}); err == nil && Classify(answers[b]) != Authorization {
		t.Errorf("add: %v, %v", answers, err)
	}
	if answers, err := poor.DeleteACLs(ctx, []stream.ACL{b}); err == nil && Classify(answers[b]) != Authorization {
		t.Errorf("delete: %v, %v", answers, err)
	}
	wantACLs(t, admin)
}

func TestClusterWithoutAuthorizer(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1))
	cluster.ControlKey(kmsg.DescribeACLs.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeACLsResponse)
		resp.ErrorCode = kerr.SecurityDisabled.Code
		return resp, nil, true
	})
	bindings, kept, err := adminOf(t, cluster.ListenAddrs()[0], nil).ACLs(within(t, 10*time.Second))
	if err != nil || kept || len(bindings) != 0 {
		t.Errorf("%v, %v, %v", bindings, kept, err)
	}
}
