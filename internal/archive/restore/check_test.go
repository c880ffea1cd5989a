package restore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// What stands against a restore, and what does not.
func TestCheck(t *testing.T) {
	day := int64(24 * time.Hour / time.Millisecond)
	now := noon.UnixMilli()
	plan := func(change func(*Topic)) *Plan {
		topic := Topic{Name: "orders", To: "orders", Partitions: 2, Factor: 3, Configs: map[string]string{"max.message.bytes": "2000000"},
			Parts: []Part{{Number: 0, From: 0, End: 100, Bytes: 1000, Oldest: now - 3*day, Least: now - 4*day, Most: now - day}}}
		if change != nil {
			change(&topic)
		}
		return &Plan{Topics: []Topic{topic}}
	}
	fresh := func(configs ...string) Target {
		return Target{Now: noon, New: map[string]NewTopic{"orders": {Configs: pairs(configs)}}}
	}
	there := func(partitions int32, configs ...string) Target {
		return Target{Now: noon, Topics: map[string]TargetTopic{"orders": {Partitions: partitions, Configs: pairs(configs)}}}
	}
	same := there(2)
	same.Same = true
	hole := func(lost bool) func(*Topic) {
		return func(t *Topic) { t.Parts[0].Holes = []Hole{{From: 5, To: 9, Why: "missing", Lost: lost}} }
	}
	for _, c := range []struct {
		name    string
		change  func(*Topic)
		target  Target
		allow   Allowed
		words   string // of the only problem; none: there is none
		refused bool
	}{
		{name: "a new topic", target: fresh("retention.ms", "-1")},
		{name: "it tells no configs", target: Target{Now: noon, New: map[string]NewTopic{"orders": {}}}},
		{name: "small batches, and the source took usual ones", change: func(t *Topic) { t.Configs = nil }, target: fresh("max.message.bytes", "1000"), words: "1048588"},
		{name: "a record that is too large", change: func(t *Topic) { t.Parts[0].Largest = 1001 }, target: fresh("max.message.bytes", "1000"),
			words: "there are some of 1001", refused: true},
		{name: "a record that just fits", change: func(t *Topic) { t.Parts[0].Largest = 2000000 }, target: fresh("max.message.bytes", "2000000")},
		{name: "too few replicas in sync", change: nil, target: inSync(there(2, "min.insync.replicas", "2"), 1), allow: Allowed{Append: true},
			words: "has 1 replicas in sync", refused: true},
		{name: "enough of them", target: inSync(there(2, "min.insync.replicas", "2"), 2), allow: Allowed{Append: true}},
		{name: "nobody knows how many", target: there(2, "min.insync.replicas", "2"), allow: Allowed{Append: true}},
		{name: "the cluster makes too few", target: Target{Now: noon, New: map[string]NewTopic{"orders": {Factor: 1, Configs: pairs([]string{"min.insync.replicas", "2"})}}},
			words: "set --replication-factor to 2", refused: true},
		{name: "no right to write", target: denied(there(2)), allow: Allowed{Append: true}, words: "no right to Write", refused: true},
		{name: "it is there, with more partitions", target: there(4), allow: Allowed{Append: true}, words: "has 4 partitions, orders had 2"},
		{name: "no right to create it", target: Target{Now: noon, New: map[string]NewTopic{"orders": {Err: errors.New("denied")}}}, words: "cannot be created: denied", refused: true},
		{name: "old records", target: fresh("retention.ms", "172800000"), words: "delete records at once", refused: true},
		{name: "old enough to stay", target: fresh("retention.ms", "345600000")},
		{name: "old records, compacted", target: fresh("retention.ms", "1000", "cleanup.policy", "compact"), words: "only the last record of each key"},
		{name: "large", target: fresh("retention.bytes", "999"), words: "999 bytes of a partition", refused: true},
		{name: "too old to be taken", target: fresh("message.timestamp.before.max.ms", "302400000"), words: "takes none older", refused: true},
		{name: "without a limit", target: fresh("message.timestamp.before.max.ms", "9223372036854775807", "message.timestamp.after.max.ms", "9223372036854775807")},
		{name: "of the future", change: func(t *Topic) { t.Parts[0].Most = now + 2*day }, target: fresh("message.timestamp.after.max.ms", "3600000"),
			words: "none of a time behind", refused: true},
		{name: "append time", target: fresh("message.timestamp.type", "LogAppendTime"), words: "over all timestamps", refused: true},
		{name: "small batches", target: fresh("max.message.bytes", "1000"), words: "2000000"},
		{name: "it is there", target: there(2), words: "is there already", refused: true},
		{name: "it is there, and may be", target: there(2), allow: Allowed{Append: true}},
		{name: "it is there, with fewer partitions", target: there(1), allow: Allowed{Append: true}, words: "has 1 partitions", refused: true},
		{name: "it is the one that was archived", target: same, allow: Allowed{Append: true}, words: "still there", refused: true},
		{name: "records are lost", change: hole(true), target: fresh(), words: "offsets 5 to 8 are not in the archive", refused: true},
		{name: "records are lost, and may be", change: hole(true), target: fresh(), allow: Allowed{Holes: true}, words: "offsets 5 to 8"},
		{name: "records were deleted", change: hole(false), target: fresh(), words: "offsets 5 to 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := plan(c.change).Check(c.target, c.allow)
			if c.words == "" {
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				return
			}
			if len(problems) != 1 || !strings.Contains(problems[0].String(), c.words) || problems[0].Refused != c.refused {
				t.Fatalf("%q, want %q, refused %t", problems, c.words, c.refused)
			}
		})
	}
}

