package topics

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tandem/internal/stream"
)

// Plan is what the target lacks: what Refresh, SyncConfigs and SyncACLs would change if they ran now. Its lists are in the
// order of the remote topics' names, and never nil.
type Plan struct {
	Create     []PlannedTopic   `json:"createTopics"`
	Widen      []PlannedWidth   `json:"widenTopics"`
	Configs    []PlannedConfigs `json:"alterConfigs"`
	CreateACLs []PlannedACL     `json:"createACLs"`
	DeleteACLs []PlannedACL     `json:"deleteACLs"` // done at the second sync in a row that does not find them at the source
	Obstacles  []Obstacle       `json:"obstacles"`
}

// PlannedTopic is a remote topic that does not exist yet.
type PlannedTopic struct {
	Source     string          `json:"source"`
	Topic      string          `json:"topic"`
	Partitions int32           `json:"partitions"`
	Factor     int16           `json:"replicationFactor"` // -1: the target's default
	Configs    []PlannedConfig `json:"configs"`
}

// PlannedWidth is a remote topic that has fewer partitions than its source.
type PlannedWidth struct {
	Source string `json:"source"`
	Topic  string `json:"topic"`
	From   int32  `json:"from"`
	To     int32  `json:"to"`
}

// PlannedConfigs are the configs of a remote topic that differ.
type PlannedConfigs struct {
	Source  string          `json:"source"`
	Topic   string          `json:"topic"`
	Changes []PlannedConfig `json:"changes"`
}

// PlannedConfig is one config: From is in effect now, empty for a topic that does not exist. With Reset it goes back to what
// the target's brokers have, and To is empty.
type PlannedConfig struct {
	Name  string `json:"name"`
	From  string `json:"from"`
	To    string `json:"to"`
	Reset bool   `json:"reset"`
}

// PlannedACL is a binding in Kafka's words.
type PlannedACL struct {
	ResourceType string `json:"resourceType"`
	PatternType  string `json:"patternType"`
	Resource     string `json:"resource"`
	Principal    string `json:"principal"`
	Host         string `json:"host"`
	Operation    string `json:"operation"`
	Permission   string `json:"permission"`
}

// Obstacle is something that is left undone, or undecided, and why.
type Obstacle struct {
	Source string `json:"source"` // topic of the source; empty where it concerns all
	Topic  string `json:"topic"`  // its remote topic
	Reason string `json:"reason"` // and what to do
	Error  string `json:"error"`  // as the cluster said it; empty where none was asked
}

// Plan compares the clusters and changes nothing. It fails when one cannot be asked at all.
func (k *Keeper) Plan(ctx context.Context) (Plan, error) {
	v := preview{keeper: k, plan: Plan{
		Create: []PlannedTopic{}, Widen: []PlannedWidth{}, Configs: []PlannedConfigs{},
		CreateACLs: []PlannedACL{}, DeleteACLs: []PlannedACL{}, Obstacles: []Obstacle{},
	}}
	source, err := k.source.Topics(ctx)
	if err != nil {
		return v.plan, fmt.Errorf("list topics of %s: %w", k.flow.Source, err)
	}
	target, err := k.target.Topics(ctx)
	if err != nil {
		return v.plan, fmt.Errorf("list topics of %s: %w", k.flow.Target, err)
	}
	pairs, clashes := pair(k.rules, source, target)
	if len(pairs) == 0 {
		v.obstacle(Topic{}, nothingMatches, nil)
	}
	for _, c := range clashes {
		v.obstacle(Topic{Source: stream.Topic{Name: c.topic}, Remote: stream.Topic{Name: c.remote}},
			fmt.Sprintf("its remote topic is that of source topic %s; exclude one of them", c.other), nil)
	}
	for _, t := range narrow(pairs) {
		v.plan.Widen = append(v.plan.Widen, PlannedWidth{Source: t.Source.Name, Topic: t.Remote.Name, From: t.Remote.Partitions, To: t.Source.Partitions})
	}
	if err := v.configs(ctx, pairs); err != nil {
		return v.plan, err
	}
	if err := v.acls(ctx, names(pairs, sourceName)); err != nil {
		return v.plan, err
	}
	v.sort()
	return v.plan, nil
}

// preview is a Plan in the making.
type preview struct {
	keeper *Keeper
	plan   Plan
}

func (v *preview) obstacle(t Topic, reason string, err error) {
	o := Obstacle{Source: t.Source.Name, Topic: t.Remote.Name, Reason: reason}
	if err != nil {
		o.Error = err.Error()
	}
	v.plan.Obstacles = append(v.plan.Obstacles, o)
}

