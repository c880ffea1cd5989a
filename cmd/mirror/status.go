package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// board is where the flows of the process can be looked at: one table that the status page, /readyz and /metrics read.
type board struct {
	conf       *config.Config
	started    time.Time
	budget     *replicate.Budget
	maps       *exactMaps
	rehearsal  *rehearsing
	histograms *metrics.Histograms
	flows      []*flow   // all, in the order of the file; set before anybody looks
	reloader   *reloader // nil: the configuration is not from a file

	mu      sync.Mutex // guards what follows
	pipes   map[stream.Flow]*replicate.Pipe
	keepers map[stream.Flow]*checkpoint.Keeper
	teed    map[stream.Flow]*archiving
	sharers map[stream.Flow][]kafka.ShareMember // by flow, the processes that run it
}

func newBoard(conf *config.Config, budget *replicate.Budget, maps *exactMaps) *board {
	return &board{
		conf: conf, started: time.Now(), budget: budget, maps: maps, rehearsal: newRehearsing(conf.Path), histograms: metrics.NewHistograms(),
		pipes: make(map[stream.Flow]*replicate.Pipe), keepers: make(map[stream.Flow]*checkpoint.Keeper),
		teed: make(map[stream.Flow]*archiving), sharers: make(map[stream.Flow][]kafka.ShareMember),
	}
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

func (b *board) pipe(f stream.Flow) *replicate.Pipe {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pipes[f]
}

// archives are the archives of the process, in the order of the file.
func (b *board) archives() (all []*archiving) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.flows {
		if a := b.teed[f.conf().Flow]; a != nil {
			all = append(all, a)
		}
	}
	return all
}

// positions is how many positions of groups the process keeps in memory.
func (b *board) positions() (n int64) {
	for _, f := range b.flows {
		if k := b.keeper(f.conf().Flow); k != nil {
			s := k.Standing()
			n += int64(s.Exact + s.Clamped + s.Ahead + s.Unknown)
		}
	}
	for _, a := range b.archives() {
		n += a.groups.Load()
	}
	return n
}

// view is one flow that replicates, at one moment.
type view struct {
	flow      *flow
	conf      *config.Flow
	pipe      *replicate.Pipe      // nil before it has started
	answers   bool                 // standings are of now, and the group has said what falls to this process
	standings []replicate.Standing // none while it does not answer
	members   []kafka.ShareMember
	keeper    *checkpoint.Keeper // nil where there are no checkpoints
}

// views look at every flow that replicates, all at once.
func (b *board) views(ctx context.Context) []view {
	var all []view
	for _, f := range b.flows {
		if c := f.conf(); c.Enabled {
			all = append(all, view{flow: f, conf: c, pipe: b.pipe(c.Flow), keeper: b.keeper(c.Flow)})
		}
	}
	b.mu.Lock()
	for i := range all {
		all[i].members = slices.Clone(b.sharers[all[i].conf.Flow])
	}
	b.mu.Unlock()
	var asked sync.WaitGroup
	for i := range all {
		v := &all[i]
		if v.pipe == nil {
			continue
		}
		asked.Go(func() {
			v.standings = v.pipe.Standings(ctx)
			v.answers = v.standings != nil && v.flow.hold.told() // an empty list is an answer, too
		})
	}
	asked.Wait()
	return all
}

// openStatus takes status.address. Where the user has not named one, and the default is taken by somebody else, the process goes
// on without.
func openStatus(conf *config.Config, b *board, report stream.Report) (*status.Server, error) {
	if conf.StatusAddress == "" {
		return nil, nil
	}
	registry := metrics.NewRegistry(metrics.Options{
		States: stateNames(), Causes: causeNames(), Partitions: conf.Metrics.Partitions, MM2Names: conf.Metrics.MM2Names, Histograms: b.histograms,
	}, b.snapshot)
	server, err := status.Listen(conf.StatusAddress, status.Options{Token: conf.StatusToken}, b, registry)
	switch {
	case err == nil:
		report(stream.Event{Message: "status is served", Fields: []stream.Field{stream.F("address", server.Address())}})
		if conf.StatusToken == "" && !local(server.Address()) {
			report(stream.Event{Severity: stream.Warn, Message: "status.address can be reached from other machines, and anybody there may read it and have the file read again; set status.token",
				Fields: []stream.Field{stream.F("address", server.Address())}})
		}
		return server, nil
	case conf.StatusNamed || !errors.Is(err, syscall.EADDRINUSE):
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; another process has it, maybe another mirror: end that, or name another address (empty: no page)", err)
		}
		return nil, cannotRun{err}
	}
	report(stream.Event{Severity: stream.Warn, Message: fmt.Sprintf(
		"no status page: %s is taken by another process; name another address with status.address, or none with an empty one", conf.StatusAddress)})
	return nil, nil
}

func stateNames() (names []string) {
	for _, s := range replicate.States {
		names = append(names, s.String())
	}
	return names
}

func causeNames() (names []string) {
	for _, c := range replicate.Causes {
		names = append(names, string(c))
	}
	return names
}

// local says that only this machine reaches an address.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
