package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"tandem/internal/checkpoint"
	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/metrics"
	"tandem/internal/replicate"
	"tandem/internal/status"
	"tandem/internal/stream"
)

// scrapeWait bounds how long a scrape waits for a pipe to tell where it stands.
const scrapeWait = 3 * time.Second

// board is where the flows of the process can be looked at: one table that /readyz and /metrics read.
type board struct {
	budget *replicate.Budget
	limit  int64
	wanted []stream.Flow // that replicate, in the order of the file
	flows  []stream.Flow // all
	maps   *exactMaps

	mu      sync.Mutex // guards what follows
	pipes   map[stream.Flow]*replicate.Pipe
	keepers map[stream.Flow]*checkpoint.Keeper
	teed    map[stream.Flow]*archiving
	sharers map[stream.Flow][]kafka.ShareMember // by flow, the processes that run it
}

func newBoard(conf *config.Config, budget *replicate.Budget, maps *exactMaps) *board {
	b := &board{budget: budget, limit: conf.MemoryBytes, maps: maps, pipes: make(map[stream.Flow]*replicate.Pipe), keepers: make(map[stream.Flow]*checkpoint.Keeper), teed: make(map[stream.Flow]*archiving), sharers: make(map[stream.Flow][]kafka.ShareMember)}
	for _, f := range conf.Flows {
		b.flows = append(b.flows, f.Flow)
		if f.Enabled {
			b.wanted = append(b.wanted, f.Flow)
		}
	}
	return b
}

// show makes a flow visible from now on.
func (b *board) show(f stream.Flow, p *replicate.Pipe) {
	b.mu.Lock()
	b.pipes[f] = p
	b.mu.Unlock()
}

// groups makes the groups of a flow visible.
func (b *board) groups(f stream.Flow, k *checkpoint.Keeper) {
	b.mu.Lock()
	b.keepers[f] = k
	b.mu.Unlock()
}

// members makes visible which processes run a flow.
func (b *board) members(f stream.Flow, list []kafka.ShareMember) {
	b.mu.Lock()
	b.sharers[f] = list
	b.mu.Unlock()
}

// archive makes the archive of a flow visible.
func (b *board) archive(f stream.Flow, a *archiving) {
	b.mu.Lock()
	b.teed[f] = a
	b.mu.Unlock()
}

func (b *board) keeper(f stream.Flow) *checkpoint.Keeper {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keepers[f]
}

// positions is how many positions of groups the process keeps in memory.
func (b *board) positions() (n int64) {
	for _, f := range b.wanted {
		if k := b.keeper(f); k != nil {
			s := k.Standing()
			n += int64(s.Exact + s.Clamped + s.Ahead + s.Unknown)
		}
	}
	for _, a := range b.archives() {
		n += a.groups.Load()
	}
	return n
}

func (b *board) pipe(f stream.Flow) *replicate.Pipe {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pipes[f]
}

// Partitions implements status.Source.
func (b *board) Partitions(ctx context.Context) (all []status.Partition, started bool, waitingFor string) {
	started = true
	for _, f := range b.wanted {
		pipe := b.pipe(f)
		if pipe == nil {
			started, waitingFor = false, fmt.Sprintf("flow %s has not started", f)
			continue
		}
		standings := pipe.Standings(ctx)
		if standings == nil { // not even an empty list: it has stopped, or does not answer in time
			started, waitingFor = false, fmt.Sprintf("flow %s does not answer", f)
		}
		for _, s := range standings {
			all = append(all, status.Partition{
				Flow: f.String(), Source: s.Source.String(), Remote: s.Remote.String(),
				State: s.State.String(), Reason: s.Reason, Since: s.Since, Lag: s.Lag(), Ready: s.Moves,
			})
		}
	}
	return all, started, waitingFor
}

// snapshot is what /metrics shows.
func (b *board) snapshot() metrics.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	s := metrics.Snapshot{MemoryUsed: b.budget.InUse(), MemoryLimit: b.limit, Archives: b.archiveFigures()}
	for _, f := range b.wanted {
		pipe := b.pipe(f)
		if pipe == nil {
			continue
		}
		totals := pipe.Totals()
		flow := metrics.Flow{Name: f.String(), Records: totals.Records, Bytes: totals.Bytes, Refused: totals.Refused, Forms: totals.Forms}
		for _, p := range pipe.Standings(ctx) {
			flow.Partitions = append(flow.Partitions, metrics.Partition{
				Topic: p.Source.Topic, Number: p.Source.Number, State: p.State.String(), Lag: p.Lag(), Behind: p.Behind,
			})
		}
		if k := b.keeper(f); k != nil {
			g := k.Standing()
			flow.Groups = &metrics.Groups{Number: g.Groups, Round: g.Round, Took: g.Took, Written: g.Written, Synced: g.Committed}
			flow.Groups.Positions = map[string]int{
				stream.Exact.String(): g.Exact, stream.Clamped.String(): g.Clamped, stream.Ahead.String(): g.Ahead, stream.Unknown.String(): g.Unknown,
			}
		}
		if exact := b.maps.of(f); exact != nil {
			flow.MapBytes = exact.Size().Bytes
		}
		s.Flows = append(s.Flows, flow)
	}
	return s
}

// openStatus takes status.address. Where the user has not named one, and the default is taken by somebody else, the process goes
// on without.
func openStatus(conf *config.Config, b *board, report stream.Report) (*status.Server, error) {
	if conf.StatusAddress == "" {
		return nil, nil
	}
	states := make(metrics.States, 0, len(replicate.States))
	for _, s := range replicate.States {
		states = append(states, s.String())
	}
	server, err := status.Listen(conf.StatusAddress, b, metrics.NewRegistry(states, b.snapshot))
	switch {
	case err == nil:
		report(stream.Event{Message: "status is served", Fields: []stream.Field{stream.F("address", server.Address())}})
		return server, nil
	case conf.StatusNamed || !errors.Is(err, syscall.EADDRINUSE):
		return nil, cannotRun{err}
	}
	report(stream.Event{Severity: stream.Warn, Message: fmt.Sprintf(
		"no status page: %s is taken by another process; name another address with status.address, or none with an empty one", conf.StatusAddress)})
	return nil, nil
}
