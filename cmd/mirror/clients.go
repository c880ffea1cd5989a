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
	// archiveWire reads what the archive has not got from the pipe.
	archiveWire *kafka.Wire
}

// open builds the clients from the flow's properties; nothing connects yet.
func open(c config.Flow) (clients, error) {
	var all clients
	admin := func(alias string, props map[string]string) (*kafka.Admin, error) {
		p, err := kafka.Parse(props)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", alias, err)
		}
		return kafka.NewAdmin(p), nil
	}
	wire := func(alias string, props map[string]string) (*kafka.Wire, error) {
		p, err := kafka.Parse(props)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", alias, err)
		}
		return kafka.NewWire(p)
	}
	var err error
	if c.Enabled || c.Heartbeats {
		if all.target, err = admin(c.Target, c.TargetAdmin); err != nil {
			return all, err
		}
	}
	if c.Enabled || c.Archive.Enabled {
		if all.source, err = admin(c.Source, c.SourceAdmin); err != nil {
			return all, err
		}
	}
	if c.Archive.Enabled {
		if all.archiveWire, err = wire(c.Source, c.SourceConsumer); err != nil {
			return all, err
		}
	}
	if !c.Enabled {
		return all, nil
	}
	if all.sourceWire, err = wire(c.Source, c.SourceConsumer); err != nil {
		return all, err
	}
	if all.reader, err = wire(c.Source, c.SourceConsumer); err != nil {
		return all, err
	}
	all.targetWire, err = wire(c.Target, c.TargetProducer)
	return all, err
}

func (c clients) close() {
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
