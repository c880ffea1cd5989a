package doctor

import (
	"slices"
	"strings"

	"tandem/internal/stream"
)

// Kinds of resources, as the flags of kafka-acls have them.
const (
	onTopic       = "topic"
	onGroup       = "group"
	onCluster     = "cluster"
	onTransaction = "transactional-id"
)

// Need is what a flow has to be allowed to do with a resource.
type Need struct {
	Flow       stream.Flow
	Login      Login
	Kind       string
	Resource   Resource
	Names      []string // that are known to be there, or to be made; of a resource that is one name, that one
	Operations []string
	Severity   Severity // of a lack
	Why        string   // what does not work without

	absent bool // a lack is none as long as the topic does not exist and we know it
}

// Needs lists what the flow needs, by what its settings switch on. The topics and groups are those of its source that we may see.
func (f Flow) Needs(source []stream.Topic, groups []stream.Group) []Need {
	var all []Need
	add := func(n Need) {
		n.Flow = f.Flow
		all = append(all, n)
	}
	one := func(name string) (Resource, []string) { return Resource{Name: name}, []string{name} }
	for _, t := range f.topicResources(source) {
		if t.source {
			add(Need{Login: f.SourceConsumer, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Read"}, Severity: t.severity, Why: "read records", absent: t.absent})
			add(Need{Login: f.SourceAdmin, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Describe", "DescribeConfigs"}, Severity: t.severity, Why: "find topics and their configs", absent: t.absent})
			continue
		}
		add(Need{Login: f.TargetProducer, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Write", "Read"}, Severity: t.severity, Why: "write records and find the place to go on", absent: t.absent})
		add(Need{Login: f.TargetAdmin, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Create", "Describe", "DescribeConfigs"}, Severity: t.severity, Why: "create remote topics", absent: t.absent})
		add(Need{Login: f.TargetAdmin, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Alter"}, Severity: Warning, Why: "add partitions", absent: t.absent})
		if f.ConfigSync {
			add(Need{Login: f.TargetAdmin, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"AlterConfigs"}, Severity: Warning, Why: "sync topic configs", absent: t.absent})
		}
		if f.GroupSync {
			add(Need{Login: f.TargetAdmin, Kind: onTopic, Resource: t.Resource, Names: t.names, Operations: []string{"Read"}, Severity: Warning, Why: "sync group offsets", absent: t.absent})
		}
	}
	for _, t := range f.Internals() {
		login, r := f.TargetAdmin, Resource{Name: t.Topic}
		if t.Cluster == f.Source {
			login = f.SourceAdmin
		}
		ops := []string{"Create", "Describe", "Write"}
		if t.Reads {
			ops = append(ops, "Read")
		}
		add(Need{Login: login, Kind: onTopic, Resource: r, Names: []string{t.Topic}, Operations: ops, Severity: Blocker, Why: "keep " + t.Topic})
	}
	if f.TwoWay {
		for _, topic := range []string{stream.TandemTopic(f.Target), f.OppositeTopic} {
			r, names := one(topic)
			add(Need{Login: f.SourceAdmin, Kind: onTopic, Resource: r, Names: names, Operations: []string{"Describe", "Read"}, Severity: Blocker, Why: "know the records of the opposite flow"})
		}
	}
	if f.Replicates && f.SharingGroup != "" {
		r, names := one(f.SharingGroup)
		add(Need{Login: f.TargetAdmin, Kind: onGroup, Resource: r, Names: names, Operations: []string{"Read"}, Severity: Blocker, Why: "share the flow with other processes, and notice MirrorMaker 2"})
	}
	f.groupNeeds(groups, add)
	if f.Replicates && f.ACLSync {
		cluster := Resource{Name: "kafka-cluster"}
		add(Need{Login: f.SourceAdmin, Kind: onCluster, Resource: cluster, Operations: []string{"Describe"}, Severity: Warning, Why: "sync ACLs"})
		add(Need{Login: f.TargetAdmin, Kind: onCluster, Resource: cluster, Operations: []string{"Describe", "Alter"}, Severity: Warning, Why: "sync ACLs"})
	}
	if f.Archives {
		add(Need{Login: f.SourceAdmin, Kind: onCluster, Resource: Resource{Name: "kafka-cluster"}, Operations: []string{"Describe"}, Severity: Warning, Why: "archive ACLs"})
	}
	if f.Replicates && f.ExactlyOnce {
		id := f.SharingGroup + "-"
		add(Need{Login: f.TargetProducer, Kind: onTransaction, Resource: Resource{Name: id, Prefixed: true}, Operations: []string{"Describe", "Write"}, Severity: Blocker, Why: "write in transactions"})
	}
	return all
}

func (f Flow) groupNeeds(groups []stream.Group, add func(Need)) {
	if !f.Replicates && !f.Archives || !f.Checkpoints && !f.Archives {
		return
	}
	for _, e := range f.GroupElements {
		matches := e.matcher()
		var names []string
		for _, g := range groups {
			if matches(g.ID) && f.Groups.Accepts(g.ID) {
				names = append(names, g.ID)
			}
		}
		for _, r := range resources(e.Text) {
			of := names
			if r.Probe() == "" {
				of = []string{r.Name}
			}
			add(Need{Login: f.SourceAdmin, Kind: onGroup, Resource: r, Names: of, Operations: []string{"Describe"}, Severity: Warning, Why: "find groups and their offsets"})
			if f.GroupSync && f.Replicates {
				add(Need{Login: f.TargetAdmin, Kind: onGroup, Resource: r, Names: of, Operations: []string{"Read"}, Severity: Warning, Why: "sync group offsets"})
			}
		}
	}
}

// wanted is a resource that an element of topics stands for, on one of the clusters.
type wanted struct {
	Resource
	names    []string
	source   bool
	severity Severity
	absent   bool
}

// topicResources are the resources of the elements of topics, and of heartbeats, on both clusters.
func (f Flow) topicResources(source []stream.Topic) []wanted {
	var all []wanted
	if !f.Replicates && !f.Archives {
		return nil
	}
	selected := f.Selected(source)
	covered := make(map[string]bool)
	both := func(r Resource, matches func(string) bool, severity Severity, absent bool) {
		s, t := wanted{Resource: r, source: true, severity: severity, absent: absent}, wanted{Resource: f.remote(r), severity: severity, absent: absent}
		if r.Probe() == "" {
			s.names, t.names = []string{r.Name}, []string{t.Name}
			covered[r.Name] = true
			if f.Policy.IsInternalTopic(r.Name) || !f.Topics.Replicates(r.Name) && !(f.Archives && f.Keeps(r.Name)) {
				return // excluded: nobody reads it
			}
		} else {
			for _, topic := range selected {
				if matches(topic.Name) {
					covered[topic.Name] = true
					s.names = append(s.names, topic.Name)
					t.names = append(t.names, f.Remote(topic.Name))
				}
			}
		}
		all = append(all, s)
		if f.Replicates {
			all = append(all, t)
		}
	}
	for _, e := range f.TopicElements {
		matches := e.matcher()
		list := resources(e.Text)
		for _, r := range list {
			both(r, func(name string) bool {
				return matches(name) && (len(list) == 1 || !r.Prefixed || strings.HasPrefix(name, r.Name))
			}, Blocker, false)
		}
	}
	if f.Replicates && f.Topics.Heartbeats && !covered[f.Policy.HeartbeatsTopic()] {
		both(Resource{Name: f.Policy.HeartbeatsTopic()}, nil, Warning, true)
	}
	for _, t := range selected { // what an element reaches otherwise than by its first characters
		if !covered[t.Name] {
			both(Resource{Name: t.Name}, nil, Blocker, false)
		}
	}
	return all
}

// remote is the resource that has the copies of what a resource of the source has.
func (f Flow) remote(r Resource) Resource {
	switch {
	case r.Name != "*":
		if r.Prefixed {
			// The prefix is no topic name itself; the end of a name is what the identity policy looks at.
			return Resource{Name: strings.TrimSuffix(f.Remote(r.Name+probeSuffix), probeSuffix), Prefixed: true}
		}
		return Resource{Name: f.Remote(r.Name)}
	case f.Identity:
		return r
	}
	return Resource{Name: strings.TrimSuffix(f.Remote(probeSuffix), probeSuffix), Prefixed: true}
}

// Asked are the names that are to be asked about for the needs of one login.
type Asked struct {
	Topics, Created, Groups, IDs []string
}

// Ask sorts the needs by whom to ask. Created are the topics that the login has to be able to create.
func Ask(needs []Need) map[Login]Asked {
	all := make(map[Login]Asked)
	put := func(list []string, names ...string) []string {
		for _, n := range names {
			if n != "" && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
		return list
	}
	for _, n := range needs {
		a := all[n.Login]
		names := append([]string{n.Resource.Probe()}, n.Names...)
		switch n.Kind {
		case onTopic:
			a.Topics = put(a.Topics, names...)
			if slices.Contains(n.Operations, "Create") {
				a.Created = put(a.Created, names...)
			}
		case onGroup:
			a.Groups = put(a.Groups, names...)
		case onTransaction:
			a.IDs = put(a.IDs, names...)
		}
		all[n.Login] = a
	}
	return all
}
