package topics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// Error codes of Kafka's protocol for which there is advice.
const (
	codeInvalidTopic             stream.Code = 17
	codeUnsupportedVersion       stream.Code = 35
	codeInvalidReplicationFactor stream.Code = 38
	codeInvalidConfig            stream.Code = 40
)

// trouble names what does not work, and for which source topic; the topic is empty where it concerns all.
type trouble struct {
	what, topic string
}

// news turns what a Keeper sees into events. What goes on not working is told once, and again when it changes.
type news struct {
	flow   stream.Flow
	report stream.Report
	told   map[trouble]string // the troubles that last, as they were told
	first  bool               // the first listing has been told
}

func (n *news) tell(s stream.Severity, message string, fields ...stream.Field) {
	n.report(stream.Event{Flow: n.flow, Severity: s, Message: message, Fields: fields})
}

// trouble tells of something that does not work. What fails because we stop is no news.
func (n *news) trouble(ctx context.Context, t trouble, s stream.Severity, message string, err error, fields ...stream.Field) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		fields = append(fields, stream.F("error", err))
	}
	text := fmt.Sprint(message, fields)
	if n.told[t] == text {
		return
	}
	n.told[t] = text
	n.tell(s, message, fields...)
}

func (n *news) over(t trouble) { delete(n.told, t) }

// unread tells of the topics whose configs were asked for and not answered, if there was an error; without one they were
// deleted since they were listed.
func (n *news) unread(
	ctx context.Context, t trouble, s stream.Severity, message string,
	asked []string, got map[string][]stream.ConfigEntry, err error,
) {
	if err == nil {
		n.over(t)
		return
	}
	if unauthorized(err) {
		message += "; allow DescribeConfigs on them"
	}
	without := slices.DeleteFunc(slices.Clone(asked), func(topic string) bool { return got[topic] != nil })
	n.trouble(ctx, t, s, message, err, stream.F("topics", strings.Join(without, " ")))
}

// solved ends the troubles that the topics no longer have, whoever helped.
func (n *news) solved(now []Topic) {
	if len(missing(now)) == 0 {
		n.over(trouble{what: "create"})
		n.over(trouble{what: "create, read"})
	}
	for _, t := range now {
		if t.Remote.Partitions > 0 {
			n.over(trouble{"create", t.Source.Name})
		}
		if t.Ready {
			n.over(trouble{"widen", t.Source.Name})
		}
	}
}

const nothingMatches = `topics match nothing: no topic of the source passes "topics" and "topics.exclude"`

// matched tells how many topics there are to replicate, if none, and which are left out.
func (n *news) matched(listed int, pairs []Topic, clashes []clash) {
	nothing := trouble{what: "match"}
	if len(pairs) == 0 {
		n.trouble(context.Background(), nothing, stream.Warn,
			nothingMatches, nil, stream.F("listed", listed))
	} else {
		n.over(nothing)
	}
	clashing := map[trouble]bool{}
	for _, c := range clashes {
		t := trouble{"clash", c.topic}
		clashing[t] = true
		n.trouble(context.Background(), t, stream.Error,
			"source topic not replicated: its remote topic is that of another source topic; exclude one of them", nil,
			stream.F("topic", c.topic), stream.F("other", c.other), stream.F("remote", c.remote))
	}
	replicated := map[string]bool{"": true}
	for _, p := range pairs {
		replicated[p.Source.Name] = true
	}
	maps.DeleteFunc(n.told, func(t trouble, _ string) bool { return !clashing[t] && !replicated[t.topic] })
}

// changed tells what happened to the topics of both sides since the last refresh. listed are all that the source has, replicated or not.
func (n *news) changed(listed []stream.Topic, before, after []Topic) {
	if !n.first {
		n.first = true
		if len(after) > 0 {
			n.tell(stream.Info, "found topics to replicate", stream.F("topics", len(after)))
		}
		return
	}
	was := map[string]Topic{}
	for _, t := range before {
		was[t.Source.Name] = t
	}
	for _, t := range after {
		old, known := was[t.Source.Name]
		delete(was, t.Source.Name)
		if !known {
			n.tell(stream.Info, "found a new source topic", stream.F("topic", t.Source.Name), stream.F("partitions", t.Source.Partitions))
			continue
		}
		n.compare(old, t)
	}
	there := map[string]bool{}
	for _, t := range listed {
		there[t.Name] = true
	}
	for _, t := range before {
		if _, gone := was[t.Source.Name]; !gone {
			continue
		}
		fields := []stream.Field{stream.F("topic", t.Source.Name), stream.F("remote", t.Remote.Name)}
		if there[t.Source.Name] { // the rules have changed, or another topic has taken its remote name
			n.tell(stream.Info, "source topic no longer replicated; its remote topic stays as it is", fields...)
		} else {
			n.tell(stream.Warn, "source topic deleted; its remote topic stays as it is", fields...)
		}
	}
}

// compare tells what happened to one topic that is still replicated.
func (n *news) compare(old, now Topic) {
	fields := []stream.Field{stream.F("topic", now.Source.Name), stream.F("remote", now.Remote.Name)}
	if anew(old.Source, now.Source) {
		n.tell(stream.Warn, "source topic deleted and made anew", fields...)
	} else if old.Source.Partitions < now.Source.Partitions && old.Source.Partitions > 0 {
		n.tell(stream.Info, "source topic has more partitions", append(fields[:1:1],
			stream.F("from", old.Source.Partitions), stream.F("to", now.Source.Partitions))...)
	}
	switch {
	case old.Remote.Partitions == 0:
	case now.Remote.Partitions == 0:
		n.tell(stream.Warn, "remote topic deleted", fields...)
	case anew(old.Remote, now.Remote):
		n.tell(stream.Warn, "remote topic deleted and made anew by someone else", fields...)
	}
}

// anew says whether a topic is another one of the same name. Where ids were unknown and now are not, the brokers were
// upgraded.
func anew(old, now stream.Topic) bool {
	return old.ID != now.ID && old.ID != stream.TopicID{} && now.ID != stream.TopicID{}
}

func unauthorized(err error) bool {
	code, _ := stream.CodeOf(err)
	return code == stream.CodeTopicAuthorization || code == stream.CodeClusterAuthorization
}

// createAdvice says what to do about a remote topic that the target refuses.
func createAdvice(err error, flow stream.Flow) string {
	switch code, _ := stream.CodeOf(err); code {
	case codeInvalidReplicationFactor:
		return "set replication.factor to no more than " + flow.Target + " has brokers"
	case codeInvalidConfig:
		return "list the config in config.properties.exclude"
	case codeInvalidTopic:
		return "its name is not a valid one; exclude the topic in topics.exclude"
	case stream.CodePolicyViolation:
		return "the create.topic.policy.class.name of " + flow.Target +
			" forbids it; change replication.factor or config.properties.exclude to comply"
	case stream.CodeTopicAuthorization, stream.CodeClusterAuthorization:
		return "allow Create on it, or create it by hand"
	default:
		return "the next refresh tries again"
	}
}

// alterAdvice says what to do about configs that the target refuses.
func alterAdvice(err error) string {
	switch code, _ := stream.CodeOf(err); code {
	case codeInvalidConfig, stream.CodePolicyViolation:
		return "list the config in config.properties.exclude"
	case stream.CodeTopicAuthorization, stream.CodeClusterAuthorization:
		return "allow AlterConfigs on it"
	default:
		return "the next sync tries again"
	}
}
