package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/testkit/realkafka"
)

const shipped = "config/mm2.properties"

// moveGroups does what docs/failover.md tells a person to do at 3 a.m. Its primary dies.
func moveGroups(t *testing.T, r *reader) {
	r.primary, r.backup = realkafka.Start(t, realkafka.Options{}), realkafka.Start(t, realkafka.Options{})
	file := r.properties(t, "")
	create(t, r.primary, "orders", "delete")
	write(t, r.primary, "orders", numbered(1000)...)
	m := r.start(t, "bin/mirror "+file)
	first(t, r.backup, "primary.orders", 1000)
	commit(t, r.primary, "billing", "orders", 637)
	commit(t, r.primary, "audit", "orders", 1000)
	m.until("the groups to be known on backup", func() error {
		if out := r.sh(t, "bin/failover status --json "+file); !strings.Contains(out, `"exact": 1`) || !strings.Contains(out, `"lag": 0,`) {
			return errors.New(out)
		}
		return nil
	})
	says(t, r.sh(t, r.follow(t, "bin/failover status config/mm2.properties", shipped, file)), "no failover is in force", "lag: 0 records")

	// A planned switch, and back to where it was.
	says(t, r.sh(t, r.follow(t, "bin/failover plan config/mm2.properties --from primary --to backup --out plan.json", shipped, file)),
		"2 groups, 2 positions: 2 exact", "next: failover apply plan.json")
	says(t, r.sh(t, r.follow(t, "bin/failover apply plan.json --dry-run")), "can be applied")
	says(t, r.sh(t, r.follow(t, "bin/failover apply plan.json")), "2 groups changed on backup and read back", "next: start the consumers and producers on backup")
	stands(t, r.backup, "billing", "primary.orders", 637)
	says(t, r.sh(t, r.follow(t, "bin/failover undo plan.json")), "2 groups changed on backup and read back")
	stands(t, r.backup, "billing", "primary.orders", -1)

	// The primary is lost. Groups are known as of the last round of checkpoints.
	m.until("what is known of the groups", func() error {
		if out := r.kafka(t, "kafka-console-consumer.sh --bootstrap-server "+r.backup.Direct+" --topic primary.checkpoints.internal --from-beginning --timeout-ms 2000 --formatter-property print.key=true"); !strings.Contains(out, "billing") || !strings.Contains(out, "audit") {
			return errors.New("no checkpoint yet")
		}
		return nil
	})
	r.primary.Kill(0)
	lost := r.follow(t, "bin/failover plan config/mm2.properties --from primary --to backup --mode disaster --out lost.json", shipped, file)
	says(t, r.fails(t, 1, strings.Replace(lost, "--mode disaster --out lost.json", "", 1)), "plan again with --mode disaster")
	says(t, r.sh(t, lost), "primary: DOES NOT ANSWER", "2 groups, 2 positions: 2 exact", "lost, as far as was seen: 0 records")
	says(t, r.sh(t, r.follow(t, "bin/failover apply lost.json")), "2 groups changed on backup and read back")
	stands(t, r.backup, "audit", "primary.orders", 1000)
	var status struct {
		Flows []struct {
			InForce []struct{ Plan string } `json:"in_force"`
		}
	}
	if err := json.Unmarshal([]byte(r.sh(t, r.follow(t, "bin/failover status config/mm2.properties --json", shipped, file))), &status); err != nil || len(status.Flows[0].InForce) != 1 {
		t.Fatalf("status: %v %+v", err, status)
	}
	says(t, r.sh(t, r.follow(t, "bin/failover undo --plan 20261120T020000Z-1a2b3c4d config/mm2.properties", shipped, file, "20261120T020000Z-1a2b3c4d", status.Flows[0].InForce[0].Plan)),
		"2 groups changed on backup and read back")
	r.sh(t, strings.Replace(lost, "lost.json", "again.json", 1))
	says(t, r.sh(t, r.follow(t, "bin/failover apply plan.json --json", "plan.json", "again.json")), `"did": "applied"`, `"changed": 2`)

	// It answers again, with an order that nobody else has; backup's consumers have gone on.
	commit(t, r.backup, "billing", "primary.orders", 940)
	m.stop()
	if err := r.primary.Restart(0); err != nil {
		t.Fatal(err)
	}
	write(t, r.primary, "orders", numbered(3)...)
	m = r.start(t, "bin/mirror "+file)
	m.until("the failover to be told", func() error { return m.logged("groups have failed over to backup") })
	says(t, r.sh(t, r.follow(t, "bin/failover back plan config/mm2.properties --from backup --to primary --out back.json", shipped, file)),
		"only on primary, never on backup", "orders/0   1000 to 1002  3", "2 groups, 2 positions: 2 exact", "next: failover back apply back.json")
	says(t, r.sh(t, r.follow(t, "bin/failover back apply back.json")), "1 groups changed on primary and read back, 1 were there already, 0 failed")
	stands(t, r.primary, "billing", "orders", 940)
	m.until("all to be copied again", func() error { return m.logged("no failover is in force any more") })
	first(t, r.backup, "primary.orders", 1003)
	m.stop()
}

func says(t *testing.T, out string, wanted ...string) {
	t.Helper()
	t.Log(out)
	for _, w := range wanted {
		if !strings.Contains(out, w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

// fails runs a command in the copy and wants another exit status than 0.
func (r *reader) fails(t *testing.T, status int, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if ended := (&exec.ExitError{}); !errors.As(err, &ended) || ended.ExitCode() != status {
		t.Fatalf("%s: %v, want exit status %d\n%s", line, err, status, out)
	}
	return string(out)
}

func (m *mirror) logged(text string) error {
	if tail := m.LogTail(100); !strings.Contains(tail, text) {
		return fmt.Errorf("the log of mirror does not say %q", text)
	}
	return nil
}

func numbered(n int) (list []*kgo.Record) {
	for i := range n {
		list = append(list, &kgo.Record{Value: fmt.Appendf(nil, "order %d", i)})
	}
	return list
}

// commit is what a consumer of the group would do before it ends.
func commit(t *testing.T, c *realkafka.Cluster, group, topic string, offset int64) {
	t.Helper()
	request, of, at := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	at.Offset = offset
	of.Topic, of.Partitions = topic, append(of.Partitions, at)
	request.Group, request.Generation, request.Topics = group, -1, append(request.Topics, of)
	ask(t, c, func(ctx context.Context, client *kgo.Client) error {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	})
}

// stands looks where a group would go on; -1 is nowhere.
func stands(t *testing.T, c *realkafka.Cluster, group, topic string, want int64) {
	t.Helper()
	request, of, in := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroupTopic()
	in.Topic, in.Partitions = topic, []int32{0}
	of.Group, of.Topics = group, append(of.Topics, in)
	request.Groups = append(request.Groups, of)
	ask(t, c, func(ctx context.Context, client *kgo.Client) error {
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(response.Groups[0].ErrorCode)
		}
		if err != nil {
			return err
		}
		if got := response.Groups[0].Topics[0].Partitions[0].Offset; got != want {
			t.Errorf("%s stands at %d of %s, want %d", group, got, topic, want)
		}
		return nil
	})
}

func ask(t *testing.T, c *realkafka.Cluster, request func(context.Context, *kgo.Client) error) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct), kgo.MaxVersions(kversion.V4_0_0())) // later ones name topics by id
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := request(ctx, client); err != nil {
		t.Fatal(err)
	}
}
