package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/config"
	"tandem/internal/doctor"
	"tandem/internal/kafka"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// logins are the ways into the clusters of all flows, each distinct one once.
type logins map[doctor.Login]kafka.Client

// of notes a way into a cluster. Settings that parse to the same client are one.
func (l logins) of(alias string, props config.Properties) (doctor.Login, error) {
	client, err := kafka.Parse(props)
	if err != nil {
		return doctor.Login{}, err
	}
	id := doctor.Login{Cluster: alias, Client: client.String()}
	if _, known := l[id]; !known {
		l[id] = client
	}
	return id, nil
}

// flowFacts are the settings of a flow, as the doctor needs them, and by cluster what keeps its clients from being made.
func flowFacts(conf *config.Config, c config.Flow, all logins) (doctor.Flow, map[string]error) {
	f := doctor.Flow{
		Flow: c.Flow, Replicates: c.Enabled, Heartbeats: c.Heartbeats, TwoWay: c.TwoWay, Identity: keepsNames(c.Policy),
		Policy: c.Policy, Topics: c.Topics, Groups: c.Groups, Carries: c.ConfigFilter.Replicates,
		TopicElements: elements(conf, c, "topics"), GroupElements: elements(conf, c, "groups"),
		Factor: c.ReplicationFactor, HeartbeatsFactor: c.HeartbeatsFactor, SyncsFactor: c.OffsetSyncs.Factor,
		CheckpointsFactor: c.Checkpoints.Factor, OffsetsFactor: c.OffsetsFactor,
		OffsetsTopic: c.OffsetsTopic, OppositeTopic: c.Opposite.OffsetsTopic,
		Checkpoints: c.Checkpoints.Enabled, GroupSync: c.GroupSync.Enabled, ACLSync: c.SyncACLs > 0, ConfigSync: c.SyncConfigs > 0,
		SetAside: c.OnRefused == "skip", Committed: c.IsolationLevel == "read_committed", ExactlyOnce: c.ExactlyOnce,
		SharingGroup: c.Sharing.Group, MaxRequest: c.MaxRequestBytes,
		Archives: c.Archive.Enabled, Keeps: c.Archive.Keeps,
	}
	if c.OffsetSyncs.Enabled {
		f.SyncsOn = c.OffsetSyncs.Location
	}
	bad := make(map[string]error)
	for _, l := range []struct {
		to    *doctor.Login
		used  bool
		alias string
		props config.Properties
	}{
		{&f.SourceAdmin, c.Enabled || c.Archive.Enabled, c.Source, c.SourceAdmin},
		{&f.SourceConsumer, c.Enabled || c.Archive.Enabled, c.Source, c.SourceConsumer},
		{&f.TargetAdmin, c.Enabled || c.Heartbeats, c.Target, c.TargetAdmin},
		{&f.TargetProducer, c.Enabled, c.Target, c.TargetProducer},
	} {
		if !l.used {
			continue
		}
		var err error
		if *l.to, err = all.of(l.alias, l.props); err != nil {
			bad[l.alias] = err
		}
	}
	return f, bad
}

// wrongClients are settings by which no client can be made, each told once with the flows that need it.
type wrongClients []doctor.Problem

func (w *wrongClients) add(f stream.Flow, wrong map[string]error) {
	for _, alias := range slices.Sorted(maps.Keys(wrong)) {
		text := "cluster " + alias + ": " + wrong[alias].Error() + "; needed by "
		if i := slices.IndexFunc(*w, func(p doctor.Problem) bool { return strings.HasPrefix(p.Text, text) }); i >= 0 {
			(*w)[i].Text += ", " + f.String()
		} else {
			*w = append(*w, doctor.Problem{Bad: true, Text: text + f.String()})
		}
	}
}

func keepsNames(p policy.Policy) bool { return p.RemoteTopic("a", "b") == "b" }

var fromLine = regexp.MustCompile(`^line (\d+): (.*)$`)

// elements are the expressions of a list of a flow.
func elements(conf *config.Config, c config.Flow, key string) []doctor.Element {
	var all []doctor.Element
	for _, s := range settingsOf(conf) {
		if s.Flow != c.Flow.String() || s.Part != "" || s.Key != key {
			continue
		}
		e := doctor.Element{Key: key}
		if m := fromLine.FindStringSubmatch(s.From); m != nil {
			e.Line, _ = strconv.Atoi(m[1])
			e.Key = m[2]
		}
		for text := range strings.SplitSeq(s.Value, ",") {
			if e.Text = strings.TrimSpace(text); e.Text != "" {
				all = append(all, e)
			}
		}
	}
	return all
}
