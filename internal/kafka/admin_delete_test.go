package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

func TestDeleteTopics(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a", "b", "kept"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	results, err := a.DeleteTopics(t.Context(), []string{"a", "b", "never-was"})
	if err != nil || len(results) != 3 || results["a"] != nil || results["b"] != nil || results["never-was"] != nil {
		t.Fatalf("%v, %v", results, err)
	}
	left, err := a.Topics(t.Context())
	if err != nil || len(left) != 1 || left[0].Name != "kept" {
		t.Fatalf("%v, %v", left, err)
	}
	cluster.ControlKey(kmsg.DeleteTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
		topic := kmsg.NewDeleteTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = kmsg.StringPtr("kept"), kerr.TopicAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	results, err = a.DeleteTopics(t.Context(), []string{"kept"})
	if code, ok := stream.CodeOf(results["kept"]); err != nil || !ok || code != stream.CodeTopicAuthorization {
		t.Fatalf("%v, %v", results, err)
	}
}
