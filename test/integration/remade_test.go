package integration

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A remote topic that somebody deletes is made again, and what is written from then on arrives.
func TestRemoteTopicDeleted(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "deleted-numbers", "deleted.deleted-numbers"
	a.create(topic, 2, 1, nil)
	m := startMirror(t, fmt.Sprintf(gapsProperties, "deleted", a.Bootstrap, b.Bootstrap))
	a.write(topic, numbered(100))
	m.until("the records", b.holds(remote, 100))
	b.delete(remote)
	m.waitFor(`"level":"warn"`, "remote topic deleted")
	m.until("the new remote topic", hasPartitions(b, remote, 2))
	m.until("an empty topic", b.holds(remote, 0))
	a.write(topic, numberedFrom(100, 100))
	m.until("later records", b.holds(remote, 100))
	m.stop()
	if first := string(b.read(remote)[0][0].Value); first != "100" {
		t.Errorf("the first record is %s, want 100", first)
	}
}

func (s side) delete(name string) {
	s.t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.Topics, request.TopicNames = append(request.Topics, topic), []string{name}
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("delete topic %s: %v", name, err)
	}
}

// A source topic that is deleted and made anew is another topic: it is replicated from its start, behind what the
// remote topic has of the old one.
func TestSourceTopicMadeAnew(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "anew-numbers", "anew.anew-numbers"
	a.create(topic, 1, 1, nil)
	properties := fmt.Sprintf(gapsProperties, "anew", a.Bootstrap, b.Bootstrap) + "topic.recreated = follow\n"
	m := startMirror(t, properties)
	a.write(topic, numbered(100))
	m.until("the records", b.holds(remote, 100))
	a.delete(topic)
	eventually(t, "the topic to go", func() error {
		if _, err := a.describe(topic); err == nil {
			return fmt.Errorf("still there")
		}
		return nil
	})
	a.create(topic, 1, 1, nil)
	a.write(topic, numberedFrom(100, 50))
	m.until("the records of the new topic", b.holds(remote, 150))
	m.stop()

	a.write(topic, numberedFrom(150, 50))
	m = startMirror(t, properties)
	m.until("later records", b.holds(remote, 200))
	m.stop()
	if got := count(b.read(remote), []int64{200}); got != (tally{records: 200}) {
		t.Errorf("%+v", got)
	}
}
