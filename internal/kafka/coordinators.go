package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// Bounds of what is asked about groups at once. A group may have thousands of partitions, and a broker writes one commit as one
// batch, which must not be larger than a batch of its offsets topic may be.
const (
	groupsPerRequest     = 200
	keysPerRequest       = 1000 // of FindCoordinator, which answers with an address each
	partitionsPerRequest = 1000
	coordinatorsKept     = 100_000
)

// coordinators remembers which broker coordinates which group. franz-go would, too, but gives no way to tell it that an
// answer to OffsetDelete showed its knowledge to be old.
type coordinators struct {
	mu    sync.Mutex
	nodes map[string]int32 // by group
}

// find sorts groups by the broker that coordinates them; those for whom there is none now are in failed, by reason.
func (c *coordinators) find(ctx context.Context, cl *kgo.Client, groups []string) (byNode map[int32][]string, failed map[string]error) {
	byNode, failed = make(map[int32][]string), make(map[string]error)
	var unknown []string
	c.mu.Lock()
	for _, g := range groups {
		if node, ok := c.nodes[g]; ok {
			byNode[node] = append(byNode[node], g)
		} else {
			unknown = append(unknown, g)
		}
	}
	c.mu.Unlock()
	for keys := range slices.Chunk(unknown, keysPerRequest) {
		for _, g := range keys {
			failed[g] = fmt.Errorf("find coordinator: %w", brokerError(kerr.CoordinatorNotAvailable.Code, nil))
		}
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKeys = keys
		for _, shard := range cl.RequestSharded(ctx, req) { // one request, or one for each group before Kafka 3.0
			if shard.Err != nil {
				asked := shard.Req.(*kmsg.FindCoordinatorRequest)
				for _, g := range append(asked.CoordinatorKeys, asked.CoordinatorKey) {
					if _, ok := failed[g]; ok {
						failed[g] = fmt.Errorf("find coordinator: %w", shardError(shard.Err))
					}
				}
				continue
			}
			for _, found := range shard.Resp.(*kmsg.FindCoordinatorResponse).Coordinators {
				if err := brokerError(found.ErrorCode, found.ErrorMessage); err != nil {
					failed[found.Key] = fmt.Errorf("find coordinator: %w", err)
					continue
				}
				delete(failed, found.Key)
				byNode[found.NodeID] = append(byNode[found.NodeID], found.Key)
				c.keep(found.Key, found.NodeID)
			}
		}
	}
	return byNode, failed
}

func (c *coordinators) keep(group string, node int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil || len(c.nodes) >= coordinatorsKept {
		c.nodes = make(map[string]int32)
	}
	c.nodes[group] = node
}

func (c *coordinators) forget(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, group)
}

// groupRequest sends one request about some groups to the broker that coordinates them, and answers for those that failed
// by reason; the error says that the request failed as a whole.
type groupRequest func(ctx context.Context, b *kgo.Broker, groups []string) (map[string]error, error)

// atCoordinators sends a request about groups, in batches, to the brokers that coordinate them, to several at once. What fails for
// a reason that passes (a coordinator that moved, loads or is away) is sent again, to where the coordinator is then, for as
// long as request.timeout.ms. Groups that failed for good are in the map. The error says that the call ended before each
// group had its answer: ctx ended, or no broker at all is there, how long to wait for which is the caller's to decide.
func (a *Admin) atCoordinators(ctx context.Context, groups []string, send groupRequest) (map[string]error, error) {
	failed := make(map[string]error)
	cl, err := a.requester()
	if err != nil {
		return failed, err
	}
	deadline := time.Now().Add(a.client.requestTimeout)
	left := slices.Compact(slices.Sorted(slices.Values(groups)))
	for n := 1; ; n++ {
		var again []string
		var unreachable bool
		for g, err := range a.askAll(ctx, cl, left, send) {
			failed[g] = err
			if err == nil {
				delete(failed, g)
				continue
			}
			kind := Classify(err)
			if _, told := stream.CodeOf(err); kind == Retriable || kind == Unreachable || kind == Other && !told && n < attempts {
				// Among the other kinds is a coordinator of which metadata does not tell yet.
				a.coordinators.forget(g)
				again = append(again, g)
			}
			unreachable = unreachable || kind == Unreachable
		}
		pause := a.client.backoff(n)
		switch {
		case ctx.Err() != nil:
			return failed, ctx.Err()
		case len(again) == 0 || time.Now().Add(pause).After(deadline):
			return failed, nil
		}
		if unreachable {
			if err := cl.Ping(ctx); err != nil {
				return failed, err
			}
		}
		if err := wait(ctx, pause); err != nil {
			return failed, err
		}
		left = again
	}
}

// askAll sends a request about groups once. Each group is in the answer, with nil where it worked.
func (a *Admin) askAll(ctx context.Context, cl *kgo.Client, groups []string, send groupRequest) map[string]error {
	byNode, outcome := a.coordinators.find(ctx, cl, groups)
	var mu sync.Mutex // guards outcome; send is not called under it, but for one broker it is called in order
	var brokers sync.WaitGroup
	for node, coordinated := range byNode {
		brokers.Go(func() {
			var err error
			for batch := range slices.Chunk(coordinated, groupsPerRequest) {
				var failed map[string]error
				if err == nil { // a broker that does not answer is not asked for the rest
					failed, err = send(ctx, cl.Broker(int(node)), batch)
				}
				mu.Lock()
				for _, g := range batch {
					outcome[g] = failed[g]
					if err != nil {
						outcome[g] = fmt.Errorf("ask broker %d: %w", node, shardError(err))
					}
				}
				mu.Unlock()
			}
		})
	}
	brokers.Wait()
	return outcome
}

// joined is one error of what failed by group: each reason once, with the number of groups and the first of them.
func joined(failed map[string]error) error {
	type reason struct {
		first  string
		groups int
		err    error
	}
	var reasons []*reason
	byText := make(map[string]*reason)
	for _, g := range slices.Sorted(maps.Keys(failed)) {
		text := failed[g].Error()
		r := byText[text]
		if r == nil {
			r = &reason{first: g, err: failed[g]}
			byText[text], reasons = r, append(reasons, r)
		}
		r.groups++
	}
	var errs []error
	for _, r := range reasons {
		if r.groups == 1 {
			errs = append(errs, fmt.Errorf("group %s: %w", r.first, r.err))
		} else {
			errs = append(errs, fmt.Errorf("%d groups, %s and others: %w", r.groups, r.first, r.err))
		}
	}
	return errors.Join(errs...)
}
