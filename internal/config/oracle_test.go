package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testdata/mm2-resolution.txt holds random files, with every way to write a line, and what the classes of MM2 4.3.1 make
// of them: pairs, values, settings of each client.
func TestMM2ResolvesTheSame(t *testing.T) {
	data, err := os.ReadFile("testdata/mm2-resolution.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(data), "-- file --\n")[1:]
	for i, c := range cases {
		quoted, capture, _ := strings.Cut(c, "\n-- answer --\n")
		file, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		config, err := read("mm2.properties", []byte(file), nil)
		got := ""
		switch {
		case err == nil:
			got = sortPairs(dumpFlows(config))
		case !strings.Contains(err.Error(), "no flow has anything to do"):
			t.Errorf("case %d: %v", i, err)
		}
		if want := sortPairs(clean(capture)); got != want {
			t.Errorf("case %d:\n%s\ngot\n%s\nwant\n%s", i, file, got, want)
		}
	}
	if len(cases) < 30 {
		t.Errorf("only %d cases", len(cases))
	}
}

// dumpFlows writes what this package made of a file as the capture of MM2 does.
func dumpFlows(c *Config) string {
	var b strings.Builder
	for _, f := range c.Flows {
		fmt.Fprintf(&b, "PAIR %s\nV enabled %v\nV heartbeats %v\nV rf %d\nV refresh %d\nV sync %d\nV lag %d\n",
			f, f.Enabled, f.Heartbeats, f.ReplicationFactor, f.RefreshTopics/time.Millisecond, f.SyncConfigs/time.Millisecond, f.OffsetSyncs.LagMax)
		other := f.Target
		if f.OffsetSyncs.Location == "target" {
			other = f.Source
		}
		fmt.Fprintf(&b, "V syncs %s\nV remote %s\n", f.Policy.OffsetSyncsTopic(other), f.Policy.RemoteTopic(f.Source, "orders"))
		for _, name := range []string{"orders", "payments", "mm2.x.internal", "tmp-1"} {
			fmt.Fprintf(&b, "V topic:%s %v\n", name, f.Topics.Topics.Accepts(name))
		}
		consumer := maps.Clone(f.SourceConsumer)
		consumer["auto.offset.reset"] = f.AutoOffsetReset
		for _, client := range []struct {
			name string
			p    Properties
		}{{"sc", consumer}, {"sa", f.SourceAdmin}, {"ta", f.TargetAdmin}, {"sp", f.SourceProducer}, {"tp", f.TargetProducer}} {
			if client.name == "sp" && f.OffsetSyncs.Location == "target" {
				continue // there MM2's producer is another client
			}
			for _, k := range slices.Sorted(maps.Keys(client.p)) {
				if leaked(k) {
					continue
				}
				fmt.Fprintf(&b, "C %s %s %s\n", client.name, k, client.p[k])
			}
		}
		fmt.Fprintf(&b, "W offset.flush.interval.ms %d\nW offset.storage.topic %s\nW offset.storage.partitions %d\nW offset.storage.replication.factor %d\n",
			f.FlushInterval/time.Millisecond, f.OffsetsTopic, f.OffsetsPartitions, f.OffsetsFactor)
	}
	return b.String()
}

// clean takes out of a capture what this package does otherwise on purpose: settings that leak into clients that do not
// know them are dropped, intervals that are off are 0, and worker keys that are not set show their defaults.
func clean(capture string) string {
	defaults := map[string]string{"offset.flush.interval.ms": "60000", "offset.storage.topic": "", "offset.storage.partitions": "25", "offset.storage.replication.factor": "3"}
	order := []string{"offset.flush.interval.ms", "offset.storage.topic", "offset.storage.partitions", "offset.storage.replication.factor"}
	var b strings.Builder
	worker := map[string]string{}
	target, open := false, false
	flush := func() {
		if !open {
			return
		}
		for _, k := range order {
			v, ok := worker[k]
			if !ok {
				v = defaults[k]
			}
			fmt.Fprintf(&b, "W %s %s\n", k, v)
		}
		clear(worker)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(capture, "\n"), "\n") {
		f := strings.SplitN(line, " ", 4)
		switch {
		case f[0] == "PAIR":
			flush()
			open = true
		case f[0] == "W":
			worker[f[1]] = strings.Join(f[2:], " ")
			continue
		case f[0] == "C" && leaked(f[2]):
			continue
		case f[0] == "C" && f[1] == "sp" && target:
			continue
		case f[0] == "V" && (f[1] == "refresh" || f[1] == "sync") && strings.HasPrefix(f[2], "-"):
			line = "V " + f[1] + " 0"
		case f[0] == "L":
			target = f[1] == "target"
			continue
		}
		b.WriteString(line + "\n")
	}
	flush()
	return b.String()
}

// sortPairs brings the pairs into one order: MM2 takes them from a set.
func sortPairs(dump string) string {
	pairs := strings.SplitAfter(dump, "\n")
	var blocks []string
	for _, line := range pairs {
		if strings.HasPrefix(line, "PAIR") || len(blocks) == 0 {
			blocks = append(blocks, "")
		}
		blocks[len(blocks)-1] += line
	}
	slices.Sort(blocks)
	return strings.TrimSpace(strings.Join(blocks, ""))
}

// leaked are keys of MM2 that end up, cut short, among the settings of a client, where nobody reads them.
func leaked(k string) bool {
	return k == "poll.timeout.ms" || k == "timeout.ms" || strings.HasPrefix(k, "override.")
}
