package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/cli"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

const (
	markWriter = "archive-mark"
	askAgain   = 100 * time.Millisecond // for a moment without open transactions
	lookAgain  = time.Second            // for what the archive has
)

// marker makes one point.
type marker struct {
	*opened
	admin    *kafka.Admin
	wire     *kafka.Wire
	progress *cli.Progress

	objects []catalog.Object // that were there
	state   *catalog.State
	stand   map[archived]stream.Upstream // how far the archive has come
	lives   map[string]bundle.Topic      // of the topics that exist, as the archive knows them
	newest  string                       // name of the last bundle that was there
	seen    map[string]bool              // bundles that were read
}

// archived is a partition of a topic in one of its lives.
type archived struct {
	name        string
	id          stream.TopicID
	incarnation int32
	partition   int32
}

func partitionOf(t bundle.Topic, n int32) archived {
	if t.ID != (stream.TopicID{}) {
		return archived{name: t.Name, id: t.ID, partition: n}
	}
	return archived{name: t.Name, incarnation: t.Incarnation, partition: n}
}

func newMarker(a *opened, p *cli.Progress) (*marker, error) {
	control, err := kafka.Parse(a.flow.SourceAdmin)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", a.flow.Source, err)
	}
	data, err := kafka.Parse(a.flow.SourceConsumer)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", a.flow.Source, err)
	}
	wire, err := kafka.NewWire(data)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", a.flow.Source, err)
	}
	return &marker{opened: a, admin: kafka.NewAdmin(control), wire: wire, progress: p, stand: make(map[archived]stream.Upstream), seen: make(map[string]bool)}, nil
}

func (m *marker) close() {
	_ = m.admin.Close() // it only reads
	m.wire.Close()
}

// load reads what the archive has.
func (m *marker) load(ctx context.Context) error {
	objects, _, err := catalog.List(ctx, m.store, m.flow.Source)
	if err != nil {
		return err
	}
	m.objects = objects
	view := catalog.NewView(m.flow.Source, time.Time{}, nil)
	err = catalog.Walk(ctx, m.store, objects, m.options(m.progress, "mark"), func(o catalog.Object, f *bundle.Footer, err error) error {
		m.newest, m.seen[o.Name] = o.Name, true
		if err != nil {
			view.AddDamaged(o, err)
			return nil
		}
		view.Add(o, f)
		m.heed(f)
		return nil
	})
	if err != nil {
		return err
	}
	m.state = view.State()
	m.lives = make(map[string]bundle.Topic)
	for _, l := range m.state.Lives {
		m.lives[l.Topic.Name] = l.Topic
	}
	return nil
}

// heed notes how far a bundle says that the archive has come.
func (m *marker) heed(f *bundle.Footer) {
	for _, e := range f.Chunks {
		p := partitionOf(e.Topic, e.Partition)
		m.stand[p] = max(m.stand[p], e.Next)
	}
	for _, q := range f.Positions {
		p := partitionOf(q.Topic, q.Partition)
		m.stand[p] = max(m.stand[p], q.Next)
	}
}

// mark reads the source and writes the bundle.
func (m *marker) mark(ctx context.Context, name string, o markOptions) (*marked, error) {
	out := &marked{Point: name, Open: []string{}, Unknown: []string{}, Warnings: []string{}, Behind: []string{}}
	topics, err := m.topics(ctx, out)
	if err != nil {
		return nil, err
	}
	if len(topics) == 0 {
		return nil, refused{fmt.Errorf("the archive knows no topic of %s yet: nothing was written; is mirror running?", m.flow.Source)}
	}
	events, err := m.surroundings(ctx, topics, out)
	if err != nil {
		return nil, err
	}
	positions, groups, at, err := m.moment(ctx, topics, o.wait, out)
	if err != nil {
		return nil, err
	}
	out.At, out.Topics, out.Partitions = at.UTC(), len(topics), len(positions)
	events = append(append(events, groups...), bundle.Mark{Name: name, Note: o.note, Positions: positions})
	if out.Object, err = m.write(ctx, at, events); err != nil {
		return nil, err
	}
	for _, p := range positions {
		m.want(out, p)
	}
	return out, nil
}

