package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// pair are the two clusters between which groups move, and the flows between them.
type pair struct {
	conf       *config.Config
	from, to   string       // aliases
	flow, home *config.Flow // from->to and to->from; nil where the file does not enable them
	fromAdmin  *kafka.Admin
	toAdmin    *kafka.Admin
	sourceWait time.Duration // how long `from` has for its first answer
}

// open finds the flows in the file and builds the clients; nothing connects yet.
func open(path string, from, to string, sourceWait time.Duration) (*pair, error) {
	conf, err := config.Load(path, nil)
	if err != nil {
		return nil, err
	}
	if conf.Path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	return pairOf(conf, from, to, sourceWait)
}

func pairOf(conf *config.Config, from, to string, sourceWait time.Duration) (*pair, error) {
	p := &pair{conf: conf, from: from, to: to, sourceWait: sourceWait}
	for i, f := range conf.Flows {
		switch {
		case !f.Enabled:
		case f.Source == from && f.Target == to:
			p.flow = &conf.Flows[i]
		case f.Source == to && f.Target == from:
			p.home = &conf.Flows[i]
		}
	}
	for _, alias := range []string{from, to} {
		props, ok := p.properties(alias)
		if !ok {
			return nil, fmt.Errorf("%s enables no flow between %s and %s; look at the aliases of --from and --to", conf.Path, from, to)
		}
		client, err := kafka.Parse(props)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", alias, err)
		}
		if alias == from {
			p.fromAdmin = kafka.NewAdmin(client)
		} else {
			p.toAdmin = kafka.NewAdmin(client)
		}
	}
	return p, nil
}

// properties are those of the admin client that a flow has for the cluster.
func (p *pair) properties(alias string) (config.Properties, bool) {
	for _, f := range []*config.Flow{p.flow, p.home} {
		switch {
		case f == nil:
		case f.Source == alias:
			return f.SourceAdmin, true
		case f.Target == alias:
			return f.TargetAdmin, true
		}
	}
	return nil, false
}

func (p *pair) close() {
	for _, a := range []*kafka.Admin{p.fromAdmin, p.toAdmin} {
		if a != nil {
			_ = a.Close() // what was to be written has been
		}
	}
}

// notes writes records of failovers.
type notes struct {
	admin *kafka.Admin
	flow  *config.Flow
	made  bool // the topic is there
}

// Write makes the topic if the flow never ran.
func (n *notes) Write(ctx context.Context, records []stream.Record) error {
	topic := stream.TandemTopic(n.flow.Source)
	if !n.made {
		if err := topics.EnsureTandem(ctx, n.admin, topic, n.flow.OffsetsFactor); err != nil {
			return err
		}
		n.made = true
	}
	for _, r := range records { // one at a time: together they may be more than the topic takes in a batch
		if err := n.admin.Append(ctx, topic, []stream.Record{r}); err != nil {
			return err
		}
	}
	return nil
}

// clock reads the times of records.
type clock struct{ admin *kafka.Admin }

var errEnough = errors.New("read enough")

func (c clock) timestamp(ctx context.Context, p stream.Partition, offset int64) (at time.Time, err error) {
	_, err = c.admin.ReadFrom(ctx, p.Topic, p.Number, offset, false, func(r stream.Record) error {
		at = r.Timestamp
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return at, err
}

func (c clock) After(ctx context.Context, partitions []stream.Partition, at time.Time) (map[stream.Partition]int64, error) {
	found, failed, err := c.admin.Offsets(ctx, partitions, at.UnixMilli())
	return found, errors.Join(err, anyOf(failed))
}

// anyOf is one of the errors, with its partition.
func anyOf(failed map[stream.Partition]error) error {
	for p, err := range failed {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}
