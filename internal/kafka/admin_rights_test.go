package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"tandem/internal/stream"
)

func TestOperationsOf(t *testing.T) {
	for bits, want := range map[int32][]string{
		-2147483648:               nil, // not told
		0:                         nil,
		1<<3 | 1<<8:               {"Read", "Describe"},
		1 << 12:                   {"IdempotentWrite"},
		1<<10 | 1<<11 | 1<<30 | 1: {"DescribeConfigs", "AlterConfigs"},
	} {
		if got := operationsOf(bits); !slices.Equal(got, want) {
			t.Errorf("%b: %q, want %q", bits, got, want)
		}
	}
}

// A cluster where everybody may do everything says so, of what is there and what is not, and nothing is made by the questions.
func TestRightsAreAskedWithoutTrace(t *testing.T) {
	c, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "orders"))
	a := NewAdmin(clientOf(t, c.ListenAddrs()[0], nil))
	defer a.Close()
	look, err := a.Look(t.Context())
	if err != nil || look.ID == "" || look.Via == "" || len(look.Brokers) != 2 || look.Brokers[0].Version == "" || look.Brokers[1].Err != nil {
		t.Errorf("%+v, %v", look, err)
	}
	if _, _, known, err := a.Clock(t.Context()); known || err != nil {
		t.Errorf("a cluster that cannot tell the time: known %t, %v", known, err)
	}
	rights, err := a.TopicRights(t.Context(), []string{"orders", "nothing"})
	if err != nil || !rights["orders"].Exists || rights["nothing"].Exists || rights["nothing"].Hidden {
		t.Errorf("%+v, %v", rights, err)
	}
	groups, err := a.GroupRights(t.Context(), []string{"nobody"})
	if err != nil || !slices.Equal(groups["nobody"], []string{"Describe", "Read"}) {
		t.Errorf("%q, %v", groups, err)
	}
	ids, err := a.TransactionRights(t.Context(), []string{"nobody"})
	if err != nil || !slices.Equal(ids["nobody"], []string{"Describe", "Write"}) {
		t.Errorf("%q, %v", ids, err)
	}
	if protocol, members, err := a.GroupProtocol(t.Context(), "nobody"); protocol != "" || members != nil || err != nil {
		t.Errorf("%q, %q, %v", protocol, members, err)
	}
	if names, err := a.Transactional(t.Context(), []stream.Topic{{Name: "orders", Partitions: 2}}); len(names) > 0 || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	topics, err := a.Topics(t.Context())
	if err != nil || len(topics) != 1 {
		t.Errorf("%+v, %v", topics, err)
	}
}

func TestPrincipal(t *testing.T) {
	for want, props := range map[string]map[string]string{
		"User:ANONYMOUS": nil,
		"User:mirror": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
			"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="mirror" password="x";`},
	} {
		if got := clientOf(t, "localhost:9092", props).Principal(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
