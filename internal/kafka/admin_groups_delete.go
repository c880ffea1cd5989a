package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups deletes groups with all that they have committed. That one does not exist is no error. Groups that were refused, as those with
// members are, are in the map by reason; a broker looks at the right to delete before it looks whether there is such a group. The error says
// that the call ended before each group had its answer.
func (a *Admin) DeleteGroups(ctx context.Context, ids []string) (map[string]error, error) {
	refused, err := a.atCoordinators(ctx, ids, func(ctx context.Context, b *kgo.Broker, groups []string) (map[string]error, error) {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = groups
		resp, err := req.RequestWith(ctx, b)
		if err != nil {
			return nil, err
		}
		refused := make(map[string]error)
		for _, g := range resp.Groups {
			switch g.ErrorCode {
			case 0, kerr.GroupIDNotFound.Code:
			default:
				refused[g.Group] = brokerError(g.ErrorCode, nil)
			}
		}
		return refused, nil
	})
	for id, why := range refused {
		refused[id] = fmt.Errorf("delete group %s: %w", id, why)
	}
	if err != nil {
		return refused, fmt.Errorf("delete %d groups: %w", len(ids), err)
	}
	return refused, nil
}
