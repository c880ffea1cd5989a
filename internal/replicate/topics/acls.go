package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// Authorizer is what one side says of who may do what. Its methods may be called concurrently.
type Authorizer interface {
	// ACLs lists every binding of the cluster, or fails: one that is left out counts as deleted. kept is false where the
	// cluster has no authorizer.
	ACLs(ctx context.Context) (bindings []stream.ACL, kept bool, err error)
	// AddACLs creates bindings and tells, by binding, what the cluster answered; nil means that it is there, created now or
	// before. With an error, bindings may be left without an answer.
	AddACLs(ctx context.Context, bindings []stream.ACL) (map[stream.ACL]error, error)
	// DeleteACLs deletes just these bindings and tells, by binding, what the cluster answered; nil means that it is gone. With
	// an error, bindings may be left without an answer.
	DeleteACLs(ctx context.Context, bindings []stream.ACL) (map[stream.ACL]error, error)
}

// SyncACLs carries ACLs over to the remote topics, as of the last refresh; see [ACLRules]. It fails when a cluster or the notes
// cannot be asked at all; what fails for a single binding is an event, tried again the next time.
//
// A binding is noted before it is made. A process killed in between leaves a note of nothing, which the next sync takes back
// or makes good; the other way round it would leave a right that nobody ever takes away.
func (k *Keeper) SyncACLs(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	state, hindrance, err := k.readACLs(ctx)
	if err != nil {
		return err
	}
	if hindrance != nil {
		k.missed = nil
		k.news.trouble(ctx, trouble{what: "acls"}, hindrance.severity, hindrance.reason, hindrance.err)
		return nil
	}
	k.news.over(trouble{what: "acls"})
	if state.echoDenied != nil {
		k.news.trouble(ctx, trouble{what: "acls, echo"}, stream.Info, echoAdvice(k.flow), state.echoDenied)
	}
	plan := planACLs(k.rules, names(k.known, sourceName), state.aclState)
	if err := k.createACLs(ctx, plan); err != nil {
		return err
	}
	return k.deleteACLs(ctx, plan.remove)
}

// hindrance is why ACLs cannot be synced at all for now, though both clusters answer.
type hindrance struct {
	severity stream.Severity
	reason   string
	err      error
}

type aclsRead struct {
	aclState
	echoDenied error // why the notes of the opposite flow cannot be read
}

// readACLs asks both clusters and the notes. The notes of the opposite flow are read after the source: what that flow makes it
// notes before.
func (k *Keeper) readACLs(ctx context.Context) (s aclsRead, h *hindrance, err error) {
	rules := k.rules.ACLs
	if s.source, h, err = bindingsOf(ctx, k.source, k.flow.Source, stream.Info); err != nil || h != nil {
		return s, h, err
	}
	if s.target, h, err = bindingsOf(ctx, k.target, k.flow.Target, stream.Warn); err != nil || h != nil {
		return s, h, err
	}
	if !rules.Full {
		return s, nil, nil
	}
	if rules.Notes != nil {
		if s.noted, err = rules.Notes.Noted(ctx); err != nil {
			return s, nil, fmt.Errorf("on %s: %w", k.flow.Target, err)
		}
	}
	if rules.Echo != nil {
		s.echo, err = rules.Echo.Noted(ctx)
		if unauthorized(err) {
			s.echo, s.echoDenied, err = nil, err, nil
		}
		if err != nil {
			return s, nil, fmt.Errorf("on %s: %w", k.flow.Source, err)
		}
	}
	return s, nil, nil
}

func echoAdvice(flow stream.Flow) string {
	return fmt.Sprintf("ACLs of %[1]s that a flow %[2]s made are not told from others; if there is such a flow, allow Read on topic %[3]s of %[1]s",
		flow.Source, flow.Reverse(), stream.TandemTopic(flow.Target))
}

func bindingsOf(ctx context.Context, a Authorizer, alias string, without stream.Severity) ([]stream.ACL, *hindrance, error) {
	bindings, kept, err := a.ACLs(ctx)
	switch {
	case unauthorized(err):
		return nil, &hindrance{stream.Warn, "ACLs not synced: those of " + alias +
			" cannot be read; allow Describe on the cluster, or set sync.topic.acls.enabled=false", err}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("list ACLs of %s: %w", alias, err)
	case !kept:
		return nil, &hindrance{without, "ACLs not synced: " + alias + " has no authorizer; set sync.topic.acls.enabled=false if that is meant to be", nil}, nil
	}
	return bindings, nil, nil
}

