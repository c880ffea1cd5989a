package metrics

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// mm2 writes MM2's names. Partitions are remote ones, those that are shown one by one.
func (w *writer) mm2(s Snapshot, flows []shownFlow, c *collector) {
	connectors, tasks, rebalancing := 0, 0, false
	for _, f := range flows {
		has := len(f.Partitions) > 0
		connectors, tasks, rebalancing = connectors+one(f.Duties), tasks+one(has), rebalancing || f.Rebalancing
		w.flag(mm2OfWorker, f.Duties, jmx(f.Name))
		w.flag(mm2TasksOf, has, jmx(f.Name))
		w.task(f, c.Histograms)
	}
	w.set(mm2Connectors, float64(connectors))
	w.set(mm2Tasks, float64(tasks))
	w.flag(mm2Rebalancing, rebalancing)
	w.count(mm2Buffer, max(s.MemoryLimit-s.MemoryUsed, 0), `"connector-producer-MirrorSourceConnector-0"`)
	w.remotes(flows, c.rates)
	w.checkpoints(flows, c.Partitions)
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// task writes what Connect and its clients say of a flow. A process is one task of it.
func (w *writer) task(f shownFlow, h *Histograms) {
	connector := f.Name + ".MirrorSourceConnector"
	w.count(mm2In, cmp.Or(f.Fetched, f.Bytes), consumerOf(f.Name))
	w.count(mm2Out, f.Bytes, jmx("connector-producer-"+connector+"-0"))
	if f.Up || len(f.Partitions) > 0 {
		flying := int64(0)
		for i := range f.Partitions {
			flying += f.Partitions[i].InFlight
		}
		w.count(mm2Active, flying, jmx(connector), "0")
	}
	if took, ok := h.commit(f.Name, w.now); ok {
		w.set(mm2Commit, millis(took), jmx(connector), "0")
	}
}

func consumerOf(flow string) string {
	return jmx(flow + "|MirrorSourceConnector-0|replication-consumer")
}

// remotes writes the series of partitions. Two topics of the source may become one of the target, by a mistake in the file: the first
// is shown.
func (w *writer) remotes(flows []shownFlow, r *rates) {
	base, note, done := r.turn(w.now)
	defer done()
	for _, f := range flows {
		from, to, _ := strings.Cut(f.Name, "->")
		from, to = jmx(from), jmx(to)
		consumer := consumerOf(f.Name)
		seen := make(map[counted]bool, len(f.shown))
		for _, p := range f.shown {
			number := strconv.Itoa(int(p.Number))
			w.put(mm2Lag, float64(p.Lag), mm2Lag.pairs(consumer, p.Topic, number))
			key := counted{flow: f.Name, topic: cmp.Or(p.Remote.Topic, p.Topic), number: p.Number}
			if seen[key] {
				continue
			}
			seen[key] = true
			w.remote(p, mm2RecordCount.pairs(from, to, key.topic, number), key, base)
			if note != nil {
				note(key, counts{p.Records, p.Bytes})
			}
		}
	}
}

func (w *writer) remote(p *Partition, labels []*dto.LabelPair, key counted, base noted) {
	records, bytes := base.rate(key, counts{p.Records, p.Bytes}, w.now)
	w.put(mm2RecordCount, float64(p.Records), labels)
	w.put(mm2RecordRate, records, labels)
	w.put(mm2ByteCount, float64(p.Bytes), labels)
	w.put(mm2ByteRate, bytes, labels)
	w.window(mm2Age, p.Age, labels)
	w.window(mm2Latency, p.Latency, labels)
}

func (w *writer) window(m window, v Window, labels []*dto.LabelPair) {
	if v.Seen {
		w.put(m.last, millis(v.Last), labels)
	}
	if v.Recent {
		w.put(m.least, millis(v.Min), labels)
		w.put(m.greatest, millis(v.Max), labels)
		w.put(m.mean, millis(v.Avg), labels)
	}
}

// checkpoints writes those of groups: the first by flow, group, topic and number, at most so many over all flows.
func (w *writer) checkpoints(flows []shownFlow, most int) {
	for _, f := range flows {
		if f.Groups == nil {
			continue
		}
		from, to, _ := strings.Cut(f.Name, "->")
		from, to = jmx(from), jmx(to)
		named := slices.Clone(f.Groups.Checkpoints)
		for i := range named { // a group may have any name
			named[i].Group = jmx(legible(named[i].Group))
		}
		all := first(named, Checkpoint.compare, func(a, b Checkpoint) bool { return a.compare(b) == 0 })
		all = all[:min(len(all), most)]
		most -= len(all)
		for i := range all {
			p := &all[i]
			labels := mm2Checkpoint.last.pairs(from, to, p.Group, p.Remote.Topic, strconv.Itoa(int(p.Remote.Number)))
			w.window(mm2Checkpoint, p.Latency, labels)
		}
	}
}

func (c Checkpoint) compare(other Checkpoint) int {
	return cmp.Or(cmp.Compare(c.Group, other.Group), cmp.Compare(c.Remote.Topic, other.Remote.Topic), cmp.Compare(c.Remote.Number, other.Remote.Number))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var (
	plain  = regexp.MustCompile(`^[A-Za-z0-9_%. \t-]*$`)
	escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `*`, `\*`, `?`, `\?`, "\n", `\n`)
)

// jmx is a value as MM2's MBeans have it: in quotes where it is not plain.
func jmx(value string) string {
	if plain.MatchString(value) {
		return value
	}
	return `"` + escape.Replace(value) + `"`
}
