package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestFlowsThatKeepNames(t *testing.T) {
	const identity = "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n"
	for _, c := range []struct {
		name, text string
		twoWay     string // flows
		refused    string
	}{
		{"one way", identity + "A->B.enabled = true\n", "", ""},
		{"both ways", identity + "A->B.enabled = true\nB->A.enabled = true\n", "A->B B->A", ""},
		{"both ways with prefixes", "A->B.enabled = true\nB->A.enabled = true\n", "", ""},
		{"one of them with prefixes", identity + "B->A.replication.policy.class = org.apache.kafka.connect.mirror.DefaultReplicationPolicy\nA->B.enabled = true\nB->A.enabled = true\n", "", ""},
		{"a chain of pairs", identity + "A->B.enabled = true\nB->A.enabled = true\nB->C.enabled = true\nC->B.enabled = true\n", "A->B B->A B->C C->B", ""},
		{"a circle", identity + "A->B.enabled = true\nB->C.enabled = true\nC->A.enabled = true\n", "", "the flows A->B->C->A keep topic names and lead in a circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "clusters = A, B, C\nemit.heartbeats.enabled = false\n" + c.text
			for i, alias := range []string{"A", "B", "C"} {
				text += fmt.Sprintf("%s.bootstrap.servers = 127.0.0.1:%d\n", alias, 9092+i)
			}
			conf, err := read("mm2.properties", []byte(text), nil)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("got %v, want %q in it", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var both []string
			for _, f := range conf.Flows {
				if f.TwoWay {
					both = append(both, f.Flow.String())
				}
			}
			if got := strings.Join(both, " "); got != c.twoWay {
				t.Errorf("both ways: %q, want %q", got, c.twoWay)
			}
		})
	}
}
