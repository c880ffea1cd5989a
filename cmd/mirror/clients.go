package main

import (
	"fmt"

	"tandem/internal/config"
	"tandem/internal/kafka"
)

// clients are the connections of one flow. The data plane and the control plane have their own.
type clients struct {
	source, target         *kafka.Admin
	sourceWire, targetWire *kafka.Wire
	// reader reads single stretches of the source: behind a fetch of the pipe that waits for records, each page would wait too.
	reader *kafka.Wire
	member kafka.Client // of the group in which processes divide the flow's partitions
	writer kafka.Client // of records, in transactions too
	// archiveWire reads what the archive has not got from the pipe.
	archiveWire *kafka.Wire

	ways []way
}

// way is how one kind of client reaches its cluster, and where its properties are in a flow's settings.
type way struct {
	client  kafka.Client
	cluster string
	props   func(config.Flow) config.Properties
}

func sourceAdmin(c config.Flow) config.Properties    { return c.SourceAdmin }
func targetAdmin(c config.Flow) config.Properties    { return c.TargetAdmin }
func sourceConsumer(c config.Flow) config.Properties { return c.SourceConsumer }
func targetProducer(c config.Flow) config.Properties { return c.TargetProducer }

// open builds the clients from the flow's properties; nothing connects yet.
func open(c config.Flow) (clients, error) {
	var all clients
	var err error
	if c.Enabled || c.Heartbeats {
		if all.target, err = all.admin(c, c.Target, targetAdmin); err != nil {
			return all, err
		}
	}
	if c.Enabled || c.Archive.Enabled {
		if all.source, err = all.admin(c, c.Source, sourceAdmin); err != nil {
			return all, err
		}
	}
	if c.Archive.Enabled {
		if all.archiveWire, err = all.wire(c, c.Source, sourceConsumer); err != nil {
			return all, err
		}
	}
	if !c.Enabled {
		return all, nil
	}
	if all.sourceWire, err = all.wire(c, c.Source, sourceConsumer); err != nil {
		return all, err
	}
	if all.reader, err = all.wire(c, c.Source, sourceConsumer); err != nil {
		return all, err
	}
	if all.member, err = all.parse(c, c.Target, targetAdmin); err != nil {
		return all, err
	}
	if all.writer, err = all.parse(c, c.Target, targetProducer); err != nil {
		return all, err
	}
	all.targetWire, err = kafka.NewWire(all.writer)
	return all, err
}

func (c *clients) parse(f config.Flow, cluster string, props func(config.Flow) config.Properties) (kafka.Client, error) {
	client, err := kafka.Parse(props(f))
	if err != nil {
		return client, fmt.Errorf("cluster %s: %w", cluster, err)
	}
	c.ways = append(c.ways, way{client, cluster, props})
	return client, nil
}

func (c *clients) admin(f config.Flow, cluster string, props func(config.Flow) config.Properties) (*kafka.Admin, error) {
	client, err := c.parse(f, cluster, props)
	if err != nil {
		return nil, err
	}
	return kafka.NewAdmin(client), nil
}

func (c *clients) wire(f config.Flow, cluster string, props func(config.Flow) config.Properties) (*kafka.Wire, error) {
	client, err := c.parse(f, cluster, props)
	if err != nil {
		return nil, err
	}
	return kafka.NewWire(client)
}

// check says whether renew would take a flow's properties.
func (c *clients) check(next config.Flow) error {
	for _, w := range c.ways {
		if _, err := kafka.Parse(w.props(next)); err != nil {
			return fmt.Errorf("cluster %s: %w", w.cluster, err)
		}
	}
	return nil
}

// renew has every connection from now on made with the credentials and stores of a flow's properties, which check has let through.
func (c *clients) renew(next config.Flow) error {
	for _, w := range c.ways {
		if err := w.client.Renew(w.props(next)); err != nil {
			return fmt.Errorf("cluster %s: %w", w.cluster, err)
		}
	}
	return nil
}

func (c *clients) close() {
	for _, a := range []*kafka.Admin{c.source, c.target} {
		if a != nil {
			_ = a.Close() // what was to be written has been
		}
	}
	for _, w := range []*kafka.Wire{c.sourceWire, c.reader, c.archiveWire, c.targetWire} {
		if w != nil {
			w.Close()
		}
	}
}
