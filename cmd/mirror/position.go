package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

func positionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "position FILE FLOW TOPIC/PARTITION OFFSET",
		Short: "Decide where a halted partition goes on",
		Long: `position notes where the replication of one source partition goes on at the next start of mirror, whatever was noted
before: the record at OFFSET of the source is the next that is copied, behind what the remote partition holds. It is the way
out for a partition that is halted because its source was truncated, made anew, or shortened by retention.

Stop mirror before, on all machines, and start it afterwards.

Exit statuses: 0 noted, 1 failed half way (run it again), 2 cannot run (bad arguments or file; a cluster does not answer; mirror or
MirrorMaker 2 runs; the flow or partition does not exist, or has not been replicated yet).`,
		Example: `  mirror position mm2.properties "A->B" orders/0 12000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 4 {
				return cannotRun{fmt.Errorf("four arguments, not %d: mirror position FILE FLOW TOPIC/PARTITION OFFSET", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePlace(args[2], args[3])
			if err != nil {
				return cannotRun{err}
			}
			conf, err := config.Load(args[0], nil)
			if err != nil {
				return cannotRun{err}
			}
			i := slices.IndexFunc(conf.Flows, func(f config.Flow) bool { return f.Enabled && f.Flow.String() == args[1] })
			if i < 0 {
				return cannotRun{fmt.Errorf("%s enables no flow %q", args[0], args[1])}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), positionWait)
			defer cancel()
			was, err := setPosition(ctx, cmd.ErrOrStderr(), conf.Flows[i], at)
			switch kind := kafka.Classify(err); {
			case kind == kafka.Unreachable || kind == kafka.Authentication:
				return cannotRun{fmt.Errorf("set the position of %s: %s", at.Partition, kafka.Explain(err))}
			case err != nil:
				return fmt.Errorf("set the position of %s: %w", at.Partition, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of %s goes on at offset %d at the next start (%s)\n", at.Partition, conf.Flows[i].Source, at.offset, was)
			return err
		},
	}
}

// positionWait bounds the whole command.
const positionWait = time.Minute

// nextPlace is a source partition and the offset of its next record.
type nextPlace struct {
	stream.Partition
	offset stream.Upstream
}

func parsePlace(partition, offset string) (nextPlace, error) {
	topic, number, ok := strings.Cut(partition, "/")
	n, err := strconv.ParseInt(number, 10, 32)
	if !ok || topic == "" || err != nil || n < 0 {
		return nextPlace{}, fmt.Errorf("%q is no partition; write it as orders/0", partition)
	}
	o, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || o < 0 {
		return nextPlace{}, fmt.Errorf("%q is no offset", offset)
	}
	return nextPlace{stream.Partition{Topic: topic, Number: int32(n)}, stream.Upstream(o)}, nil
}

// setPosition notes a place in both topics, and tells what was noted before.
func setPosition(ctx context.Context, tell io.Writer, c config.Flow, at nextPlace) (was string, err error) {
	f := &flow{report: func(stream.Event) {}}
	f.settings.Store(&c)
	f.clients, err = open(c)
	defer f.clients.close()
	if err != nil {
		return "", cannotRun{err}
	}
	if err := f.alone(ctx, tell); err != nil {
		return "", err
	}
	id, err := f.checkPlace(ctx, at)
	if err != nil {
		return "", err
	}
	anchors, noted, err := f.loadAnchors(ctx)
	if err != nil {
		return "", err
	}
	if noted.Producer == nil {
		return "", cannotRun{errors.New("nothing was replicated yet, so there is no position")}
	}
	positions, _, err := f.loadPositions(ctx)
	if err != nil {
		return "", err
	}
	remote := stream.Partition{Topic: c.Policy.RemoteTopic(c.Source, at.Topic), Number: at.Number}
	before, known := noted.Partitions[remote]
	if was = "nothing was noted before"; known {
		was = fmt.Sprintf("offset %d was noted before", before.NextUp)
	}
	next := position.Anchor{Source: id, NextUp: at.offset, NextSequence: before.NextSequence, NextDown: -1, LeaderEpoch: -1}
	if err := f.afterRemote(ctx, noted.Producer.ID, remote, &next); err != nil {
		return "", err
	}
	// The position first: it is further than the new anchor, and would count as MM2's if it stayed.
	positions.Set(at.Partition, at.offset-1)
	if err := positions.Flush(ctx); err != nil {
		return "", err
	}
	anchors.Set(remote, next)
	return was, anchors.Flush(ctx)
}

const (
	aloneAsked = 500 * time.Millisecond // between two looks
	aloneMore  = 2 * time.Second        // that brokers take to end a session
)

// alone makes sure that nobody replicates the flow, who would write positions of its own over ours. A process that was killed is a
// member until its session is over. Where we may not see the group, the user's word counts.
func (f *flow) alone(ctx context.Context, tell io.Writer) error {
	c := f.conf()
	wait := c.Sharing.Session + aloneMore
	for deadline, told := time.Now().Add(wait), false; ; told = true {
		members, err := f.clients.target.GroupMembers(ctx, c.Sharing.Group)
		if err != nil || len(members) == 0 {
			return nil //nolint:nilerr // what follows tells of a cluster that is away
		}
		who := fmt.Sprintf("group %s of %s has members (%s)", c.Sharing.Group, c.Target, strings.Join(members, ", "))
		if time.Now().After(deadline) {
			return cannotRun{fmt.Errorf("mirror or MirrorMaker 2 runs: %s, and would go on where it is; stop it, then run this again", who)}
		}
		if !told {
			fmt.Fprintf(tell, "mirror: %s; waiting up to %s for them to leave\n", who, wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(aloneAsked):
		}
	}
}

// checkPlace makes sure that the source has the offset, and tells the id of its topic.
func (f *flow) checkPlace(ctx context.Context, at nextPlace) (id stream.TopicID, err error) {
	listed, err := f.clients.source.Topics(ctx)
	if err != nil {
		return id, err
	}
	i := slices.IndexFunc(listed, func(t stream.Topic) bool { return t.Name == at.Topic && t.Partitions > at.Number })
	if i < 0 {
		return id, cannotRun{fmt.Errorf("%s has no such partition", f.conf().Source)}
	}
	var ends [2]int64
	for n, end := range []int64{stream.Earliest, stream.Latest} {
		offsets, failed, err := f.clients.sourceWire.Offsets(ctx, []stream.Partition{at.Partition}, end)
		if err = errors.Join(err, failed[at.Partition]); err != nil {
			return id, err
		}
		ends[n] = offsets[at.Partition]
	}
	if int64(at.offset) < ends[0] || int64(at.offset) > ends[1] {
		return id, cannotRun{fmt.Errorf("%s has offsets %d to %d, and %d is not among them", f.conf().Source, ends[0], ends[1], at.offset)}
	}
	return listed[i].ID, nil
}

// afterRemote completes an anchor by what the target holds: the next record stands behind all of it.
func (f *flow) afterRemote(ctx context.Context, producer int64, remote stream.Partition, next *position.Anchor) error {
	states, failed, err := f.clients.targetWire.ProducerStates(ctx, producer, []stream.Partition{remote})
	if err = errors.Join(err, failed[remote]); err != nil {
		return err
	}
	ends, failed, err := f.clients.targetWire.Offsets(ctx, []stream.Partition{remote}, stream.Latest)
	if err = errors.Join(err, failed[remote]); err != nil {
		return err
	}
	if state, ok := states[remote]; ok {
		next.NextSequence = int32((int64(state.LastSequence) + 1) % (1 << 31))
	}
	if end, ok := ends[remote]; ok {
		next.NextDown = stream.Downstream(end)
	}
	return nil
}