// topics are those that are archived, and that the archive knows.
func (m *marker) topics(ctx context.Context, out *marked) ([]stream.Topic, error) {
	all, err := m.admin.Topics(ctx)
	if err != nil {
		return nil, m.explained(err)
	}
	var mine []stream.Topic
	for _, t := range all {
		if !m.flow.Archive.Keeps(t.Name) {
			continue
		}
		if life, ok := m.lives[t.Name]; !ok || life.ID != t.ID && life.ID != (stream.TopicID{}) {
			out.Unknown = append(out.Unknown, t.Name)
			continue
		}
		mine = append(mine, t)
	}
	slices.Sort(out.Unknown)
	slices.SortFunc(mine, func(a, b stream.Topic) int { return strings.Compare(a.Name, b.Name) })
	return mine, nil
}

// surroundings are the configs of topics and the ACLs. What cannot be read is left out, and said.
func (m *marker) surroundings(ctx context.Context, topics []stream.Topic, out *marked) (events []bundle.Body, err error) {
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	configs, err := m.admin.Configs(ctx, names)
	if err != nil {
		if kafka.Classify(err) == kafka.Unreachable {
			return nil, m.explained(err)
		}
		out.Warnings = append(out.Warnings, "configs of topics cannot all be read: "+kafka.Explain(err))
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		e := bundle.TopicConfigs{Topic: m.lives[name]}
		for _, c := range configs[name] {
			if c.Source == stream.ConfigTopic {
				e.Configs = append(e.Configs, bundle.Config{Name: c.Name, Value: c.Value})
			}
		}
		slices.SortFunc(e.Configs, func(a, b bundle.Config) int { return strings.Compare(a.Name, b.Name) })
		events = append(events, e)
	}
	bindings, kept, err := m.admin.ACLs(ctx)
	switch {
	case err != nil && kafka.Classify(err) == kafka.Unreachable:
		return nil, m.explained(err)
	case err != nil:
		out.Warnings = append(out.Warnings, "ACLs cannot be read: "+kafka.Explain(err))
	case kept:
		e := bundle.ACLs{}
		for _, b := range bindings {
			e.Bindings = append(e.Bindings, bundle.ACL(b))
		}
		events = append(events, e)
	}
	return events, nil
}

// moment finds one at which no transaction is open. Groups are read before the ends, so that none stands behind them.
func (m *marker) moment(ctx context.Context, topics []stream.Topic, patience time.Duration, out *marked) ([]bundle.Position, []bundle.Body, time.Time, error) {
	deadline := time.Now().Add(patience)
	for {
		groups, err := m.groups(ctx, topics, out)
		if err != nil {
			return nil, nil, time.Time{}, err
		}
		at := time.Now()
		ends, failed, err := m.wire.Ends(ctx, topics)
		if err != nil {
			return nil, nil, at, m.explained(err)
		}
		open := m.open(ends)
		if len(open) == 0 && len(failed) == 0 {
			return m.positions(topics, ends), groups, at, nil
		}
		if !time.Now().Before(deadline) {
			for p, err := range failed {
				return nil, nil, at, fmt.Errorf("cluster %s: where %s ends: %s", m.flow.Source, p, kafka.Explain(err))
			}
			out.Open = open
			return m.positions(topics, ends), groups, at, nil
		}
		m.progress.Show("mark: transactions are open in %d partitions, %d do not answer", len(open), len(failed))
		if err := linger(ctx, askAgain); err != nil {
			return nil, nil, at, err
		}
	}
}

func (m *marker) open(ends map[stream.Partition]kafka.Ends) []string {
	var open []string
	for p, e := range ends {
		if e.Stable != e.End {
			open = append(open, p.String())
		}
	}
	slices.Sort(open)
	return open
}

func (m *marker) positions(topics []stream.Topic, ends map[stream.Partition]kafka.Ends) (all []bundle.Position) {
	for _, t := range topics {
		for n := range t.Partitions {
			e := ends[stream.Partition{Topic: t.Name, Number: n}]
			all = append(all, bundle.Position{Topic: m.lives[t.Name], Partition: n, Next: min(e.Stable, e.End), LeaderEpoch: -1})
		}
	}
	return all
}

const offsetsEach = 5000 // in one event, as mirror has it

