package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"tandem/internal/stream"
)

func transactionOn(t *testing.T, c *kfake.Cluster, id string) *Transaction {
	t.Helper()
	txn, err := NewTransaction(clientOf(t, c.ListenAddrs()[0], nil), id, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(txn.Close)
	return txn
}

// committedIn are the values that a reader with read_committed sees.
func committedIn(t *testing.T, a *Admin, topic string) (values []string) {
	t.Helper()
	err := a.ReadAll(t.Context(), topic, true, func(r stream.Record) error {
		values = append(values, fmt.Sprintf("%s=%s", r.Key, r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func note(key, value string) []stream.Record {
	return []stream.Record{{Key: []byte(key), Value: []byte(value)}}
}

func TestTransaction(t *testing.T) {
	c, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "notes"))
	a := NewAdmin(clientOf(t, c.ListenAddrs()[0], nil))
	defer a.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	first := transactionOn(t, c, "A-mm2-MirrorSourceConnector-one")
	id, epoch, err := first.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(ctx); err != nil {
		t.Fatalf("commit nothing: %v", err)
	}
	records := slices.Concat(note("a", "1"), note("b", "2"))
	if err := first.Append(ctx, "notes", records); err != nil {
		t.Fatal(err)
	}
	if records[1].Offset != records[0].Offset+1 {
		t.Errorf("offsets %d and %d", records[0].Offset, records[1].Offset)
	}
	if got := committedIn(t, a, "notes"); len(got) != 0 {
		t.Errorf("before the commit there is %q", got)
	}
	for range 2 { // a transaction after another
		if err := first.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if err := first.Append(ctx, "notes", note("c", "3")); err != nil {
			t.Fatal(err)
		}
	}
	// Another takes the id over: what is open is aborted, and the first can do nothing more.
	second := transactionOn(t, c, first.ID())
	id2, epoch2, err := second.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if id2 != id || epoch2 <= epoch {
		t.Errorf("producer %d/%d after %d/%d", id2, epoch2, id, epoch)
	}
	if err := first.Commit(ctx); err == nil {
		t.Error("a fenced process has committed")
	}
	if err := second.Append(ctx, "notes", note("d", "4")); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := committedIn(t, a, "notes"), []string{"a=1", "b=2", "c=3", "d=4"}; !slices.Equal(got, want) {
		t.Errorf("committed %q, want %q", got, want)
	}
}

// A process whose partitions the group has given to others commits nothing.
func TestTransactionOfAMember(t *testing.T) {
	c, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "notes"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	txn := transactionOn(t, c, "A-mm2-MirrorSourceConnector-one")
	if _, _, err := txn.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	member := "one"
	txn.Guard("A-mm2", "notes", func() (string, string, int32) { return member, "", 7 })
	if err := txn.Append(ctx, "notes", note("a", "1")); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond) // a round of the group may be under way
	defer cancel()
	if err := txn.Commit(soon); err == nil {
		t.Error("committed as a member that the group does not know")
	}
	member = "two"
	if err := txn.Commit(ctx); err == nil {
		t.Error("committed as another member than at the beginning")
	}
}

// A Sender adds partitions and names the transactional id.
func TestTransactionSender(t *testing.T) {
	c, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "A.orders"))
	a := NewAdmin(clientOf(t, c.ListenAddrs()[0], nil))
	defer a.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	txn := transactionOn(t, c, "A-mm2-MirrorSourceConnector-one")
	if _, _, err := txn.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	leaders, err := txn.wire.Leaders(ctx, []string{"A.orders"})
	if err != nil {
		t.Fatal(err)
	}
	to := stream.Partition{Topic: "A.orders", Number: 1}
	s := txn.Sender(ctx, leaders[to].Broker)
	send := func(p stream.Partition, value string) error {
		r := stream.Record{Value: []byte(value)}
		txn.appending.Lock()
		raw := txn.encode(p, []*stream.Record{&r}, time.Now())
		txn.sequences[p]++
		txn.appending.Unlock()
		answer := make(chan error, 1)
		s.Send(ctx, []stream.Appending{{Remote: p, Batch: raw}}, func(all []stream.Appended, err error) {
			if err == nil {
				err = all[0].Err
			}
			answer <- err
		})
		return <-answer
	}
	for _, value := range []string{"1", "2"} {
		if err := send(to, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(stream.Partition{Topic: "gone"}, "3"); err == nil {
		t.Error("sent to a topic that is not there")
	}
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := committedIn(t, a, "A.orders"), []string{"=1", "=2"}; !slices.Equal(got, want) {
		t.Errorf("committed %q, want %q", got, want)
	}
}
