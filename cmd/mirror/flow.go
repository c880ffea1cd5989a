package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/batch"
	"tandem/internal/checkpoint"
	"tandem/internal/config"
	"tandem/internal/drill"
	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/replicate/heartbeat"
	"tandem/internal/replicate/position"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// flow runs one pair of clusters: heartbeats, replication if the pair is enabled, and the archive if it has one.
type flow struct {
	settings atomic.Pointer[config.Flow] // see conf
	budget   *replicate.Budget
	report   stream.Report
	observe  func(stream.Flow, stream.Ack) // may be nil
	board    *board
	maps     *exactMaps // of all flows of the process
	mapRoom  int64      // bytes for segments of this flow's map

	clients   clients
	archive   *archiving         // nil without one
	origin    *replicate.Origins // nil unless both directions keep topic names
	noted     *registry          // of the ids in it
	exactly   *exactly           // nil unless it goes in transactions
	hold      *holding           // nil: the flow is not shared, all of it is done here
	throttle  *replicate.Throttle
	rehearsal *rehearsing // nil: the configuration is not from a file
	renewed   bell        // settings have changed
	process   string      // the name of this process among those that share the flow; empty: none that lasts
}

// conf are the settings of the flow, as of the last reload. What does not change without a restart is what it was at the start.
func (f *flow) conf() *config.Flow { return f.settings.Load() }

// tandemTopic is Tandem's own topic of the flow, on the target.
func (f *flow) tandemTopic() string { return stream.TandemTopic(f.conf().Source) }

// open makes the clients; nothing connects yet.
func (f *flow) open() (err error) {
	if f.clients, err = open(*f.conf()); err != nil {
		return cannotRun{fmt.Errorf("flow %s: %w", f.conf().Flow, err)}
	}
	if f.conf().Enabled {
		f.hold = newHolding()
	}
	f.tellRenewals()
	return nil
}

// run returns when ctx ends, or with an error that no waiting mends.
func (f *flow) run(ctx context.Context) error {
	defer f.clients.close()
	f.origin = f.origins()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.rehearse(ctx) })
	group.Go(func() error { return f.workAndArchive(ctx) })
	return group.Wait()
}

func (f *flow) workAndArchive(ctx context.Context) (err error) {
	if !f.conf().Archive.Enabled {
		return f.work(ctx)
	}
	if f.archive, err = f.openArchive(ctx); err != nil {
		return cannotRun{fmt.Errorf("flow %s: %w", f.conf().Flow, err)}
	}
	defer f.archive.close()
	f.board.archive(f.conf().Flow, f.archive)
	// The archive waits for nobody, and ends last: what is acknowledged in the end belongs to it.
	archive, ends := context.WithCancel(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.archive.run(archive) })
	group.Go(func() error {
		f.archive.alive.run(archive)
		return nil
	})
	group.Go(func() error {
		defer ends()
		defer f.archive.lastRuns()
		return f.work(ctx)
	})
	return group.Wait()
}

// work is heartbeats and replication, until ctx ends.
func (f *flow) work(ctx context.Context) error {
	if !f.conf().Enabled && !f.conf().Heartbeats {
		<-ctx.Done()
		return nil
	}
	if err := f.reach(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.watchCertificates(ctx) })
	if f.conf().Enabled {
		group.Go(func() error { return f.epochs(ctx, f.replicate) })
	} else {
		group.Go(func() error { return f.eachSetting(ctx, f.heartbeats) })
	}
	return group.Wait()
}

