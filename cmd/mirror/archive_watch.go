package main

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/archive"
	"tandem/internal/archive/bundle"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// topicsSource is what a watch asks of the source (see kafka.Admin).
type topicsSource interface {
	Topics(ctx context.Context) ([]stream.Topic, error)
	Configs(ctx context.Context, topics []string) (map[string][]stream.ConfigEntry, error)
	ACLs(ctx context.Context) (bindings []stream.ACL, kept bool, err error)
}

// topicsArchive is what a watch tells the archive (see archive.Archiver).
type topicsArchive interface {
	Assign(partitions map[stream.Partition]stream.Topic)
	Life(name string, id stream.TopicID) (bundle.Topic, bool)
	Lives() (map[string]bundle.Topic, bool)
	Event(at time.Time, body bundle.Body) bool
}

// watch follows the topics of the source: it hands the archive its partitions, and tells it what becomes of topics, of their
// configs, and of ACLs. That a topic was made, made anew or widened the archive says itself.
type watch struct {
	*flow
	source topicsSource
	to     topicsArchive
	kicked <-chan struct{}

	mu     sync.Mutex     // guards listed, and the order in which it is assigned
	listed []stream.Topic // of the source, as of the last look
	some   bool           // partitions have been assigned

	seed     maphash.Seed
	configs  map[string]told         // by topic, what was said of its configs
	acls     told                    // and of ACLs; its life is not used
	missing  map[string]time.Time    // topics that were not listed at the last look, and since when
	gone     map[string]bundle.Topic // of which it was told
	patience time.Duration           // with what is missing
	silent   map[string]string       // by question, the error that was told last
}

// told stands for what the archive was told last.
type told struct {
	life bundle.Topic
	sum  uint64
	some bool
}

func newWatch(a *archiving, to *archive.Archiver) *watch {
	return watching(a.flow, a.clients.source, to, a.kicked)
}

func watching(f *flow, source topicsSource, to topicsArchive, kicked <-chan struct{}) *watch {
	return &watch{
		flow: f, source: source, to: to, kicked: kicked, patience: missingFor, seed: maphash.MakeSeed(),
		configs: make(map[string]told), missing: make(map[string]time.Time), gone: make(map[string]bundle.Topic), silent: make(map[string]string),
	}
}

const (
	lookAgain   = 100 * time.Millisecond // after a look that left something open, doubled up to lookAtLast
	lookAtLast  = time.Minute
	missingFor  = 10 * time.Second // after it a topic that is not listed is asked for by name
	lookSeldom  = 24 * time.Hour   // without refresh.topics
	lookBetween = time.Second      // two looks that are asked for
)

// run looks at each interval, when it is asked to, and soon again while something is open.
func (w *watch) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := lookAgain
	for {
		kicked := false
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-w.kicked:
			kicked = true
		}
		open := false
		err := w.persist(ctx, "look at the topics of "+w.conf().Source+" for the archive", func(ctx context.Context) (err error) {
			open, err = w.look(ctx)
			return err
		})
		if err != nil {
			return nil // ctx has ended
		}
		switch {
		case open:
			timer.Reset(soon)
			soon = min(2*soon, lookAtLast)
		default:
			interval := w.conf().RefreshTopics
			if interval <= 0 {
				interval = lookSeldom
			}
			timer.Reset(interval)
			soon = lookAgain
		}
		if kicked {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(lookBetween):
			}
		}
	}
}

// look asks once. open says that something has still to be told: the archive has not begun with a topic yet, has no memory for an
// event, or it is not certain that a topic is gone.
func (w *watch) look(ctx context.Context) (open bool, err error) {
	all, err := w.source.Topics(ctx)
	if err != nil {
		return false, err
	}
	w.mu.Lock()
	w.listed = all
	w.mu.Unlock()
	w.assign()
	if !w.hold.keepsRest() { // another process tells of topics
		clear(w.configs)
		w.acls = told{}
		return false, nil
	}
	there, mine := make(map[string]stream.Topic, len(all)), make(map[string]stream.Topic)
	for _, t := range all {
		there[t.Name] = t
		if w.conf().Archive.Keeps(t.Name) {
			mine[t.Name] = t
		}
	}
	deleted, err := w.deletions(ctx, there)
	if err != nil {
		return false, err
	}
	configs := w.lookAtConfigs(ctx, mine)
	acls := w.lookAtACLs(ctx)
	return deleted || configs || acls, nil
}

