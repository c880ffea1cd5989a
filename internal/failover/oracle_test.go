package failover

import (
	"context"
	"slices"
	"strings"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fakeMap is a map made of every record: the target offset of each source offset that is on the target and that it knows.
type fakeMap struct {
	up   map[stream.Partition]map[int64]int64 // by partition of the map's target: source offset to target offset
	ends map[stream.Partition][2]int64        // covered
	gaps map[stream.Partition][2]int64        // target offsets whose source offsets it does not know
}

func newFakeMap() *fakeMap {
	return &fakeMap{up: map[stream.Partition]map[int64]int64{}, ends: map[stream.Partition][2]int64{}, gaps: map[stream.Partition][2]int64{}}
}

// copied says that source records from..to-1 stand at down and after, one by one.
func (f *fakeMap) copied(remote stream.Partition, from, to, down int64) *fakeMap {
	if f.up[remote] == nil {
		f.up[remote] = map[int64]int64{}
	}
	for o := from; o < to; o++ {
		f.up[remote][o] = down + o - from
	}
	f.ends[remote] = [2]int64{to, down + to - from}
	return f
}

func (f *fakeMap) gap(remote stream.Partition, from, to int64) *fakeMap {
	f.gaps[remote] = [2]int64{from, to}
	return f
}

func (f *fakeMap) Covered(remote stream.Partition) (stream.Upstream, stream.Downstream, bool) {
	e, ok := f.ends[remote]
	return stream.Upstream(e[0]), stream.Downstream(e[1]), ok
}

func (f *fakeMap) Translate(_ context.Context, remote stream.Partition, up stream.Upstream) (stream.Translated, error) {
	e, ok := f.ends[remote]
	if !ok {
		return stream.Translated{Offset: -1, Class: stream.Unknown, Reason: "nothing is known of " + remote.String()}, nil
	}
	best := e[1]
	for u, d := range f.up[remote] {
		if u >= int64(up) && d < best {
			best = d
		}
	}
	if g, ok := f.gaps[remote]; ok && best >= g[0] && best < g[1] {
		return stream.Translated{Offset: stream.Downstream(g[0]), Class: stream.Clamped, Again: g[1] - g[0], Reason: "a gap"}, nil
	}
	if int64(up) > e[0] {
		return stream.Translated{Offset: stream.Downstream(e[1]), Class: stream.Ahead, Reason: "not mirrored yet"}, nil
	}
	return stream.Translated{Offset: stream.Downstream(best), Class: stream.Exact}, nil
}

func (f *fakeMap) Return(_ context.Context, remote stream.Partition, down stream.Downstream) (stream.Returned, error) {
	e, ok := f.ends[remote]
	if !ok {
		return stream.Returned{Offset: -1, Class: stream.Unknown, Reason: "nothing is known of " + remote.String()}, nil
	}
	best := e[0]
	for u, d := range f.up[remote] {
		if d >= int64(down) && u < best {
			best = u
		}
	}
	if int64(down) > e[1] {
		return stream.Returned{Offset: stream.Upstream(e[0]), Class: stream.Ahead, Reason: "not in the map"}, nil
	}
	return stream.Returned{Offset: stream.Upstream(best), Class: stream.Exact}, nil
}

// at reads "topic/3".
func at(s string) stream.Partition {
	topic, number, _ := strings.Cut(s, "/")
	return stream.Partition{Topic: topic, Number: int32(number[0] - '0')}
}

// world is a situation that a test changes before it plans: orders of A, partitions 0 and 1, mirrored to B.
type world struct {
	Situation
	forward, home *fakeMap
}

func newWorld() *world {
	w := &world{forward: newFakeMap(), home: newFakeMap()}
	p, err := policy.New(policy.DefaultClass, ".", false, "A")
	if err != nil {
		panic(err)
	}
	w.Situation = Situation{
		Now: noon, ID: "20261120T120000Z-00000000", Config: "/etc/mm2.properties", Kind: Over,
		Rules: Rules{From: "A", To: "B", Policy: p, HomePolicy: p,
			Replicates:     func(topic string) bool { return topic == "orders" },
			HomeReplicates: func(topic string) bool { return topic == "orders" }},
		From: Source{ClusterID: "cluster-a", Live: true, Ends: map[stream.Partition]stream.SourceEnd{},
			Starts: map[stream.Partition]int64{}, Groups: map[string]stream.GroupOffsets{}, States: map[string]stream.Group{}},
		To: Target{ClusterID: "cluster-b", Topics: map[string]stream.Topic{}, Starts: map[stream.Partition]int64{}, Ends: map[stream.Partition]int64{},
			States: map[string]stream.Group{}, Offsets: map[string]map[stream.Partition]stream.Committed{}},
		Map: w.forward, Home: w.home, Checkpoints: map[CheckpointKey]stream.Checkpoint{},
	}
	w.log("A.orders/0", 0, 100)
	w.log("A.orders/1", 0, 50)
	w.end("orders/0", 100, 100)
	w.end("orders/1", 50, 50)
	w.forward.copied(at("A.orders/0"), 0, 100, 0)
	w.forward.copied(at("A.orders/1"), 0, 50, 0)
	return w
}

// log is a partition of B.
func (w *world) log(p string, start, end int64) *world {
	x := at(p)
	t := w.To.Topics[x.Topic]
	w.To.Topics[x.Topic] = stream.Topic{Name: x.Topic, ID: stream.TopicID{15: byte(len(x.Topic))}, Partitions: max(t.Partitions, x.Number+1)}
	w.To.Starts[x], w.To.Ends[x] = start, end
	return w
}

// end is where a partition of A ends, and how far it is mirrored.
func (w *world) end(p string, end, acked int64) *world {
	w.From.Ends[at(p)] = stream.SourceEnd{End: stream.Upstream(end), Acked: stream.Upstream(acked), At: noon, Newest: noon.Add(-4500 * time.Millisecond)}
	return w
}

// group has committed an offset on A.
func (w *world) group(id, p string, offset int64) *world {
	g, ok := w.From.Groups[id]
	if !ok {
		g = stream.GroupOffsets{Group: id, At: noon, Offsets: map[stream.Partition]stream.Committed{}}
		w.From.States[id] = stream.Group{ID: id, State: "Empty"}
		w.To.States[id] = stream.Group{ID: id, State: "Dead"}
	}
	g.Offsets[at(p)] = stream.Committed{Offset: offset, Metadata: "m"}
	w.From.Groups[id] = g
	return w
}

// old is what a group had committed on B.
func (w *world) old(id, p string, offset int64) *world {
	if w.To.Offsets[id] == nil {
		w.To.Offsets[id] = map[stream.Partition]stream.Committed{}
	}
	w.To.Offsets[id][at(p)] = stream.Committed{Offset: offset}
	return w
}

// dead is A after a disaster, last heard of 3 s ago.
func (w *world) dead() *world {
	w.From.Live, w.From.Away, w.From.ClusterID = false, "connection refused", ""
	w.From.Starts, w.From.States, w.Home = nil, nil, nil
	for p, e := range w.From.Ends {
		e.At = e.At.Add(-3 * time.Second)
		w.From.Ends[p] = e
	}
	return w
}

func (w *world) plan(ctx context.Context) Plan {
	var partitions []stream.Partition
	for p := range w.From.Ends {
		partitions = append(partitions, p)
	}
	for _, g := range w.From.Groups {
		for p := range g.Offsets {
			partitions = append(partitions, p)
		}
	}
	w.Legs = w.Rules.Legs(partitions)
	p, err := Make(ctx, w.Situation)
	if err != nil {
		panic(err)
	}
	return p
}

func (p Plan) find(group, partition string) *Position {
	for _, g := range p.Groups {
		for i, x := range g.Positions {
			if g.Group == group && x.SourcePartition() == at(partition) {
				return &g.Positions[i]
			}
		}
	}
	return nil
}

func (p Plan) blockedBy(words string) bool {
	return slices.ContainsFunc(p.Blockers, func(b Blocker) bool { return strings.Contains(b.What, words) })
}