// reach waits until the clusters of the flow answer, and makes sure that they are two.
func (f *flow) reach(ctx context.Context) error {
	var source, target string
	group, groupCtx := errgroup.WithContext(ctx)
	if f.conf().Enabled {
		group.Go(func() (err error) {
			source, err = f.clusterID(groupCtx, f.conf().Source, f.clients.source)
			return err
		})
	}
	group.Go(func() (err error) {
		target, err = f.clusterID(groupCtx, f.conf().Target, f.clients.target)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if f.conf().Enabled && source == target {
		return cannotRun{fmt.Errorf("flow %s: %s and %s are one cluster (id %s); correct %s.bootstrap.servers or %s.bootstrap.servers",
			f.conf().Flow, f.conf().Source, f.conf().Target, source, f.conf().Source, f.conf().Target)}
	}
	return nil
}

func (f *flow) clusterID(ctx context.Context, alias string, admin *kafka.Admin) (id string, err error) {
	err = f.persist(ctx, "reach cluster "+alias, func(ctx context.Context) error {
		id, err = admin.ClusterID(ctx)
		if kafka.Classify(err) == kafka.Authentication {
			return cannotRun{fmt.Errorf("flow %s: cluster %s: %s", f.conf().Flow, alias, kafka.Explain(err))}
		}
		return err
	})
	return id, err
}

const (
	persistFirst   = 250 * time.Millisecond
	persistLongest = 5 * time.Second
	persistTimeout = 30 * time.Second // of one attempt
)

// persist does a step again and again until it succeeds. Each new reason for a failure is told once, and so is the
// success after it.
func (f *flow) persist(ctx context.Context, what string, step func(context.Context) error) error {
	told := ""
	for pause := persistFirst; ; pause = min(2*pause, persistLongest) {
		attempt, cancel := context.WithTimeout(ctx, persistTimeout)
		err := step(attempt)
		cancel()
		if cannot := (cannotRun{}); errors.As(err, &cannot) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if told != "" {
				f.tell(stream.Info, what+": done, after trying again")
			}
			return nil
		}
		if reason := kafka.Explain(err); reason != told && !errors.Is(err, context.Canceled) { // that ctx ends, too, shows in a moment
			told = reason
			f.tell(stream.Warn, fmt.Sprintf("cannot %s: %s; trying again", what, reason))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (f *flow) tell(severity stream.Severity, message string, fields ...stream.Field) {
	f.report(stream.Event{Flow: f.conf().Flow, Severity: severity, Message: message, Fields: fields})
}

// heartbeats writes the pair's heartbeats into the target.
func (f *flow) heartbeats(ctx context.Context) error {
	err := f.persist(ctx, "create topic heartbeats on "+f.conf().Target, func(ctx context.Context) error {
		_, err := topics.EnsureCompacted(ctx, f.clients.target, f.conf().Policy.HeartbeatsTopic(), 1, f.conf().HeartbeatsFactor)
		return err
	})
	if err != nil {
		return err
	}
	return heartbeat.NewEmitter(f.clients.target, f.conf().Flow, f.conf().HeartbeatInterval, f.report).Run(ctx)
}

// replicate takes part in the flow: it copies the partitions that fall to this process, does the duties if they fall to it, and
// writes the last positions when it has stopped. It leaves the others only then.
func (f *flow) replicate(ctx context.Context) error {
	r := &replication{flow: f}
	if err := f.persist(ctx, "start replication", r.prepare); err != nil {
		return err
	}
	member, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	asked, stop := stopAsked(ctx), ctx.Done()
	shared, worked := make(chan error, 1), make(chan struct{})
	go func() { shared <- r.share(member) }()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case err := <-shared:
			return err
		case <-worked:
		}
		leave()
		select { // another epoch shares what this process holds: it begins when this one has let go
		case err := <-shared:
			return err
		case <-stop:
		}
		select {
		case err := <-shared:
			return err
		case <-time.After(asked.left(leaveBy)): // a target that hangs: its group finds out by itself
			return nil
		}
	})
	group.Go(func() error {
		defer close(worked)
		err := r.work(ctx)
		r.finish(asked.left(finishBy))
		return err
	})
	return group.Wait()
}

// A stopping process has five seconds, of which the pipe has three for the answers to what it has sent. What comes after it has what is
// left, and a moment at least.
const (
	finishBy = 4 * time.Second         // the last positions are written
	leaveBy  = 4500 * time.Millisecond // the group is left
	moment   = 300 * time.Millisecond
)

// stopping is when a process was asked to stop.
type stopping struct{ at atomic.Pointer[time.Time] }

// stopAsked notes when ctx ends.
func stopAsked(ctx context.Context) *stopping {
	var s stopping
	context.AfterFunc(ctx, func() {
		now := time.Now()
		s.at.Store(&now)
	})
	return &s
}

// left is the time until so long after the request to stop.
func (s *stopping) left(by time.Duration) time.Duration {
	at := s.at.Load()
	if at == nil {
		return by
	}
	return max(by-time.Since(*at), moment)
}

// work runs the pipe and all that keeps it informed.
func (r *replication) work(ctx context.Context) error {
	producer, err := r.identity(ctx)
	if err != nil {
		return err
	}
	if err := r.persist(ctx, "note the producer id of transactions", r.knownWriter); err != nil {
		return err
	}
	r.setPipe(replicate.New(r.pipeConfig(producer)))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.pipe.Run(ctx) })
	group.Go(func() error { return r.eachSetting(ctx, r.keepTopics) })
	group.Go(func() error { return r.eachSetting(ctx, r.keepPositions) })
	group.Go(func() error { return r.keepOffsets(ctx) })
	group.Go(func() error { return r.keepDuties(ctx) })
	if r.syncs != nil {
		group.Go(func() error { return r.syncs.run(ctx) })
	}
	return group.Wait()
}

