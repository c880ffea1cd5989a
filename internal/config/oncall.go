package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Drill says when and how a flow rehearses its failover, and the restore of its archive.
type Drill struct {
	Schedule   string // drill.schedule in cron's syntax, in local time unless it says CRON_TZ=; empty: never
	Reports    string // drill.reports, a directory; empty: only the outcome is kept
	Records    int    // drill.records, to compare in each partition
	Partitions int    // drill.partitions, to compare in each drill
}

// Next is the next time after t at which the drill is due; zero: never.
func (d Drill) Next(t time.Time) time.Time {
	schedule, err := cron.ParseStandard(d.Schedule)
	if d.Schedule == "" || err != nil { // the file was checked
		return time.Time{}
	}
	return schedule.Next(t)
}

// statusKeys are those of the page and of the metrics.
var statusKeys = []key{
	{name: "status.address", scopes: process, kind: text, def: "127.0.0.1:8383", own: true,
		meaning: "Where the status page, `/metrics`, `/healthz`, `/readyz` and `/api/` are served over HTTP, as host:port; empty is nowhere. Where the default is taken by another process `mirror` says so and goes on without a page; an address that the file names must be free.",
		change:  "To let a monitoring system reach them, with status.token; or to run several processes on one machine."},
	{name: "status.token", scopes: process, kind: text, own: true,
		meaning: "Bearer token that `/metrics` and `/api/` ask for, `mirror reload` too; the page asks its reader for it. `/healthz` and `/readyz` need none; the latter then says how many partitions stand still, and names none. Empty: no token.",
		change:  "Wherever status.address can be reached from other machines. Best as a placeholder of a config provider."},
	{name: "metrics.partitions.max", scopes: process, kind: integer, def: "1000", min: 0, own: true,
		meaning: "Most partitions that `/metrics` shows one by one, the first by flow, topic and number; as many positions of groups under MM2's names. Sums over a flow count all of them.",
		change:  "Raise it where every partition needs series of its own; lower it where the monitoring system suffers."},
	{name: "metrics.mm2.names", scopes: process, kind: boolean, def: "true", own: true,
		meaning: "Show MM2's metrics too, under the names that the usual rules of the JMX exporter give them, so that dashboards made for MM2 go on.",
		change:  "false where nobody has such dashboards: it is most of what `/metrics` says."},
}

// drillKeys are those of rehearsals.
var drillKeys = []key{
	{name: "drill.schedule", scopes: flow | bare, kind: text, live: true, own: true,
		meaning: "When `mirror` runs `failover drill`, and `archive drill` where the flow archives, in the five fields of cron or as `@daily`, in the machine's time zone unless it begins with `CRON_TZ=ZONE`. Of several processes that share the flow one does. `failover` and `archive` must be beside `mirror` or in PATH. Written bare it reaches every flow; one that has nothing to rehearse yet (no topics, an empty archive) fails its drills, so write it for flows, as `A->B.drill.schedule`, where one of two is idle. Empty: never.",
		change:  "As soon as it runs: an untested switch is no switch. `0 3 * * 1` is Mondays at three."},
	{name: "drill.reports", scopes: flow | bare, kind: text, live: true, own: true,
		meaning: "Directory for the reports of scheduled drills, as JSON and as an HTML page each; they are never removed. Empty: the outcome is kept, the reports are not.",
		change:  "Where auditors want to see them."},
	{name: "drill.records", scopes: flow | bare, kind: integer, def: "100", min: 1, live: true, own: true,
		meaning: "Records that a scheduled drill compares in each partition.", change: "Raise it for a longer look."},
	{name: "drill.partitions", scopes: flow | bare, kind: integer, def: "50", min: 1, live: true, own: true,
		meaning: "Partitions that a scheduled drill looks at, drawn anew each time.", change: "Raise it where a drill may take longer."},
}

// checkSchedule says what is wrong with a drill.schedule.
func checkSchedule(value string) error {
	if value == "" {
		return nil
	}
	schedule, err := cron.ParseStandard(value)
	if err != nil {
		return fmt.Errorf("must be a schedule of cron, as in 0 3 * * 1 (Mondays at three): %w", err)
	}
	if schedule.Next(time.Now()).IsZero() { // as the 30th of February
		return errors.New("names a day that never comes; 0 3 * * 1 is Mondays at three")
	}
	return nil
}

// drill sets when the flow rehearses.
func (b builder) drill(out *Flow, connector settings) {
	out.Drill = Drill{
		Schedule: b.text(connector, "drill.schedule"), Reports: b.text(connector, "drill.reports"),
		Records: int(b.number(connector, "drill.records", flow)), Partitions: int(b.number(connector, "drill.partitions", flow)),
	}
}

// process sets what is of the whole process.
func (b builder) process(c *Config, bare settings) {
	c.MemoryBytes = b.number(bare, "memory.bytes", process)
	c.OffsetMapBytes = b.number(bare, "offset.map.bytes", process)
	c.StatusAddress = b.processText(bare, "status.address")
	_, c.StatusNamed = bare["status.address"]
	c.StatusToken = b.processText(bare, "status.token")
	c.Metrics = Metrics{Partitions: int(b.number(bare, "metrics.partitions.max", process)), MM2Names: !strings.EqualFold(javaTrim(b.processText(bare, "metrics.mm2.names")), "false")}
	c.LogLevel = b.processText(bare, "log.level")
	c.Instance = b.processText(bare, "group.instance.id")
}
