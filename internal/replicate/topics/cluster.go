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

// Side is all that a Keeper asks of one of its two clusters.
type Side interface {
	Cluster
	Authorizer
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
	n, _, err := ensure(ctx, c, stream.NewTopic{Name: name, Partitions: partitions, Factor: factor,
		Configs: map[string]string{"cleanup.policy": "compact"}})
	return n, err
}

// tandemConfigs keep the start of a mirror short, which reads the topic from its beginning. A log is never compacted in its
// active segment, and with Kafka's segment.bytes of 1 GiB months of records that are replaced each second would be read; and
// at its min.cleanable.dirty.ratio of 0.5 as many again as are of use.
var tandemConfigs = map[string]string{"cleanup.policy": "compact", "segment.bytes": "4194304", "min.cleanable.dirty.ratio": "0.1"}

// EnsureTandem makes mm2-tandem.A.internal, of one partition, unless it exists. One that exists without the configs that keep
// it short gets them; what somebody has set on it stays, and so does a topic that we may not alter.
func EnsureTandem(ctx context.Context, c Cluster, name string, factor int16) error {
	_, made, err := ensure(ctx, c, stream.NewTopic{Name: name, Partitions: 1, Factor: factor, Configs: tandemConfigs})
	if err != nil || made {
		return err
	}
	described, err := c.Configs(ctx, []string{name})
	entries := described[name]
	if err != nil || entries == nil {
		return nil //nolint:nilerr // it only takes longer to read
	}
	var missing []stream.ConfigChange
	for _, e := range entries {
		if want, ours := tandemConfigs[e.Name]; ours && e.Name != "cleanup.policy" && e.Source != stream.ConfigTopic && e.Value != want {
			missing = append(missing, stream.ConfigChange{Name: e.Name, Value: want})
		}
	}
	if len(missing) > 0 {
		_, _ = c.AlterConfigs(ctx, map[string][]stream.ConfigChange{name: missing}) // as above
	}
	return nil
}

// ensure makes a topic unless it exists, and tells how many partitions it has and whether it was made now.
func ensure(ctx context.Context, c Cluster, topic stream.NewTopic) (partitions int32, made bool, err error) {
	name := topic.Name
	listed, err := c.Topics(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("look for internal topic %s: %w", name, err)
	}
	if n := partitionsOf(listed, name); n > 0 {
		return n, false, nil
	}
	answers, err := c.CreateTopics(ctx, []stream.NewTopic{topic})
	if err == nil {
		err = answers[name]
	}
	if code, _ := stream.CodeOf(err); unauthorized(err) || code == codeUnsupportedVersion {
		return topic.Partitions, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("create internal topic %s with replication factor %d: %w", name, topic.Factor, err)
	}
	if listed, err = settled(ctx, c, map[string]int32{name: 1}); err != nil {
		return 0, false, fmt.Errorf("look for internal topic %s: %w", name, err)
	}
	if n := partitionsOf(listed, name); n > 0 {
		return n, true, nil
	}
	return topic.Partitions, true, nil
}

func partitionsOf(listed []stream.Topic, name string) int32 {
	for _, t := range listed {
		if t.Name == name {
			return t.Partitions
		}
	}
	return 0
}