// assign hands over the partitions that this process archives, of the topics of the last look.
func (w *watch) assign() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listed == nil || !w.hold.answered() { // topics that are handed over later pass for new ones
		return
	}
	assigned, others := make(map[stream.Partition]stream.Topic), false
	for _, t := range w.listed {
		if !w.conf().Archive.Keeps(t.Name) {
			continue
		}
		for n := range t.Partitions {
			if p := (stream.Partition{Topic: t.Name, Number: n}); w.keeps(p) {
				assigned[p] = t
			} else {
				others = true
			}
		}
	}
	if len(assigned) == 0 && others && !w.some { // nothing has fallen to this process yet: what will, was there before
		return
	}
	w.some = true
	w.to.Assign(assigned)
}

// deletions tells of topics that are gone: not listed for a while, since a broker may be late to know one, and not there by name
// either, since one that we may not see any more is not listed. It takes back what it told of one that shows again.
func (w *watch) deletions(ctx context.Context, there map[string]stream.Topic) (open bool, err error) {
	lives, known := w.to.Lives()
	if !known {
		return true, nil
	}
	for name, t := range there {
		delete(w.missing, name)
		if life, ok := w.gone[name]; ok && life.ID == t.ID {
			if !w.to.Event(time.Now(), bundle.TopicCreated{Topic: life, Partitions: t.Partitions, Factor: -1, Found: true}) {
				open = true
				continue
			}
		}
		delete(w.gone, name)
	}
	var certain []string
	for name, life := range lives {
		if _, ok := there[name]; ok || w.gone[name] == life {
			continue
		}
		since, ok := w.missing[name]
		if !ok {
			since = time.Now()
			w.missing[name] = since
		}
		if time.Since(since) >= w.patience {
			certain = append(certain, name)
		} else {
			open = true
		}
	}
	slices.Sort(certain)
	for _, name := range certain {
		found, err := w.source.Configs(ctx, []string{name})
		if _, ok := found[name]; ok || err != nil {
			if kafka.Classify(err) == kafka.Unreachable {
				return open, err
			}
			continue // it is hidden
		}
		if w.to.Event(w.missing[name], bundle.TopicDeleted{Topic: lives[name]}) {
			w.gone[name] = lives[name]
			delete(w.missing, name)
			delete(w.configs, name)
		} else {
			open = true
		}
	}
	return open, nil
}

// lookAtConfigs tells the configs that are set on topics, where they are others than were told.
func (w *watch) lookAtConfigs(ctx context.Context, topics map[string]stream.Topic) (open bool) {
	entries, err := w.source.Configs(ctx, slices.Sorted(maps.Keys(topics)))
	w.once(ctx, "configs of topics", err)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		life, ok := w.to.Life(name, topics[name].ID)
		if !ok {
			open = true
			continue
		}
		body := bundle.TopicConfigs{Topic: life}
		for _, e := range entries[name] {
			if e.Source == stream.ConfigTopic {
				body.Configs = append(body.Configs, bundle.Config{Name: e.Name, Value: e.Value})
			}
		}
		slices.SortFunc(body.Configs, func(a, b bundle.Config) int { return strings.Compare(a.Name, b.Name) })
		now := told{life: life, sum: w.sum(body), some: true}
		if w.configs[name] == now {
			continue
		}
		if !w.to.Event(time.Now(), body) {
			open = true
			continue
		}
		w.configs[name] = now
	}
	return open
}

// lookAtACLs tells all ACLs, if they are others than were told.
func (w *watch) lookAtACLs(ctx context.Context) (open bool) {
	bindings, kept, err := w.source.ACLs(ctx)
	w.once(ctx, "ACLs", err)
	if err != nil || !kept && !w.acls.some {
		return false
	}
	body := bundle.ACLs{Bindings: make([]bundle.ACL, len(bindings))}
	for i, b := range bindings {
		body.Bindings[i] = bundle.ACL(b)
	}
	now := told{sum: w.sum(body), some: true}
	if w.acls == now {
		return false
	}
	if !w.to.Event(time.Now(), body) {
		return true
	}
	w.acls = now
	return false
}

func (w *watch) sum(body bundle.Body) uint64 { return maphash.String(w.seed, body.String()) }

// once tells of what cannot be read, and so is not archived, and that it can be again.
func (w *watch) once(ctx context.Context, what string, err error) {
	reason := ""
	if err != nil {
		reason = kafka.Explain(err)
	}
	if before := w.silent[what]; before == reason || ctx.Err() != nil {
		return
	}
	w.silent[what] = reason
	if err == nil {
		w.tell(stream.Info, what+" of the source can be read again and are archived")
		return
	}
	w.tell(stream.Warn, what+" of the source cannot all be read; what cannot is not archived", stream.F("error", reason))
}