func inSync(target Target, replicas int) Target {
	topic := target.Topics["orders"]
	topic.InSync = replicas
	target.Topics["orders"] = topic
	return target
}

func denied(target Target) Target {
	topic := target.Topics["orders"]
	topic.Denied = []string{"Write"}
	target.Topics["orders"] = topic
	return target
}

func pairs(list []string) map[string]string {
	m := make(map[string]string)
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

func TestCreateConfigs(t *testing.T) {
	topic := Topic{To: "orders", Configs: pairs([]string{"message.timestamp.type", "LogAppendTime", "retention.ms", "1000", "min.insync.replicas", "2",
		"leader.replication.throttled.replicas", "*", "cleanup.policy", "delete"})}
	configs, changed := topic.CreateConfigs(false, 1)
	if len(configs) != 2 || configs["retention.ms"] != "1000" || configs["cleanup.policy"] != "delete" || len(changed) != 2 {
		t.Errorf("%v, %q", configs, changed)
	}
	configs, changed = topic.CreateConfigs(true, 3)
	if configs["retention.ms"] != "-1" || configs["retention.bytes"] != "-1" || configs["min.insync.replicas"] != "2" || len(changed) != 3 ||
		!strings.Contains(strings.Join(changed, "\n"), "--add-config retention.ms=1000") {
		t.Errorf("%v, %q", configs, changed)
	}
	if topic.Configs["retention.ms"] != "1000" {
		t.Error("the plan was changed")
	}
}

// stated is a state of one topic in two lives, with a group and a point.
func stated(part catalog.Part) *catalog.State {
	old, now := bundle.Topic{Name: "orders", ID: stream.TopicID{1}}, bundle.Topic{Name: "orders", ID: stream.TopicID{2}, Incarnation: 1}
	empty := catalog.Life{Topic: bundle.Topic{Name: "empty"}, Partitions: 3}
	return &catalog.State{
		Source: "A", Lives: []catalog.Life{empty, {Topic: now, Partitions: 2, Parts: []catalog.Part{part}}},
		Past: []catalog.Life{{Topic: old, Partitions: 1, Parts: []catalog.Part{part}}},
		Groups: map[string]map[stream.Partition]bundle.GroupOffset{
			"billing": {{Topic: "orders"}: {Topic: "orders", Offset: 3}, {Topic: "orders", Number: 1}: {Topic: "orders", Partition: 1, Offset: 5}},
			"gone":    {{Topic: "orders"}: {Topic: "orders", Offset: -1}},
		},
		Points: []catalog.Point{{Name: "deploy", At: noon, Positions: []bundle.Position{{Topic: now, Next: part.First() + 7}}}, {Name: "other", At: noon}},
		ACLs:   []bundle.ACL{{ResourceType: 2, PatternType: 3, Resource: "orders"}, {ResourceType: 2, PatternType: 4, Resource: "ord"}, {ResourceType: 3, Resource: "orders"}},
		ACLsAt: noon,
	}
}

func TestMake(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	chunks := &chunkStore{raw: make(map[string][][]byte)}
	part := chunks.archive(t, r, random(r, 50, 40), false, 0, nil)
	all := Selection{Topics: func(string) bool { return true }, Groups: func(string) bool { return true }, Rename: func(t string) string { return "x-" + t }, ACLs: true}
	p, err := Make(stated(part), all)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Topics) != 2 || p.Topics[0].Name != "empty" || p.Topics[0].Partitions != 3 || len(p.Topics[1].Parts) != 1 ||
		p.Topics[1].To != "x-orders" || p.Topics[1].Parts[0].From != part.First() || p.Topics[1].Parts[0].End != part.Next() {
		t.Errorf("%+v", p.Topics)
	}
	if len(p.Groups) != 1 || len(p.Groups[0].Offsets) != 1 || p.Groups[0].Offsets[0].Offset != 3 { // of partition 1 nothing is archived
		t.Errorf("%+v", p.Groups)
	}
	if len(p.ACLs) != 1 || p.ACLs[0].Resource != "x-orders" {
		t.Errorf("%+v", p.ACLs)
	}
	point := all
	point.Point = "deploy"
	if p, err = Make(stated(part), point); err != nil || p.Topics[1].Parts[0].End != part.First()+7 {
		t.Errorf("%+v: %v", p, err)
	}
	point.Point = "nowhere"
	if _, err = Make(stated(part), point); err == nil || !strings.Contains(err.Error(), "deploy, other") {
		t.Error(err)
	}
	one := all
	one.Rename = func(string) string { return "one" }
	if _, err = Make(stated(part), one); err == nil || !strings.Contains(err.Error(), "both") {
		t.Error(err)
	}
}

