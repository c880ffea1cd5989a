package policy

// Selector decides which topics of the source a flow replicates.
type Selector struct {
	Policy     Policy
	Target     string  // alias of the target
	Topics     *Filter // topics, topics.exclude
	Heartbeats bool    // heartbeats.replication.enabled
}

// Replicates is MM2's predicate: chosen by the filter, or a heartbeats topic; not internal; not back to where it came from.
func (s Selector) Replicates(topic string) bool {
	chosen := s.Topics.Accepts(topic) || s.Heartbeats && s.Policy.IsHeartbeatsTopic(topic)
	return chosen && !s.Policy.IsInternalTopic(topic) && !s.Policy.Cycle(topic, s.Target)
}

// ConfigFilter decides which topic configs go along with a topic.
type ConfigFilter struct {
	names          *Filter
	sourceDefaults bool
}

// NewConfigFilter takes config.properties.exclude and use.defaults.from, of which only the exact word "source" has a
// meaning of its own.
func NewConfigFilter(exclude []string, useDefaultsFrom string) (ConfigFilter, error) {
	f, err := NewFilter([]string{"(?s).*"}, exclude)
	if err != nil {
		return ConfigFilter{}, err
	}
	return ConfigFilter{names: f, sourceDefaults: useDefaultsFrom == "source"}, nil
}

// Replicates says whether the topic config of this name is carried to the remote topic.
func (f ConfigFilter) Replicates(name string) bool { return f.names.Accepts(name) }

// SourceDefaults says whether a config that the source leaves at its default is written out on the target; otherwise
// the target's own default applies.
func (f ConfigFilter) SourceDefaults() bool { return f.sourceDefaults }
