package policy

import (
	"fmt"
	"strings"
)

// The classes of replication policies that exist here, as replication.policy.class names them.
const (
	DefaultClass  = "org.apache.kafka.connect.mirror.DefaultReplicationPolicy"
	IdentityClass = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"
)

const (
	defaultSeparator  = "."
	heartbeatsTopic   = "heartbeats"
	internalSuffix    = "internal"
	checkpointsMiddle = "checkpoints"
)

// Policy names remote and internal topics. The zero value is not useful: use New.
type Policy struct {
	identity  bool
	separator string
	internal  string // the internal separator
	source    string // source.cluster.alias; only the identity policy asks for it
	before40  bool   // internal topics are those of 3.9
}

// New makes the policy of replication.policy.class. An empty separator stands for the default; internalSeparator is
// replication.policy.internal.topic.separator.enabled.
func New(class, separator string, internalSeparator bool, sourceAlias string) (Policy, error) {
	p := Policy{separator: separator, internal: defaultSeparator, source: sourceAlias}
	if separator == "" {
		p.separator = defaultSeparator
	}
	if internalSeparator {
		p.internal = p.separator
	}
	switch class {
	case DefaultClass:
	case IdentityClass:
		p.identity = true
	default:
		return Policy{}, fmt.Errorf("use replication policy %q: only %s and %s are available", class, DefaultClass, IdentityClass)
	}
	return p, nil
}

// Before40 is the same policy with the internal topics of MM2 up to 3.9: all that end in .internal or -internal. Since 4.0 (KIP-1074)
// users' topics may have such names.
func (p Policy) Before40() Policy {
	p.before40 = true
	return p
}

// RemoteTopic is the name on the target of a topic of the source.
func (p Policy) RemoteTopic(source, topic string) string {
	if p.identity && !looksLikeHeartbeats(topic) {
		return topic
	}
	return source + p.separator + topic
}

// TopicSource is the alias that a remote topic carries; false where it carries none.
func (p Policy) TopicSource(topic string) (string, bool) {
	if p.identity && !looksLikeHeartbeats(topic) {
		return p.source, p.source != ""
	}
	return p.prefix(topic)
}

// UpstreamTopic is the name of a remote topic on the cluster it was copied from; false where it is no copy.
func (p Policy) UpstreamTopic(topic string) (string, bool) {
	if p.identity && !looksLikeHeartbeats(topic) {
		return topic, true
	}
	source, ok := p.prefix(topic)
	if !ok {
		return "", false
	}
	return topic[len(source)+len(p.separator):], true
}

// OriginalTopic is the name of a topic where it was first written.
func (p Policy) OriginalTopic(topic string) string {
	for {
		upstream, ok := p.UpstreamTopic(topic)
		if !ok || upstream == topic {
			return topic
		}
		topic = upstream
	}
}

// Cycle says whether a topic has passed through the target before, at any hop, so that sending it there would close a
// loop. A local topic whose first component happens to be the target's alias counts as well, as in MM2.
func (p Policy) Cycle(topic, target string) bool {
	for {
		source, ok := p.TopicSource(topic)
		if !ok {
			return false
		}
		if source == target {
			return true
		}
		upstream, ok := p.UpstreamTopic(topic)
		if !ok || upstream == topic {
			return false
		}
		topic = upstream
	}
}

// IsHeartbeatsTopic is true for heartbeats and for every copy of it.
func (p Policy) IsHeartbeatsTopic(topic string) bool {
	return p.OriginalTopic(topic) == heartbeatsTopic
}

// IsCheckpointsTopic is true for topics named as CheckpointsTopic names them, with any alias.
func (p Policy) IsCheckpointsTopic(topic string) bool {
	return strings.HasSuffix(topic, p.internal+checkpointsMiddle+p.internal+internalSuffix)
}

// IsMM2InternalTopic is true for topics that MM2 keeps its own state in.
func (p Policy) IsMM2InternalTopic(topic string) bool {
	if p.before40 {
		return strings.HasSuffix(topic, p.internal+internalSuffix)
	}
	return strings.HasPrefix(topic, "mm2") && strings.HasSuffix(topic, p.internal+internalSuffix) || p.IsCheckpointsTopic(topic)
}

// IsInternalTopic is true for topics that are never replicated: MM2's own, Kafka's and hidden ones.
func (p Policy) IsInternalTopic(topic string) bool {
	if p.before40 && (strings.HasSuffix(topic, "-"+internalSuffix) || strings.HasSuffix(topic, "."+internalSuffix)) {
		return true
	}
	return p.IsMM2InternalTopic(topic) || strings.HasPrefix(topic, "__") || strings.HasPrefix(topic, ".")
}

// OffsetSyncsTopic is the topic of offset syncs; alias names the cluster at the other end of the flow.
func (p Policy) OffsetSyncsTopic(alias string) string {
	return "mm2-offset-syncs" + p.internal + alias + p.internal + internalSuffix
}

// CheckpointsTopic is the topic on the target that holds the checkpoints of the groups of alias.
func (p Policy) CheckpointsTopic(alias string) string {
	return alias + p.internal + checkpointsMiddle + p.internal + internalSuffix
}

// HeartbeatsTopic is the topic that heartbeats are emitted to. No separator changes it.
func (p Policy) HeartbeatsTopic() string { return heartbeatsTopic }

// prefix is what stands before the first separator. Like Java's split it takes trailing separators for nothing, so "A."
// has no prefix, while ".x" has an empty one.
func (p Policy) prefix(topic string) (string, bool) {
	pieces := strings.Split(topic, p.separator)
	for len(pieces) > 0 && pieces[len(pieces)-1] == "" {
		pieces = pieces[:len(pieces)-1]
	}
	if len(pieces) < 2 {
		return "", false
	}
	return pieces[0], true
}

// looksLikeHeartbeats is the identity policy's test: a suffix is enough, so my-heartbeats gets a prefix too.
func looksLikeHeartbeats(topic string) bool { return strings.HasSuffix(topic, heartbeatsTopic) }