// configs plans the topics to create, with their configs, and the configs to alter.
func (v *preview) configs(ctx context.Context, pairs []Topic) error {
	k := v.keeper
	create := missing(pairs)
	var existing []Topic
	if !k.rules.KeepConfigs {
		existing = slices.DeleteFunc(slices.Clone(pairs), func(t Topic) bool { return t.Remote.Partitions <= 0 })
	}
	source, err := v.described(ctx, k.source, k.flow.Source, slices.Concat(create, existing), sourceName)
	if err != nil {
		return err
	}
	target, err := v.described(ctx, k.target, k.flow.Target, existing, remoteName)
	if err != nil {
		return err
	}
	v.create(ctx, create, source)
	for _, t := range existing {
		from, readable := source[t.Source.Name]
		to, described := target[t.Remote.Name]
		if readable && described {
			v.alter(t, from, to)
		}
	}
	return nil
}

// described asks a cluster for the configs of topics. Those that it does not show are obstacles; an error is for all.
func (v *preview) described(ctx context.Context, c Cluster, alias string, topics []Topic, name func(Topic) string) (map[string][]stream.ConfigEntry, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	configs, err := c.Configs(ctx, names(topics, name))
	if err != nil && len(configs) == 0 && !unauthorized(err) {
		return nil, fmt.Errorf("describe configs of topics of %s: %w", alias, err)
	}
	for _, t := range topics {
		if _, ok := configs[name(t)]; !ok && err != nil {
			reason := "its configs on " + alias + " cannot be read"
			if unauthorized(err) {
				reason += "; allow DescribeConfigs on it"
			}
			v.obstacle(t, reason, err)
		}
	}
	return configs, nil
}

func (v *preview) create(ctx context.Context, create []Topic, source map[string][]stream.ConfigEntry) {
	k := v.keeper
	var ask []stream.NewTopic
	for _, t := range create {
		entries, ok := source[t.Source.Name]
		if !ok {
			continue
		}
		topic := newTopic(k.rules, t, entries)
		ask = append(ask, topic)
		planned := PlannedTopic{Source: t.Source.Name, Topic: topic.Name, Partitions: topic.Partitions, Factor: topic.Factor, Configs: []PlannedConfig{}}
		for name, value := range topic.Configs {
			planned.Configs = append(planned.Configs, PlannedConfig{Name: name, To: value})
		}
		slices.SortFunc(planned.Configs, func(a, b PlannedConfig) int { return cmp.Compare(a.Name, b.Name) })
		v.plan.Create = append(v.plan.Create, planned)
	}
	if k.rules.Validate == nil || len(ask) == 0 {
		return
	}
	answers, err := k.rules.Validate(ctx, ask)
	if err != nil {
		v.obstacle(Topic{}, "whether "+k.flow.Target+" would create the topics cannot be asked", err)
	}
	for _, t := range create {
		if refused := answers[t.Remote.Name]; refused != nil {
			v.obstacle(t, "it would not be created; "+createAdvice(refused, k.flow), refused)
		}
	}
}

func (v *preview) alter(t Topic, source, target []stream.ConfigEntry) {
	changes, unknown := configChanges(v.keeper.rules, source, target)
	for _, name := range unknown {
		v.obstacle(t, fmt.Sprintf("%s does not know the config %s; list it in config.properties.exclude", v.keeper.flow.Target, name), nil)
	}
	if len(changes) == 0 {
		return
	}
	now := map[string]string{}
	for _, e := range target {
		now[e.Name] = e.Value
	}
	planned := PlannedConfigs{Source: t.Source.Name, Topic: t.Remote.Name}
	for _, c := range changes {
		planned.Changes = append(planned.Changes, PlannedConfig{Name: c.Name, From: now[c.Name], To: c.Value, Reset: c.Delete})
	}
	v.plan.Configs = append(v.plan.Configs, planned)
}

func (v *preview) acls(ctx context.Context, sources []string) error {
	k := v.keeper
	if k.rules.KeepACLs {
		return nil
	}
	state, hindrance, err := k.readACLs(ctx)
	if err != nil {
		return err
	}
	if hindrance != nil {
		v.obstacle(Topic{}, hindrance.reason, hindrance.err)
		return nil
	}
	if state.echoDenied != nil {
		v.obstacle(Topic{}, echoAdvice(k.flow), state.echoDenied)
	}
	plan := planACLs(k.rules, sources, state.aclState)
	for _, b := range plan.create {
		v.plan.CreateACLs = append(v.plan.CreateACLs, planned(b))
	}
	for _, b := range plan.remove {
		v.plan.DeleteACLs = append(v.plan.DeleteACLs, planned(b))
	}
	return nil
}

func planned(b stream.ACL) PlannedACL {
	resource, pattern, operation, permission := b.Words()
	return PlannedACL{ResourceType: resource, PatternType: pattern, Resource: b.Resource, Principal: b.Principal, Host: b.Host,
		Operation: operation, Permission: permission}
}

func (v *preview) sort() {
	slices.SortFunc(v.plan.Create, func(a, b PlannedTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(v.plan.Widen, func(a, b PlannedWidth) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(v.plan.Configs, func(a, b PlannedConfigs) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(v.plan.Obstacles, func(a, b Obstacle) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Reason, b.Reason))
	})
}
