package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// planned is what a flow would change on its target.
type planned struct {
	Flow string `json:"flow"`
	topics.Plan
}

// plan prints what each flow would create and alter now. Flows whose clusters answer are shown, whatever others do.
func plan(ctx context.Context, stdout io.Writer, line *cli.Progress, conf *config.Config, asJSON bool) error {
	var flows []config.Flow
	for _, c := range conf.Flows {
		if c.Enabled {
			flows = append(flows, c)
		}
	}
	line.Show("asking clusters of %d flows", len(flows))
	plans, errs := make([]planned, len(flows)), make([]error, len(flows))
	var group sync.WaitGroup
	for i, c := range flows {
		group.Go(func() {
			plans[i].Flow = c.Flow.String()
			if plans[i].Plan, errs[i] = planOf(ctx, c); errs[i] != nil {
				errs[i] = fmt.Errorf("flow %s: %s", c.Flow, kafka.Explain(errs[i]))
			}
		})
	}
	group.Wait()
	line.Clear()
	all := []planned{}
	for i, p := range plans {
		if errs[i] == nil {
			all = append(all, p)
		}
	}
	if asJSON {
		if err := printed(stdout, struct {
			File  string    `json:"file"`
			Flows []planned `json:"flows"`
		}{conf.Path, all}); err != nil {
			return err
		}
	} else {
		for _, p := range all {
			p.print(stdout)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return cannotRun{err}
	}
	return nil
}

// planOf asks the clusters of a flow. It reads only.
func planOf(ctx context.Context, c config.Flow) (topics.Plan, error) {
	var admins [2]*kafka.Admin
	for i, props := range []config.Properties{c.SourceAdmin, c.TargetAdmin} {
		client, err := kafka.Parse(props)
		if err != nil {
			return topics.Plan{}, err
		}
		admins[i] = kafka.NewAdmin(client)
		defer func() { _ = admins[i].Close() }() // it wrote nothing
	}
	rules := topics.Rules{
		Replicates:     c.Topics.Replicates,
		Remote:         func(topic string) string { return c.Policy.RemoteTopic(c.Source, topic) },
		Property:       c.ConfigFilter.Replicates,
		SourceDefaults: c.ConfigFilter.SourceDefaults(),
		Factor:         c.ReplicationFactor,
	}
	rules = withACLs(rules, c, c.Groups.Accepts, admins[0], admins[1])
	return topics.New(c.Flow, admins[0], admins[1], rules, func(stream.Event) {}).Plan(ctx)
}

func (p planned) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", p.Flow)
	for _, t := range p.Create {
		factor := fmt.Sprint(t.Factor)
		if t.Factor < 0 {
			factor = "the target's default"
		}
		fmt.Fprintf(w, "  create topic %s for %s: %s, replication factor %s%s\n", t.Topic, t.Source, cli.Counted(int(t.Partitions), "partition"), factor, settings(t.Configs))
	}
	for _, t := range p.Widen {
		fmt.Fprintf(w, "  widen topic %s from %d to %d partitions\n", t.Topic, t.From, t.To)
	}
	for _, t := range p.Configs {
		for _, c := range t.Changes {
			if !c.Reset && c.From == c.To {
				fmt.Fprintf(w, "  set %s of %s to %q, which it has from the brokers now\n", c.Name, t.Topic, c.To)
			} else if c.Reset {
				fmt.Fprintf(w, "  reset %s of %s, which is %q, to the brokers' default\n", c.Name, t.Topic, c.From)
			} else {
				fmt.Fprintf(w, "  set %s of %s to %q; it is %q\n", c.Name, t.Topic, c.To, c.From)
			}
		}
	}
	acls(w, "create", p.CreateACLs)
	acls(w, "delete", p.DeleteACLs)
	for _, o := range p.Obstacles {
		fmt.Fprint(w, "  left: ")
		if o.Source != "" {
			fmt.Fprintf(w, "%s: ", o.Source)
		}
		fmt.Fprint(w, o.Reason)
		if o.Error != "" {
			fmt.Fprintf(w, " (%s)", o.Error)
		}
		fmt.Fprintln(w)
	}
	if len(p.Create)+len(p.Widen)+len(p.Configs)+len(p.CreateACLs)+len(p.DeleteACLs)+len(p.Obstacles) == 0 {
		fmt.Fprintln(w, "  nothing to change")
	}
}

func settings(configs []topics.PlannedConfig) string {
	var all []string
	for _, c := range configs {
		all = append(all, c.Name+"="+c.To)
	}
	if len(all) == 0 {
		return ""
	}
	return ", " + strings.Join(all, ", ")
}

func acls(w io.Writer, verb string, list []topics.PlannedACL) {
	for _, a := range list {
		fmt.Fprintf(w, "  %s ACL: %s %s on %s %q (%s) from host %s: %s\n", verb, a.Principal, a.Operation, a.ResourceType, a.Resource, a.PatternType, a.Host, a.Permission)
	}
}