// groups are the positions of those that the flow selects, for topics of the point.
func (m *marker) groups(ctx context.Context, topics []stream.Topic, out *marked) (events []bundle.Body, err error) {
	mine := make(map[string]bool)
	for _, t := range topics {
		mine[t.Name] = true
	}
	listed, err := m.admin.Groups(ctx)
	if err != nil {
		return nil, m.explained(err)
	}
	var ids []string
	for _, g := range listed {
		if m.flow.Groups.Accepts(g.ID) {
			ids = append(ids, g.ID)
		}
	}
	offsets, refused, err := m.admin.GroupOffsets(ctx, ids)
	if err != nil {
		return nil, m.explained(err)
	}
	out.Warnings = slices.DeleteFunc(out.Warnings, func(s string) bool { return strings.HasPrefix(s, "group ") })
	for _, id := range slices.Sorted(maps.Keys(refused)) {
		out.Warnings = append(out.Warnings, fmt.Sprintf("group %s cannot be read: %s", id, kafka.Explain(refused[id])))
	}
	out.Groups = 0
	for _, id := range slices.Sorted(maps.Keys(offsets)) {
		var list []bundle.GroupOffset
		for p, c := range offsets[id] {
			if mine[p.Topic] {
				list = append(list, bundle.GroupOffset{Topic: p.Topic, Partition: p.Number, Offset: stream.Upstream(c.Offset), LeaderEpoch: -1, Metadata: c.Metadata})
			}
		}
		if len(list) == 0 {
			continue
		}
		out.Groups++
		slices.SortFunc(list, func(a, b bundle.GroupOffset) int {
			return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		whole := true
		for part := range slices.Chunk(list, offsetsEach) {
			events = append(events, bundle.GroupOffsets{Group: id, Whole: whole, Offsets: part})
			whole = false
		}
	}
	return events, nil
}

// write stores the point.
func (m *marker) write(ctx context.Context, at time.Time, events []bundle.Body) (string, error) {
	id, err := m.admin.ClusterID(ctx)
	if err != nil {
		return "", m.explained(err)
	}
	w, err := bundle.NewWriter(ctx, bundle.Header{
		Flow: m.flow.Flow, ClusterID: id, Writer: markWriter, Generation: catalog.NextGeneration(m.objects, markWriter, at), CreatedAt: at,
	}, bundle.Options{Keeper: m.keeper})
	if err != nil {
		return "", err
	}
	for _, e := range events {
		if err := w.Event(at, e); err != nil {
			w.Discard()
			return "", err
		}
	}
	return putBundle(ctx, m.store, w)
}

// want notes a partition that is not archived so far.
func (m *marker) want(out *marked, p bundle.Position) {
	if m.stand[partitionOf(p.Topic, p.Partition)] < p.Next {
		out.Behind = append(out.Behind, fmt.Sprintf("%s/%d", p.Topic.Name, p.Partition))
	}
}

// follow waits until the archive has come as far as the point.
func (m *marker) follow(ctx context.Context, out *marked, patience time.Duration) error {
	positions, err := m.read(ctx, out.Object)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		out.Behind = []string{}
		for _, p := range positions {
			m.want(out, p)
		}
		if out.Restorable = len(out.Behind) == 0; out.Restorable || !time.Now().Before(deadline) {
			return nil
		}
		m.progress.Show("mark: the archive has to come as far in %s", count(len(out.Behind), "partition"))
		if err := linger(ctx, lookAgain); err != nil {
			return err
		}
		if err := m.look(ctx); err != nil {
			return err
		}
	}
}

// read is the point as it is stored.
func (m *marker) read(ctx context.Context, name string) ([]bundle.Position, error) {
	info, err := m.store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := catalog.NewOpener(m.store, m.keeper, 1).Footer(ctx, &catalog.Object{Name: name, Size: info.Size})
	if err != nil {
		return nil, err
	}
	for _, e := range f.Events {
		if point, ok := e.Body.(bundle.Mark); ok {
			return point.Positions, nil
		}
	}
	return nil, fmt.Errorf("%s has no point", name)
}

// look reads the bundles that are new. Names sort by time, but a bundle is stored some time after its name was made: it looks a little back.
func (m *marker) look(ctx context.Context) error {
	var fresh []catalog.Object
	after := ""
	if h, err := bundle.ParseName("", m.newest); err == nil {
		after = bundle.Folder("", m.flow.Source) + h.CreatedAt.Add(-time.Hour).UTC().Format("2006/01/02/15")
	}
	for info, err := range m.store.List(ctx, bundle.Folder("", m.flow.Source), after) {
		if err != nil {
			return fmt.Errorf("list bundles of %s: %w", m.flow.Source, err)
		}
		if h, err := bundle.ParseName("", info.Name); err == nil && !m.seen[info.Name] {
			fresh = append(fresh, catalog.Object{Name: info.Name, Size: info.Size, Header: h})
		}
	}
	return catalog.Walk(ctx, m.store, fresh, catalog.Options{Source: m.flow.Source, Keeper: m.keeper}, func(o catalog.Object, f *bundle.Footer, err error) error {
		if err == nil {
			m.heed(f)
		}
		m.seen[o.Name] = true
		return nil
	})
}

// linger waits, or says that it must not.
func linger(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
