package kafka

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

func TestReadPlace(t *testing.T) {
	fake, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "t"))
	w, err := NewWire(clientOf(t, strings.Join(fake.ListenAddrs(), ","), nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	ctx := within(t, 30*time.Second)
	produce := func(values ...string) {
		t.Helper()
		cl, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("t"))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for _, v := range values {
			if err := cl.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produce("a", "b", "c")
	place := stream.Place{
		Partition: stream.Partition{Topic: "t"}, Topic: fake.TopicInfo("t").TopicID, Epoch: -1, LastEpoch: -1, MaxBytes: 1 << 20,
	}
	at := func(offset stream.Upstream) stream.Place {
		p := place
		p.Offset = offset
		return p
	}
	ends := func(f stream.Fetched) (last int64) {
		last = -1
		for rest := f.Records; len(rest) > 0; {
			v, more, err := batch.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			last, rest = v.LastOffset(), more
		}
		return last
	}
	var asked atomic.Int64
	fake.ControlKey(kmsg.Metadata.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked.Add(1)
		return nil, nil, false
	})
	read := func(p stream.Place) (stream.Fetched, error) {
		t.Helper()
		return w.ReadPlace(ctx, p, false)
	}
	if f, err := read(at(1)); err != nil || ends(f) != 2 {
		t.Errorf("at 1: up to %d, %v", ends(f), err)
	}
	began := asked.Load()
	if f, err := read(at(3)); err != nil || len(f.Records) != 0 {
		t.Errorf("at the end: %d bytes, %v", len(f.Records), err)
	}
	if _, err := read(at(4)); !hasCode(err, stream.CodeOffsetOutOfRange) {
		t.Errorf("behind the end: %v", err)
	}
	if more := asked.Load() - began; more != 0 {
		t.Errorf("leaders were asked for %d times more", more)
	}
	if err := fake.MoveTopicPartition("t", 0, 1-fake.LeaderFor("t", 0)); err != nil {
		t.Fatal(err)
	}
	if f, err := read(at(0)); err != nil || ends(f) != 2 {
		t.Errorf("after the leader moved: up to %d, %v", ends(f), err)
	}
	other := at(0)
	other.Topic = stream.TopicID{1}
	if _, err := read(other); !hasCode(err, stream.CodeUnknownTopicID) {
		t.Errorf("of another topic of that name: %v", err)
	}
	other = at(0)
	other.Partition.Number = 7
	if _, err := read(other); !hasCode(err, stream.CodeLeaderNotAvailable) {
		t.Errorf("of a partition that is not there: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.ReadPlace(ended, at(0), false); err == nil {
		t.Error("it was read after the end")
	}
}

func hasCode(err error, want stream.Code) bool {
	code, ok := stream.CodeOf(err)
	return ok && code == want
}

func TestACLs(t *testing.T) {
	deny := kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "t", Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: kmsg.ACLOperationWrite, Host: "10.0.0.1"}
	allow := kfake.ACL{Resource: kmsg.ACLResourceTypeGroup, Name: "g", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true}
	fake, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.User("PLAIN", "u", "p", allow, deny), kfake.Superuser("PLAIN", "admin", "secret"), kfake.EnableSASL(), kfake.EnableACLs())
	a := adminOf(t, strings.Join(fake.ListenAddrs(), ","), map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
		"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="secret";`,
	})
	want := []stream.ACL{
		{ResourceType: 2, PatternType: 4, Resource: "t", Principal: "User:u", Host: "10.0.0.1", Operation: 4, Permission: 2},
		{ResourceType: 3, PatternType: 3, Resource: "g", Principal: "User:u", Host: "*", Operation: 3, Permission: 3},
	}
	got, kept, err := a.ACLs(within(t, 10*time.Second))
	if err != nil || !kept || !slices.Equal(got, want) {
		t.Errorf("%v, kept %v, %v; want %v", got, kept, err, want)
	}
}

// A cluster without an authorizer says SECURITY_DISABLED.
func TestACLsOfAnOpenCluster(t *testing.T) {
	fake, _ := fakeCluster(t, kfake.NumBrokers(1))
	code := int16(54)
	fake.ControlKey(kmsg.DescribeACLs.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeACLsResponse)
		resp.ErrorCode = code
		return resp, nil, true
	})
	a := adminOf(t, strings.Join(fake.ListenAddrs(), ","), nil)
	if got, kept, err := a.ACLs(within(t, 10*time.Second)); err != nil || kept || len(got) != 0 {
		t.Errorf("%v, kept %v, %v", got, kept, err)
	}
	code = 31 // CLUSTER_AUTHORIZATION_FAILED
	if _, _, err := a.ACLs(within(t, 10*time.Second)); !hasCode(err, stream.CodeClusterAuthorization) {
		t.Errorf("we may not: %v", err)
	}
}
