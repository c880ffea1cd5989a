package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// dead is the state of a group that does not exist.
const dead = "Dead"

// Groups lists the consumer groups, classic and KIP-848, with their states, sorted by name. Share and streams groups, and
// groups of other protocols, such as those of Connect workers, are left out; groups that only ever committed offsets
// are in. Every broker is asked for the groups that it coordinates; nothing is created by it, not even the topic
// of group offsets.
//
// With an error that names the brokers that are away come the groups of those that answered: the others are hidden then, not
// gone. A state is empty where a broker before Kafka 2.6 did not tell it.
func (a *Admin) Groups(ctx context.Context) ([]stream.Group, error) {
	listed, err := a.listGroups(ctx)
	var groups []stream.Group
	for _, g := range listed {
		if g.consumers() {
			groups = append(groups, g.Group)
		}
	}
	slices.SortFunc(groups, func(x, y stream.Group) int { return strings.Compare(x.ID, y.ID) })
	if err != nil {
		return groups, fmt.Errorf("list groups of %s: %w", a.client.Bootstrap(), err)
	}
	return groups, nil
}

// GroupStates asks for the state of each of the groups at this moment; one that does not exist is Dead, with an empty type.
// It takes one request to each broker, which lists its groups, and more only about those that no broker listed: their
// coordinators are asked, so that a group is never called Dead because it was on the move, or because a broker is away.
//
// Groups whose state could not be found out are not in the map (and the zero Group that a look-up gives counts as live); the
// reasons are in the error. Types other than classic and consumer are told as they are: offsets cannot be committed there.
func (a *Admin) GroupStates(ctx context.Context, ids []string) (map[string]stream.Group, error) {
	states := make(map[string]stream.Group, len(ids))
	listed, _ := a.listGroups(ctx) // what a broker that is away would have listed is asked for below
	var rest []string
	for _, id := range ids {
		if g, ok := listed[id]; ok && g.State != "" {
			states[id] = g.Group
		} else {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return states, nil
	}
	var mu sync.Mutex
	failed, err := a.atCoordinators(ctx, rest, func(ctx context.Context, b *kgo.Broker, groups []string) (map[string]error, error) {
		found, failed, err := describeAt(ctx, b, groups)
		mu.Lock()
		defer mu.Unlock()
		for _, g := range found {
			states[g.ID] = g
		}
		return failed, err
	})
	if err == nil {
		err = joined(failed)
	}
	if err != nil {
		return states, fmt.Errorf("describe %d groups: %w", len(rest), err)
	}
	return states, nil
}

// GroupMembers names the members of a classic group, as client id and host; none if there is no such group, or we may not
// see it. Every broker is asked for the groups that it coordinates: to ask where the coordinator is would create the topic
// of group offsets. Brokers that are away are left out, unless all are.
func (a *Admin) GroupMembers(ctx context.Context, group string) ([]string, error) {
	listed, err := a.listGroups(ctx)
	g, ok := listed[group]
	if !ok {
		if err != nil && (listed == nil || Classify(err) != Unreachable) {
			return nil, fmt.Errorf("describe group %s: %w", group, err)
		}
		return nil, nil
	}
	cl, err := a.requester()
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	described, err := describeClassic(ctx, cl.Broker(int(g.broker)), []string{group})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	var members []string
	for _, d := range described {
		if err := brokerError(d.ErrorCode, d.ErrorMessage); err != nil && d.ErrorCode != kerr.GroupIDNotFound.Code {
			return nil, fmt.Errorf("describe group %s: %w", group, err)
		}
		for _, m := range d.Members {
			members = append(members, fmt.Sprintf("%s at %s", m.ClientID, m.ClientHost))
		}
	}
	slices.Sort(members)
	return members, nil
}

// listedGroup is a group as the broker lists it that coordinates it.
type listedGroup struct {
	stream.Group
	protocol string // "consumer", "connect", ...; empty for a group that only ever committed offsets
	broker   int32
}

// consumers says that a consumer group is meant.
func (g listedGroup) consumers() bool {
	return (g.protocol == "consumer" || g.protocol == "") && (g.Type == "" || g.Type == "classic" || g.Type == "consumer")
}

// listGroups asks every broker for its groups, of all kinds. Brokers whose groups are still being loaded are asked again for as
// long as request.timeout.ms; those that are away are in the error, beside the groups of the others. The map is nil when
// none answered.
func (a *Admin) listGroups(ctx context.Context) (map[string]listedGroup, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(a.client.requestTimeout)
	for n := 1; ; n++ {
		listed, err := listOnce(ctx, cl)
		pause := a.client.backoff(n)
		again := passes(err) || stale(err) && n < attempts // all connections may have been closed because they were idle
		if !again || time.Now().Add(pause).After(deadline) || wait(ctx, pause) != nil {
			return listed, err
		}
	}
}

// passes says that a broker, in its answer, asked to be asked again.
func passes(err error) bool {
	waits := false
	walk(err, func(e error) {
		if code, ok := codeOf(e); ok && classifyCode(code) == Retriable {
			waits = true
		}
	})
	return waits
}

func listOnce(ctx context.Context, cl *kgo.Client) (map[string]listedGroup, error) {
	var listed map[string]listedGroup
	var away []error
	for _, shard := range cl.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		node, err := shard.Meta.NodeID, shardError(shard.Err)
		resp, _ := shard.Resp.(*kmsg.ListGroupsResponse)
		if err == nil {
			err = brokerError(resp.ErrorCode, nil)
		}
		if err != nil {
			if node >= 0 { // else not even the brokers could be listed
				err = fmt.Errorf("broker %d at %s:%d: %w", node, shard.Meta.Host, shard.Meta.Port, err)
			}
			away = append(away, err)
			continue
		}
		if listed == nil {
			listed = make(map[string]listedGroup)
		}
		var stateless []string
		for _, g := range resp.Groups {
			// A group that is moving may be listed twice. What counts is whether it may have members.
			if twin, ok := listed[g.Group]; ok && twin.Live() {
				continue
			}
			listed[g.Group] = listedGroup{
				Group:    stream.Group{ID: g.Group, Type: strings.ToLower(g.GroupType), State: g.GroupState},
				protocol: g.ProtocolType,
				broker:   node,
			}
			if g.GroupState == "" {
				stateless = append(stateless, g.Group)
			}
		}
		if err := addStates(ctx, cl.Broker(int(node)), listed, stateless); err != nil {
			away = append(away, fmt.Errorf("broker %d at %s:%d: %w", node, shard.Meta.Host, shard.Meta.Port, err))
		}
	}
	return listed, errors.Join(away...)
}

