package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/stream"
)

const (
	patience = 2  // rounds in a row in which a group has a position that is not known, before it is news
	named    = 10 // groups that one event names
)

// news turns what a Keeper sees into events. What goes on not working is told once.
type news struct {
	flow   stream.Flow
	report stream.Report
	told   map[string]bool // the troubles that last
}

func (n *news) tell(s stream.Severity, message string, fields ...stream.Field) {
	n.report(stream.Event{Flow: n.flow, Severity: s, Message: message, Fields: fields})
}

// trouble tells of something that does not work; without an error it is over. What fails because we stop is no news.
func (n *news) trouble(ctx context.Context, what string, s stream.Severity, message string, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		delete(n.told, what)
	case !n.told[what]:
		n.told[what] = true
		n.tell(s, message, stream.F("error", err))
	}
}

// unknown tells of groups of which a position became unknown, or known again.
func (n *news) unknown(ctx context.Context, lost, found []string, reason string) {
	if ctx.Err() != nil {
		return
	}
	if len(lost) > 0 {
		n.tell(stream.Warn, "groups have offsets whose place on the target is not known; they would not be moved", names(lost, reason)...)
	}
	if len(found) > 0 {
		n.tell(stream.Info, "groups have their place on the target again", names(found, "")...)
	}
}

func names(groups []string, reason string) []stream.Field {
	slices.Sort(groups)
	text := strings.Join(groups[:min(len(groups), named)], " ")
	if len(groups) > named {
		text += fmt.Sprintf(" and %d more", len(groups)-named)
	}
	fields := []stream.Field{stream.F("groups", text)}
	if reason != "" {
		fields = append(fields, stream.F("reason", reason))
	}
	return fields
}
