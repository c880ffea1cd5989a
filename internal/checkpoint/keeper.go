package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"tandem/internal/stream"
)

const (
	firstRound = time.Second     // after the start: by then a new flow has something mirrored
	relist     = 5 * time.Second // groups are listed so often, or before each round where rounds are rarer
	relook     = time.Minute     // until an exact place is looked up again: the remote topic may have been made anew
	recheck    = 10 * time.Minute
	mostErrors = 10  // offsets that cannot be looked up, before a round is given up
	batchSize  = 250 // groups whose offsets are asked for at a time
)

// Keeper writes the checkpoints of one flow, and keeps the groups of the target in step where it is told to.
type Keeper struct {
	Config
	news news

	// Of the goroutine that runs. Groups of the source that are looked after, by name; those without offsets that count stay
	// in, because they may get some.
	groups  map[string]*group
	listed  time.Time
	synced  time.Time
	away    map[string]bool // groups that a failover has moved, as of the last pass of group sync
	checked time.Time       // when group sync last looked at what it has dealt with before
	topics  map[string]bool
	marks   map[string]map[stream.Partition]mark
	stored  map[string]map[stream.Partition]stream.Committed // the offsets of groups in mm2-tandem.A.internal

	mu        sync.Mutex // guards what follows
	standing  Standing
	listing   []GroupStanding
	latencies map[string]map[stream.Partition]*latency // by group
}

// group is a group as of its last round.
type group struct {
	positions map[stream.Partition]position // by partition of the source
	stale     bool                          // the last round could not fetch its offsets
	unknown   int                           // rounds in a row with an unknown position
}

// position is where a group stands at a partition.
type position struct {
	remote   stream.Partition
	up       stream.Upstream
	got      stream.Translated
	metadata string
	looked   time.Time // when it was translated
}

// New makes a Keeper; Run starts it.
func New(c Config) *Keeper {
	return &Keeper{
		Config: c,
		news:   news{flow: c.Flow, report: c.Report, told: map[string]bool{}},
		groups: map[string]*group{},
		topics: map[string]bool{},
		marks:  map[string]map[stream.Partition]mark{},
		stored: map[string]map[stream.Partition]stream.Committed{},

		latencies: map[string]map[stream.Partition]*latency{},
	}
}

// Standing tells how the Keeper gets on; it may be called at any time.
func (k *Keeper) Standing() Standing {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.standing
}

// Run loads what was written before and then does a round each interval, until ctx is done; it returns nil then. The first
// round comes at once, so to say. A round that fails is told once, and the next one tries again.
func (k *Keeper) Run(ctx context.Context) error {
	k.load(ctx)
	next := time.NewTimer(min(firstRound, k.Interval))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		began := time.Now()
		err := k.round(ctx)
		k.news.trouble(ctx, "round", stream.Warn, "checkpoints could not be written; the next round tries again", err)
		if err == nil && k.syncDue(began) {
			k.synced = began
			err = k.sync(ctx)
			k.news.trouble(ctx, "sync", stream.Warn, "offsets of groups could not be synced; the next pass tries again", err)
		}
		next.Reset(max(k.Interval-time.Since(began), 0))
	}
}

// syncDue says whether a pass of group sync follows the round: it has nothing to go by but what rounds find.
func (k *Keeper) syncDue(now time.Time) bool {
	return k.Sync > 0 && now.Sub(k.synced) >= k.Sync-k.Interval/2
}

// load reads the checkpoints and the offsets of groups of before, so that only changes are written. Without them Keeper goes
// on with nothing, as MM2 does: it writes all of them again.
func (k *Keeper) load(ctx context.Context) {
	known := NewKnown()
	if k.Known != nil {
		known.Groups = k.Known.Groups
	}
	skipped, last := 0, error(nil)
	skipping := func(take func(stream.Record) error) func(stream.Record) error {
		return func(r stream.Record) error {
			if err := take(r); err != nil {
				skipped, last = skipped+1, err
			}
			return nil
		}
	}
	err := k.Log.ReadAll(ctx, k.CheckpointsTopic, true, skipping(known.TakeCheckpoint))
	if err != nil {
		known.Checkpoints = nil
		k.news.trouble(ctx, "load checkpoints", stream.Warn,
			"checkpoints of before could not be read; all are written again, and one may be behind what it was", err)
	}
	if k.Known == nil {
		err = k.Log.ReadAll(ctx, k.TandemTopic, true, skipping(known.TakeTandem))
		if err != nil {
			known.Groups = nil
			k.news.trouble(ctx, "load groups", stream.Warn, "offsets of groups of before could not be read; all are written again", err)
		}
	}
	if skipped > 0 {
		k.news.trouble(ctx, "load records", stream.Warn, fmt.Sprintf("%d records of checkpoints or groups are damaged and were skipped", skipped), last)
	}
	k.adopt(known)
}

// adopt takes in what is known of the groups that are looked after, and of others the offsets, so that they are taken back.
func (k *Keeper) adopt(known *Known) {
	for name, checkpoints := range known.Checkpoints {
		if !k.Groups(name) {
			continue
		}
		marks := make(map[stream.Partition]mark, len(checkpoints))
		for p, c := range checkpoints {
			marks[p] = newMark(c.Up, c.Down)
		}
		k.marks[name] = marks
	}
	for name, g := range known.Groups {
		k.stored[name] = g.Offsets
	}
}

// list refreshes the groups that are looked after if it is time; complete says that it did, and that others are gone.
func (k *Keeper) list(ctx context.Context, now time.Time) (complete bool, err error) {
	due := k.Refresh > 0 && (k.Interval >= relist || now.Sub(k.listed) >= min(k.Refresh, relist))
	if !k.listed.IsZero() && !due {
		return false, nil
	}
	listed, err := k.Source.Groups(ctx)
	complete = err == nil
	if !complete && len(listed) == 0 {
		return false, fmt.Errorf("list groups of %s: %w", k.Flow.Source, err)
	}
	k.news.trouble(ctx, "list", stream.Warn, "some groups of the source could not be listed; new ones among them are not seen", err)
	there := make(map[string]bool, len(listed))
	for _, g := range listed {
		if !consumes(g) || !k.Groups(g.ID) {
			continue
		}
		there[g.ID] = true
		if k.groups[g.ID] == nil {
			k.groups[g.ID] = &group{positions: map[stream.Partition]position{}}
		}
	}
	if complete { // otherwise what is missing may still be there
		k.listed = now
		maps.DeleteFunc(k.groups, func(name string, _ *group) bool { return !there[name] })
	}
	return complete, nil
}

// replicates remembers what the topic filter says: its expressions take longer than a look into a map.
func (k *Keeper) replicates(topic string) bool {
	yes, known := k.topics[topic]
	if !known {
		yes = k.Topics(topic)
		k.topics[topic] = yes
	}
	return yes
}