// addStates describes groups of a broker that lists them without states: Kafka before 2.6. One that cannot be described, since
// it has moved or is hidden from us, stays without.
func addStates(ctx context.Context, b *kgo.Broker, listed map[string]listedGroup, ids []string) error {
	for batch := range slices.Chunk(ids, groupsPerRequest) {
		described, err := describeClassic(ctx, b, batch)
		if err != nil {
			return err
		}
		for _, d := range described {
			if d.ErrorCode == 0 {
				g := listed[d.Group]
				g.State = d.State
				listed[d.Group] = g
			}
		}
	}
	return nil
}

// describeAt describes groups, of either type, at their coordinator.
//
// A broker calls a KIP-848 group that is asked for as a classic one Dead, or from Kafka 4.0 on not found, however many
// members it has (so does sarama's DescribeConsumerGroups). Only one that is of neither type does not exist.
func describeAt(ctx context.Context, b *kgo.Broker, ids []string) (found []stream.Group, failed map[string]error, err error) {
	failed = make(map[string]error)
	described, err := describeClassic(ctx, b, ids)
	if err != nil {
		return nil, nil, err
	}
	var others []string
	for _, d := range described {
		switch err := brokerError(d.ErrorCode, d.ErrorMessage); {
		case d.ErrorCode == kerr.GroupIDNotFound.Code, err == nil && d.State == dead:
			others = append(others, d.Group)
		case err != nil:
			failed[d.Group] = err
		default:
			found = append(found, stream.Group{ID: d.Group, Type: "classic", State: d.State})
		}
	}
	if len(others) == 0 {
		return found, failed, nil
	}
	known, err := supports(ctx, b, kmsg.ConsumerGroupDescribe)
	if err != nil {
		return found, failed, err
	}
	if !known { // before KIP-848
		for _, id := range others {
			found = append(found, stream.Group{ID: id, State: dead})
		}
		return found, failed, nil
	}
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = others
	resp, err := req.RequestWith(ctx, b)
	if err != nil {
		return found, failed, err
	}
	for _, d := range resp.Groups {
		switch err := brokerError(d.ErrorCode, d.ErrorMessage); {
		case d.ErrorCode == kerr.GroupIDNotFound.Code, d.ErrorCode == kerr.UnsupportedVersion.Code: // the protocol is switched off
			found = append(found, stream.Group{ID: d.Group, State: dead})
		case err != nil:
			failed[d.Group] = err
		default:
			found = append(found, stream.Group{ID: d.Group, Type: "consumer", State: d.State})
		}
	}
	return found, failed, nil
}

func describeClassic(ctx context.Context, b *kgo.Broker, ids []string) ([]kmsg.DescribeGroupsResponseGroup, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = ids
	resp, err := req.RequestWith(ctx, b)
	if err != nil {
		return nil, err
	}
	return resp.Groups, nil
}
