package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/archive/restore"
	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// restoreTarget is the cluster that is restored into.
type restoreTarget struct {
	alias string
	admin *kafka.Admin
	wire  *kafka.Wire
	id    string // of the cluster
}

// openRestoreTarget makes the clients of a cluster of the file; nothing connects yet.
func openRestoreTarget(conf *config.Config, flow config.Flow, alias string) (*restoreTarget, error) {
	admin, producer, ok := clusterProperties(conf, flow, alias)
	if !ok {
		var names []string
		for _, c := range conf.Clusters {
			names = append(names, c.Alias)
		}
		return nil, fmt.Errorf("--to %s: no such cluster; %s has %s", alias, conf.Path, strings.Join(names, ", "))
	}
	control, err := kafka.Parse(admin)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", alias, err)
	}
	data, err := kafka.Parse(producer)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", alias, err)
	}
	wire, err := kafka.NewWire(data)
	if err != nil {
		return nil, err
	}
	return &restoreTarget{alias: alias, admin: kafka.NewAdmin(control), wire: wire}, nil
}

// clusterProperties are those of the clients that mirror has for a cluster, by the flow that archives, by another one, or by the cluster
// alone.
func clusterProperties(conf *config.Config, flow config.Flow, alias string) (admin, producer config.Properties, ok bool) {
	for _, f := range append([]config.Flow{flow}, conf.Flows...) {
		switch alias {
		case f.Target:
			return f.TargetAdmin, f.TargetProducer, true
		case f.Source:
			return f.SourceAdmin, f.SourceProducer, true
		}
	}
	for _, c := range conf.Clusters {
		if c.Alias == alias {
			return c.Admin, c.Producer, true
		}
	}
	return nil, nil, false
}

func (t *restoreTarget) close() {
	_ = t.admin.Close() // what was to be written has been
	t.wire.Close()
}

const reachTimeout = 30 * time.Second

// reach finds out which cluster it is.
func (t *restoreTarget) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	id, err := t.admin.ClusterID(ctx)
	if err != nil {
		return reason("cluster "+t.alias, err)
	}
	t.id = id
	return nil
}

// look finds out what the plan meets at the target.
func (t *restoreTarget) look(ctx context.Context, plan *restore.Plan, keepOld bool) (restore.Target, error) {
	target := restore.Target{Topics: make(map[string]restore.TargetTopic), New: make(map[string]restore.NewTopic), Now: time.Now()}
	all, err := t.admin.Topics(ctx)
	if err != nil {
		return target, reason("cluster "+t.alias, err)
	}
	there := make(map[string]stream.Topic, len(all))
	for _, topic := range all {
		there[topic.Name] = topic
	}
	var fresh []stream.NewTopic
	var names []string
	for _, topic := range plan.Topics {
		if _, ok := there[topic.To]; ok {
			names = append(names, topic.To)
			continue
		}
		fresh = append(fresh, newTopic(topic, keepOld))
	}
	configs, err := t.effective(ctx, names)
	if err != nil {
		return target, err
	}
	fit, err := t.admin.Fitness(ctx, names)
	if err != nil {
		return target, reason("cluster "+t.alias, err)
	}
	for _, name := range names {
		target.Topics[name] = restore.TargetTopic{Partitions: there[name].Partitions, Configs: configs[name], InSync: fit[name].InSync, Denied: fit[name].Denied}
	}
	would, err := t.admin.ValidateTopics(ctx, fresh)
	if err != nil {
		return target, reason("cluster "+t.alias, err)
	}
	for name, w := range would {
		target.New[name] = restore.NewTopic{Err: inWords(w.Err), Configs: w.Configs, Factor: w.Factor}
	}
	return target, nil
}

func inWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(kafka.Explain(err))
}

// effective are the configs of topics that are there.
func (t *restoreTarget) effective(ctx context.Context, names []string) (map[string]map[string]string, error) {
	described, err := t.admin.Configs(ctx, names)
	if err != nil {
		return nil, reason("cluster "+t.alias, err)
	}
	configs := make(map[string]map[string]string, len(described))
	for name, entries := range described {
		configs[name] = make(map[string]string, len(entries))
		for _, e := range entries {
			configs[name][e.Name] = e.Value
		}
	}
	return configs, nil
}

// newTopic is a topic of the plan as it is created.
func newTopic(t restore.Topic, keepOld bool) stream.NewTopic {
	factor := t.Factor
	if factor <= 0 {
		factor = -1
	}
	configs, _ := t.CreateConfigs(keepOld, factor)
	return stream.NewTopic{Name: t.To, Partitions: t.Partitions, Factor: factor, Configs: configs}
}