// A plan that was noted is followed although the topic was made anew since, and has more.
func TestPlansOutliveTheirTopics(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	chunks := &chunkStore{raw: make(map[string][][]byte)}
	part := chunks.archive(t, r, random(r, 0, 60), false, 0, nil)
	short := part
	short.Stretches = part.Stretches[:len(part.Stretches)-1]
	state := stated(short)
	p, err := Make(state, Selection{Topics: func(name string) bool { return name == "orders" }, Rename: func(t string) string { return t }})
	if err != nil {
		t.Fatal(err)
	}
	later := stated(part)
	later.Past, later.Lives = later.Lives, later.Past
	at := stream.Partition{Topic: "orders"}
	for _, s := range []*catalog.State{state, later} {
		logs, err := p.Logs(s, chunks)
		if err != nil || logs[at].End() != short.Next() {
			t.Fatalf("it ends at %d, not %d: %v", logs[at].End(), short.Next(), err)
		}
	}
	later.Past = nil
	if _, err := p.Logs(later, chunks); err == nil {
		t.Error("the life is gone")
	}
}

func TestLedger(t *testing.T) {
	st, err := store.Open(t.Context(), "file://"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	open := func(asked string, again bool) *Ledger {
		t.Helper()
		l, err := OpenLedger(t.Context(), st, "A", asked, "cluster", again)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first, beside := open("x", false), open("x", false)
	if err := first.SetPlan(t.Context(), &Plan{Version: 1, Asked: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := beside.SetPlan(t.Context(), &Plan{Version: 1, Asked: "y"}); !errors.Is(err, errElsewhere) {
		t.Errorf("two at once: %v", err)
	}
	if l := open("y", false); l.Plan != nil || l.ID == first.ID {
		t.Errorf("another one has plan %v", l.Plan)
	}
	if err := first.SetBegun(t.Context(), &Begun{ProducerID: 5, Bases: []Base{{"orders", 1, 7}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := first.AddLost(t.Context(), Lost{Object: "o", Chunk: len(first.Lost)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.SetWritten(t.Context(), &Written{Records: 9, Groups: []Positions{{Name: "g", Offsets: []Position{{Base{"orders", 1, 8}, "m"}}}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"g", "h"} {
		if err := first.AddCommitted(t.Context(), Committed{Groups: []string{name}, Kept: map[string]string{"i": "why"}}); err != nil {
			t.Fatal(err)
		}
	}
	l := open("x", true) // not finished: it goes on
	if g := l.Written.Groups; len(g) != 1 || g[0].Offsets[0] != (Position{Base{"orders", 1, 8}, "m"}) || len(l.Committed) != 2 || l.Committed[1].Groups[0] != "h" ||
		l.Committed[0].Kept["i"] != "why" || l.Stuck != "" {
		t.Errorf("%+v", l)
	}
	if l.ID != first.ID || l.Plan.Asked != "x" || l.Begun.Bases[0].Offset != 7 || !slices.Equal(l.Lost, first.Lost) || l.Finished != nil {
		t.Errorf("%+v", l)
	}
	if err := l.SetFinished(t.Context(), &Finished{Records: 9}); err != nil {
		t.Fatal(err)
	}
	if l := open("x", false); l.Finished == nil || l.Finished.Records != 9 {
		t.Errorf("%+v", l)
	}
	l = open("x", true)
	if l.Plan != nil || !strings.HasSuffix(l.ID, "-002") {
		t.Errorf("%+v", l)
	}
	if err := l.SetPlan(t.Context(), &Plan{Version: 1}); err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"its topic is gone", "and still is"} { // the first reason counts
		if err := open("x", false).SetStuck(t.Context(), why); err != nil {
			t.Fatal(err)
		}
	}
	if l := open("x", false); l.Plan == nil || l.Stuck != "its topic is gone" {
		t.Errorf("%+v", l)
	}
	if l := open("x", true); l.Plan != nil || !strings.HasSuffix(l.ID, "-003") {
		t.Errorf("%+v", l)
	}
}

// As many bytes go out as time has passed for, whoever takes them.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(1000)
		began := time.Now()
		done := make(chan error)
		for range 4 {
			go func() { done <- th.take(t.Context(), 500) }()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("2000 bytes took %s", took)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := th.take(ctx, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	if err := NewThrottle(0).take(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
}

// Several partitions are read through sessions as a pipe reads them, each to its end, whatever fits into an answer.
func TestSessions(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	chunks := &chunkStore{raw: make(map[string][][]byte)}
	logs := make(map[stream.Partition]*Log)
	wanted := make(map[stream.Partition][]rec)
	for n := range int32(9) {
		h := random(r, 0, 30)
		part := chunks.archive(t, r, h, false, 0, nil)
		cut := Cut{From: 0, End: part.Next(), Since: Always, Until: 1300}
		at := stream.Partition{Topic: "orders", Number: n}
		logs[at], wanted[at] = NewLog(part, cut, chunks), h.wanted(cut, false)
	}
	source := NewSource(logs, nil, func(err error) { t.Error(err) })
	leaders, err := source.Leaders(t.Context(), []string{"orders", "other"})
	if err != nil || len(leaders) != len(logs) {
		t.Fatalf("%v: %v", leaders, err)
	}
	sessions := make(map[int32]*Session)
	places := make(map[stream.Partition]stream.Place)
	for p, l := range leaders {
		if sessions[l.Broker] == nil {
			sessions[l.Broker] = source.Session(l.Broker)
		}
		places[p] = stream.Place{Partition: p, MaxBytes: 200}
		sessions[l.Broker].Set(places[p])
	}
	got := make(map[stream.Partition][]rec)
	for done := false; !done; {
		done = true
		for _, s := range sessions {
			fetched, err := s.Fetch(t.Context(), stream.FetchBounds{MaxWaitMillis: 1, MaxBytes: 500})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fetched {
				done = false
				list, next := decode(t, f.Records)
				place := places[f.Partition]
				for _, x := range list {
					if x.offset >= int64(place.Offset) {
						got[f.Partition] = append(got[f.Partition], x)
					}
				}
				place.Offset = stream.Upstream(next)
				places[f.Partition] = place
				s.Set(place)
			}
		}
	}
	for p, log := range logs {
		if places[p].Offset != log.End() || !slices.Equal(got[p], wanted[p]) {
			t.Errorf("%s is read up to %d of %d: %d records, want %d", p, places[p].Offset, log.End(), len(got[p]), len(wanted[p]))
		}
	}
}