// createACLs makes what is missing, and takes back the notes of what is gone.
func (k *Keeper) createACLs(ctx context.Context, plan aclPlan) error {
	if k.notes() != nil && len(plan.create)+len(plan.forget) > 0 {
		if err := k.notes().Note(ctx, plan.create, plan.forget); err != nil {
			return err
		}
	}
	if len(plan.create) == 0 {
		k.news.over(trouble{what: "create ACLs"})
		return nil
	}
	answers, err := k.target.AddACLs(ctx, plan.create)
	refused := k.answered(ctx, "created ACL", trouble{what: "create ACLs"}, plan.create, answers)
	if k.notes() != nil && len(refused) > 0 {
		if err := k.notes().Note(ctx, nil, refused); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("create ACLs on %s: %w", k.flow.Target, err)
	}
	return nil
}

// notes are where what this flow makes is noted; nil where it never deletes.
func (k *Keeper) notes() Notebook {
	if !k.rules.ACLs.Full {
		return nil
	}
	return k.rules.ACLs.Notes
}

// deleteACLs takes away what the source has not had at this sync and the one before. Once is not enough: someone may be
// replacing all ACLs of the source at this moment, and one broker may be behind another.
func (k *Keeper) deleteACLs(ctx context.Context, remove []stream.ACL) error {
	before := k.missed
	k.missed = setOf(remove)
	twice := slices.DeleteFunc(slices.Clone(remove), func(b stream.ACL) bool { return !before[b] })
	if len(twice) == 0 {
		k.news.over(trouble{what: "delete ACLs"})
		return nil
	}
	answers, err := k.target.DeleteACLs(ctx, twice)
	k.answered(ctx, "deleted ACL", trouble{what: "delete ACLs"}, twice, answers)
	gone := slices.DeleteFunc(slices.Clone(twice), func(b stream.ACL) bool {
		answer, answered := answers[b]
		return !answered || answer != nil
	})
	if len(gone) > 0 {
		if err := k.notes().Note(ctx, nil, gone); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("delete ACLs on %s: %w", k.flow.Target, err)
	}
	return nil
}

// answered tells of each binding that was changed, and of those that were refused once for each reason. It returns the refused.
func (k *Keeper) answered(
	ctx context.Context, done string, what trouble, asked []stream.ACL, answers map[stream.ACL]error,
) (refused []stream.ACL) {
	reasons := map[string][]stream.ACL{}
	for _, b := range asked {
		answer, ok := answers[b]
		switch {
		case !ok:
		case answer == nil:
			k.news.tell(stream.Info, done, stream.F("acl", b))
		default:
			refused = append(refused, b)
			reason := reasonOf(answer)
			reasons[reason] = append(reasons[reason], b)
		}
	}
	if len(reasons) == 0 {
		k.news.over(what)
		return nil
	}
	var lines []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		list := reasons[reason]
		line := fmt.Sprintf("%s: %s", list[0], reason)
		if more := len(list) - 1; more > 0 {
			line = fmt.Sprintf("%s and %d more: %s", list[0], more, reason)
		}
		lines = append(lines, line)
	}
	verb, _, _ := strings.Cut(what.what, " ")
	message := fmt.Sprintf("cannot %s ACLs on %s; the next sync tries again", verb, k.flow.Target)
	if slices.ContainsFunc(refused, func(b stream.ACL) bool { return unauthorized(answers[b]) }) {
		message = fmt.Sprintf("cannot %s ACLs on %s; allow Alter on the cluster, or set sync.topic.acls.enabled=false", verb, k.flow.Target)
	}
	k.news.trouble(ctx, what, stream.Error, message, nil, stream.F("acls", len(refused)), stream.F("error", strings.Join(lines, "; ")))
	return refused
}

// reasonOf is what the cluster said, without what it said it of.
func reasonOf(err error) string {
	if b, ok := errors.AsType[*stream.BrokerError](err); ok {
		return b.Error()
	}
	return err.Error()
}
