package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/IBM/sarama"
)

// GroupMembers names the members of a classic group, as client id and host; none if there is no such group, or we may not
// see it. Every broker is asked for the groups that it coordinates: to ask where the coordinator is would create the topic
// of group offsets. Brokers that are away are left out, unless all are.
func (a *Admin) GroupMembers(ctx context.Context, group string) ([]string, error) {
	members, err := await(ctx, func() ([]string, error) {
		control, _, err := a.connect(ctx)
		if err != nil {
			return nil, err
		}
		var members []string
		var failed error
		brokers := control.Brokers()
		away := 0
		for _, b := range brokers {
			found, err := a.membersAt(control, b.ID(), group)
			switch {
			case err == nil:
				members = append(members, found...)
			case Classify(err) != Unreachable:
				return nil, inKafkasWords(err)
			default:
				failed = err
				away++
			}
		}
		if away == len(brokers) {
			return nil, failed
		}
		slices.Sort(members)
		return members, nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	return members, nil
}

// membersAt asks one broker; its connection may have been closed because it was idle.
func (a *Admin) membersAt(control sarama.Client, id int32, group string) ([]string, error) {
	b, err := control.Broker(id)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(b, group)
	if stale(err) {
		if b, err = a.reopen(b); err == nil {
			members, err = membersOf(b, group)
		}
	}
	return members, err
}

func membersOf(b *sarama.Broker, group string) ([]string, error) {
	listed, err := b.ListGroups(&sarama.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	if listed.Err != sarama.ErrNoError {
		return nil, listed.Err
	}
	if _, ok := listed.Groups[group]; !ok {
		return nil, nil
	}
	described, err := b.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: []string{group}})
	if err != nil {
		return nil, err
	}
	var members []string
	for _, g := range described.Groups {
		if g.Err != sarama.ErrNoError {
			return nil, g.Err
		}
		for _, m := range g.Members {
			members = append(members, fmt.Sprintf("%s at %s", m.ClientId, m.ClientHost))
		}
	}
	return members, nil
}
