package topics

import (
	"slices"
	"strings"

	"tandem/internal/stream"
)

// ACLRules are the settings of a flow that decide which ACLs go along.
//
// By default they are MM2's: literal bindings of replicated topics, without what allows to write; nothing is ever deleted. Full
// adds prefixed patterns, groups and transactional ids, and deletes what this flow made once the source has it no more.
type ACLRules struct {
	Full   bool                    // sync.topic.acls.mode=full
	Groups func(group string) bool // groups and groups.exclude; asked where Full is set, nil lets none pass
	// Own are principals that the flow itself may have. Where Full is set, what denies them something is not carried over: it
	// would stop the flow. Empty where they are not known.
	Own []string
	// Notes, kept on the target, tell which of its bindings this flow made. Without them nothing is deleted.
	Notes Notebook
	// Echo are the notes, kept on the source, of the flow in the opposite direction. What that one made is not sent back: else
	// each direction would restore what the other takes away. Asked where Full is set.
	Echo Notebook
}

// A remote topic is written by the flow alone. Any other record in it would take the offset and the place in the sequence of
// one that is to come; so the right to write is left out wherever it is granted, and ALL is narrowed to what is left of use.
func narrowed(b stream.ACL) (stream.ACL, bool) {
	if b.Permission == stream.PermissionAllow {
		switch b.Operation {
		case stream.OperationWrite:
			return b, false
		case stream.OperationAll:
			b.Operation = stream.OperationRead
		}
	}
	return b, true
}

// remoteACL is what becomes of a binding of the source on the target, whether or not its resource is replicated; false for
// one that never goes along.
func (r Rules) remoteACL(b stream.ACL) (stream.ACL, bool) {
	if b.PatternType != stream.PatternLiteral && (b.PatternType != stream.PatternPrefixed || !r.ACLs.Full) {
		return b, false
	}
	if r.ACLs.Full && b.Permission == stream.PermissionDeny && slices.Contains(r.ACLs.Own, b.Principal) {
		return b, false
	}
	switch b.ResourceType {
	case stream.ResourceTopic:
		b, ok := narrowed(b)
		if !ok {
			return b, false
		}
		return r.remoteTopics(b)
	case stream.ResourceGroup, stream.ResourceTransactionalID:
		return b, r.ACLs.Full
	}
	return b, false
}

// remoteTopics puts the remote topics in the place of those that a binding names.
func (r Rules) remoteTopics(b stream.ACL) (stream.ACL, bool) {
	if b.PatternType == stream.PatternLiteral && (b.Resource != stream.AnyResource || !r.ACLs.Full) {
		// MM2 takes * for a name as well. With prefixes the binding is of no use then, since no topic can be called "A.*".
		b.Resource = r.Remote(b.Resource)
		return b, true
	}
	prefix := b.Resource
	if b.PatternType == stream.PatternLiteral {
		prefix = "" // all topics of the source
	}
	remote, ok := r.remotePrefix(prefix)
	if ok && remote != "" {
		b.PatternType, b.Resource = stream.PatternPrefixed, remote
	}
	return b, ok
}

// remotePrefix is what the names of all remote topics begin with whose source topics begin with prefix, as far as a policy
// puts something in front and leaves the rest alone.
func (r Rules) remotePrefix(prefix string) (string, bool) {
	const one, other = "x", "y.z" // whatever follows must not matter
	remote, ok := strings.CutSuffix(r.Remote(prefix+one), one)
	return remote, ok && r.Remote(prefix+other) == remote+other
}

// wants says whether what a binding of the source is about is replicated; sources are the names of the topics that are.
//
// A prefix whose remote one differs covers nothing on the target but remote topics, so one replicated topic below it is
// enough. One that stays as it is covers whatever else the target has by such names: it goes along only where the filter
// accepts the prefix itself, as if it were a name.
func (r Rules) wants(b stream.ACL, sources []string) bool {
	switch b.ResourceType {
	case stream.ResourceGroup:
		return r.ACLs.Groups != nil && r.ACLs.Groups(b.Resource)
	case stream.ResourceTransactionalID:
		return true
	}
	if b.PatternType == stream.PatternLiteral && (b.Resource != stream.AnyResource || !r.ACLs.Full) {
		return r.Replicates(b.Resource)
	}
	prefix := b.Resource
	if b.PatternType == stream.PatternLiteral {
		prefix = ""
	}
	remote, ok := r.remotePrefix(prefix)
	if !ok || remote == prefix && !r.Replicates(b.Resource) {
		return false
	}
	return slices.ContainsFunc(sources, func(topic string) bool {
		return strings.HasPrefix(topic, prefix) && strings.HasPrefix(r.Remote(topic), remote)
	})
}

// aclPlan is what is to be done, each list in the order of bindings.
type aclPlan struct {
	create []stream.ACL
	remove []stream.ACL // made by this flow, and without a source now
	forget []stream.ACL // noted, and not on the target any more: someone else deleted them
}

// aclState is what two clusters and the notes say at one time.
type aclState struct {
	source, target []stream.ACL
	noted          []stream.ACL // made by this flow
	echo           []stream.ACL // of the source's, made by the opposite flow
}

// planACLs compares. What goes is narrower than what came: a binding that the filters no longer let pass, or whose topics
// are gone, stays, and so does all that this flow did not make.
func planACLs(r Rules, sources []string, s aclState) aclPlan {
	echo, target := setOf(s.echo), setOf(s.target)
	wanted, known := map[stream.ACL]bool{}, map[stream.ACL]bool{}
	for _, b := range s.source {
		to, ok := r.remoteACL(b)
		if !ok || echo[b] {
			continue
		}
		known[to] = true
		if r.wants(b, sources) {
			wanted[to] = true
		}
	}
	var p aclPlan
	for b := range wanted {
		if !target[b] {
			p.create = append(p.create, b)
		}
	}
	if r.ACLs.Full {
		for b := range setOf(s.noted) {
			switch {
			case target[b] && !known[b]:
				p.remove = append(p.remove, b)
			case !target[b] && !wanted[b]:
				p.forget = append(p.forget, b)
			}
		}
	}
	for _, list := range [][]stream.ACL{p.create, p.remove, p.forget} {
		slices.SortFunc(list, stream.ACL.Compare)
	}
	return p
}

func setOf(list []stream.ACL) map[stream.ACL]bool {
	set := make(map[stream.ACL]bool, len(list))
	for _, b := range list {
		set[b] = true
	}
	return set
}
