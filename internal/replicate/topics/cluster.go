package topics

import (
	"context"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// Cluster is one side's administration. Its methods may be called concurrently.
type Cluster interface {
	// Topics lists every topic of the cluster with its partitions, or fails: a topic that is left out counts as deleted.
	Topics(ctx context.Context) ([]stream.Topic, error)
	// Configs tells all configs of topics, defaults included. A topic that does not exist is left out. Where others cannot
	// be described the error says why, beside the answers for the rest.
	Configs(ctx context.Context, topics []string) (map[string][]stream.ConfigEntry, error)
	// CreateTopics tells, by name, what the cluster answered; nil means that the topic exists, created now or before. With
	// an error, topics may be left without an answer.
	CreateTopics(ctx context.Context, topics []stream.NewTopic) (map[string]error, error)
	// CreatePartitions raises the number of partitions of a topic to total; one that has as many stays as it is.
	CreatePartitions(ctx context.Context, topic string, total int32) error
	// AlterConfigs changes configs incrementally, all changes of a topic or none, and tells, by topic, what the cluster
	// answered. With an error, topics may be left without an answer.
	AlterConfigs(ctx context.Context, changes map[string][]stream.ConfigChange) (map[string]error, error)
}

// A broker knows a new topic, or new partitions, only some moments after the controller made them.
const (
	settlePause = 50 * time.Millisecond // before the second look, then doubled
	settleLimit = 5 * time.Second
)

// settled lists the topics of a cluster, again and again until the wanted ones are there with their partitions; after
// settleLimit it returns what it last saw.
func settled(ctx context.Context, c Cluster, want map[string]int32) ([]stream.Topic, error) {
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	for pause := settlePause; ; pause *= 2 {
		listed, err := c.Topics(ctx)
		if err != nil || satisfied(listed, want) {
			return listed, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			return listed, nil
		case <-time.After(pause):
		}
	}
}

// EnsureCompacted makes an internal topic unless it exists, and tells how many partitions it has: an existing topic may
// have others than asked for. Where the cluster does not let us create it, the topic is taken to exist, as MM2 does:
// whoever withholds the permission makes the topics beforehand.
func EnsureCompacted(ctx context.Context, c Cluster, name string, partitions int32, factor int16) (int32, error) {
	listed, err := c.Topics(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for internal topic %s: %w", name, err)
	}
	if n := partitionsOf(listed, name); n > 0 {
		return n, nil
	}
	answers, err := c.CreateTopics(ctx, []stream.NewTopic{{Name: name, Partitions: partitions, Factor: factor,
		Configs: map[string]string{"cleanup.policy": "compact"}}})
	if err == nil {
		err = answers[name]
	}
	if code, _ := stream.CodeOf(err); unauthorized(err) || code == codeUnsupportedVersion {
		return partitions, nil
	}
	if err != nil {
		return 0, fmt.Errorf("create internal topic %s with replication factor %d: %w", name, factor, err)
	}
	if listed, err = settled(ctx, c, map[string]int32{name: 1}); err != nil {
		return 0, fmt.Errorf("look for internal topic %s: %w", name, err)
	}
	if n := partitionsOf(listed, name); n > 0 {
		return n, nil
	}
	return partitions, nil
}

func partitionsOf(listed []stream.Topic, name string) int32 {
	for _, t := range listed {
		if t.Name == name {
			return t.Partitions
		}
	}
	return 0
}