// replication is the state of a flow that replicates.
type replication struct {
	*flow
	keeper    *topics.Keeper
	anchors   *position.AnchorStore
	memory    *memory // of anchors and positions
	positions *position.Store
	syncs     *syncs // nil without offset syncs
	offsets   *offsets
	opposite  *opposite
	both      *bothSides
	journal   *journal
	failed    *failedOver
	pipe      *replicate.Pipe
	gone      chan struct{} // the source does not know a topic any more
	begun     bool          // the pipe was given its first partitions; of keepTopics
	round     chan struct{} // the members of the group have changed, or what they want

	giving sync.Mutex                  // held while the pipe is given its partitions; guards what follows
	told   string                      // how many partitions are replicated, as last told
	stuck  map[stream.Partition]string // remote partitions that could not be begun with, by why

	handing sync.Mutex // guards what follows, and pipe; never held over a request, since the group's heartbeats wait for it
	latest  topics.Snapshot
	member  *kafka.Share
	drift   string // who runs by other settings, as last told
}

// prepare makes the internal topics, and reads what earlier runs and other processes have left.
func (r *replication) prepare(ctx context.Context) error {
	c := r.conf()
	r.keeper = topics.New(c.Flow, r.clients.source, r.clients.target, r.rules(), r.report)
	r.gone, r.round = make(chan struct{}, 1), make(chan struct{}, 1)
	group, together := errgroup.WithContext(ctx)
	var remembered position.Anchors
	var noted map[stream.Partition]stream.Upstream
	group.Go(func() (err error) {
		r.latest, err = r.keeper.Look(together)
		return err
	})
	group.Go(func() (err error) {
		r.anchors, remembered, err = r.loadAnchors(together)
		return err
	})
	group.Go(func() (err error) {
		r.positions, noted, err = r.loadPositions(together)
		return err
	})
	r.offsets = newOffsets(r.flow, r.mapRoom)
	r.offsets.exact.Held(r.hold.has)
	if c.OffsetSyncs.Enabled {
		group.Go(func() (err error) {
			if r.syncs, err = r.openSyncs(together); err == nil {
				err = r.offsets.readSyncs(together, r.syncs.admin, r.syncs.topic)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	r.memory = &memory{store: r.anchors, notes: r.positions, exact: r.offsets.exact, flushMap: r.offsets.store, deferred: r.exactly != nil, shared: c.TwoWay, remote: r.remoteOf, positions: noted, anchors: remembered.Partitions}
	r.failed = newFailedOver(r.flow)
	r.journal = &journal{
		log: r.clients.target, topic: r.tandemTopic(), hold: r.hold,
		takeRuns: r.offsets.exact.Load, takeAnchor: r.memory.hear, takeFailover: r.failed.take,
		takeDrill: func(o drill.Outcome) { r.board.rehearsal.heard(c.Flow, o) },
		damaged: func(what string, offset int64, err error) {
			r.tell(stream.Warn, what, stream.F("offset", offset), stream.F("error", err))
		},
	}
	r.failed.read = r.journal.catchUp
	if c.TwoWay {
		r.offsets.ours = r.journal.origins
	}
	if err := r.journal.catchUp(ctx); err != nil {
		return err
	}
	r.memory.follow()
	r.failed.decide()
	if err := r.knownOrigins(ctx, remembered, noted); err != nil {
		return err
	}
	r.opposite = &opposite{flow: c.Reverse(), maps: r.maps, log: r.clients.source}
	r.maps.set(c.Flow, r.offsets.exact)
	return nil
}

// remoteOf is where a source partition is copied to.
func (f *flow) remoteOf(source stream.Partition) stream.Partition {
	c := f.conf()
	return stream.Partition{Topic: c.Policy.RemoteTopic(c.Source, source.Topic), Number: source.Number}
}

// loadKnown reads what is known on the target of the source, for the duties.
func (r *replication) loadKnown(ctx context.Context) (*checkpoint.Known, error) {
	known := checkpoint.NewKnown()
	err := r.clients.target.ReadAll(ctx, r.tandemTopic(), true, func(record stream.Record) error {
		if err := known.TakeTandem(record); err != nil {
			r.tell(stream.Warn, "what was known of the source is damaged; it is looked up anew", stream.F("error", err))
		}
		return nil
	})
	return known, err
}

// anchorStore keeps anchors in Tandem's own topic, by way of a log of the target.
func (f *flow) anchorStore(log position.Log) *position.AnchorStore {
	return position.NewAnchorStore(log, f.tandemTopic(), f.conf().Flow)
}

// loadAnchors reads what Tandem has noted of the flow.
func (f *flow) loadAnchors(ctx context.Context) (*position.AnchorStore, position.Anchors, error) {
	topic := f.tandemTopic()
	if err := topics.EnsureTandem(ctx, f.clients.target, topic, f.conf().OffsetsFactor); err != nil {
		return nil, position.Anchors{}, err
	}
	if err := f.settled(ctx, topic, 1); err != nil {
		return nil, position.Anchors{}, err
	}
	store := f.anchorStore(f.notes())
	anchors, err := store.Load(ctx)
	return store, anchors, err
}

// loadPositions reads MM2's positions of the flow.
func (f *flow) loadPositions(ctx context.Context) (*position.Store, map[stream.Partition]stream.Upstream, error) {
	partitions, err := topics.EnsureCompacted(ctx, f.clients.target, f.conf().OffsetsTopic, f.conf().OffsetsPartitions, f.conf().OffsetsFactor)
	if err != nil {
		return nil, nil, err
	}
	if err := f.settled(ctx, f.conf().OffsetsTopic, partitions); err != nil {
		return nil, nil, err
	}
	store := position.New(f.notes(), f.conf().OffsetsTopic, partitions, f.conf().Flow)
	noted, err := store.Load(ctx)
	return store, noted, err
}

func (r *replication) pipeConfig(producer batch.Producer) replicate.Config {
	c := r.conf()
	codec := batch.KeepCodec
	if c.Compression != "" {
		codec, _ = batch.ParseCodec(c.Compression) // config has checked the name
	}
	var setAside func(context.Context, replicate.Refused) error
	if c.OnRefused == "skip" {
		setAside = r.setAside
	}
	return r.inTransactions(replicate.Config{
		Flow: c.Flow, Producer: producer,
		Source: r.clients.sourceWire, Target: r.clients.targetWire,
		Session: func(broker int32) replicate.Session {
			return r.clients.sourceWire.Session(broker, c.IsolationLevel == "read_committed")
		},
		Sender: func(ctx context.Context, broker int32) replicate.Sender {
			return r.clients.targetWire.Sender(ctx, broker)
		},
		Resume: &replicate.Resumption{
			Flow: c.Flow, ProducerID: producer.ID, Memory: r.memory,
			Source: r.clients.sourceWire, Target: r.clients.targetWire, Remote: r.clients.targetWire,
			ReadSource: r.clients.reader, ReadRemote: r.clients.targetWire, Committed: c.IsolationLevel == "read_committed",
			FollowNew: c.TopicRecreated == "follow", HaltAtGap: c.RetentionGap == "halt",
			Reset: replicate.Reset(c.AutoOffsetReset), Report: r.report,
			Origins: r.origin, SharedRemote: c.TwoWay,
		},
		Budget: r.budget,
		Sizes:  replicate.FetchSizes{MaxBytes: c.FetchMaxBytes, MaxPartitionBytes: c.MaxPartitionFetchBytes},
		Codec:  codec, Acked: r.acked, Report: r.report, SetAside: setAside, TopicGone: r.topicGone,
		Origins: r.origin, SharedRemote: c.TwoWay, Tee: r.tee(), Throttle: r.throttle,
		Observe: r.board.histograms.ForFlow(c.Flow.String()), Heartbeats: heartbeat.Topic,
		Ends: r.clients.sourceWire.EndsFor(c.IsolationLevel == "read_committed"),
	})
}
