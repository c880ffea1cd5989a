package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// Source is the cluster that is archived. Its methods are called at once from several goroutines; the archiver tries again by itself.
type Source interface {
	// Read fetches once what lies at and after a place, up to about MaxBytes, and waits for nothing. It heeds the topic id of the place,
	// and its LastEpoch: Fetched.Diverged says that the log has another batch there. An error that holds a *stream.BrokerError with
	// CodeOffsetOutOfRange says that the log begins behind the place, or ends before it.
	Read(ctx context.Context, p stream.Place, committed bool) (stream.Fetched, error)

	// Offsets asks where partitions begin (stream.Earliest) or end (stream.Latest).
	Offsets(ctx context.Context, p []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error)
}

// Store is where bundles are kept: see store.Store for the contracts. Errors are told apart by store.Classify.
type Store interface {
	Put(ctx context.Context, name string, body store.Body) error
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error]
}

// Config is what an Archiver is made of. Flow and Writer must be set; zero values of the rest mean the defaults.
type Config struct {
	Flow      stream.Flow
	ClusterID string // of the source; empty when unknown
	Writer    string // unique among all writers of the source that live at one time; the same after a restart, so that its chain goes on
	Committed bool   // read_committed

	FlushInterval time.Duration      // archive.flush.interval.ms
	FlushBytes    int64              // archive.flush.bytes; a third of the memory at most
	Memory        int64              // archive.memory.bytes
	Compression   bundle.Compression // archive.compression
	Keeper        bundle.Keeper      // nil: not encrypted
	Pause         bool               // archive.on.failure=pause
	Offers        bool               // replication runs, and is going to offer what it reads
	FromNow       bool               // archive.from=now: a topic of which nothing is archived begins at its end, not at its beginning

	// Durable is told after each bundle from where on its partitions are not durable yet. It must not block. May be nil.
	Durable func(map[stream.Partition]stream.Upstream)
	Report  stream.Report // may be nil
}

const (
	defaultInterval = 10 * time.Second
	defaultBytes    = 64 << 20
	defaultMemory   = 64 << 20
	leastMemory     = 64 << 10

	lastWords = 10 * time.Second // for the bundle that is written when Run is told to end
)

// Archiver writes one flow's archive.
type Archiver struct {
	cfg   Config
	src   Source
	store Store

	flushWake, gapWake, assignWake chan struct{}

	// step, in tests, is called before and after each step of a commit; an error is the death of the process.
	step func(point string) error

	// Of the flush loop, set before it starts.
	header   bundle.Header // of the next bundle
	previous bundle.Digest
	blocks   *bundle.Blocks
	unsent   *unsent

	// building is held while the ledger is behind what was taken from the queue. It is locked before mu.
	building sync.Mutex

	mu sync.Mutex
	queue
	wanted map[stream.Partition]stream.Topic
	tracks map[stream.Partition]*track
	ledger ledger
	lives  map[string]bundle.Topic // the latest ones, of topics that were ever assigned or are in the ledger
	ended  map[string]ending       // of topics that are gone from the source

	assigned, adopted          int       // how often Assign was called, and up to which of them the partitions have been begun with
	assignedAt, assignedBefore time.Time // of the last Assign and the one before
	made                       time.Time
	counts

	survey survey // of the assign loop
}

// track is a partition that this process has.
type track struct {
	source stream.Partition
	asked  stream.TopicID // as assigned
	topic  bundle.Topic
	placed bool  // at is known
	at     place // all before it is durable, on its way, or waits
	last   *item // that waits and may be joined with what comes next

	offered   stream.Upstream // where the last offer ended, taken or not
	offeredAt time.Time
	heldSince time.Time // a gap read has waited since then for offers to come as far as at; zero: they are there

	end, empty stream.Upstream // the log's end at the last glance, and the one up to which a read brought nothing

	due    time.Time     // of the next gap read
	pause  time.Duration // before the one after it, if that brings nothing
	busy   bool          // being read
	silent bool          // that it cannot be read has been reported
	behind time.Time     // since when more is known to be at the source than was taken; zero: nothing
	heard  time.Time     // as of when the source has told last what it has

	gone bool // it was given up, or the topic made anew

	// Of the flush loop, under building: where the chunks end that were made, and whether the transactions open there are not known.
	built  bundle.Position
	unsure bool
}

// New makes an Archiver. Run starts it.
func New(cfg Config, src Source, st Store) *Archiver {
	cfg.FlushInterval = cmp.Or(cfg.FlushInterval, defaultInterval)
	cfg.FlushBytes = cmp.Or(cfg.FlushBytes, defaultBytes)
	cfg.Memory = max(cmp.Or(cfg.Memory, defaultMemory), leastMemory)
	if cfg.Report == nil {
		cfg.Report = func(stream.Event) {}
	}
	if cfg.Durable == nil {
		cfg.Durable = func(map[stream.Partition]stream.Upstream) {}
	}
	return &Archiver{
		cfg: cfg, src: src, store: st,
		flushWake: make(chan struct{}, 1), gapWake: make(chan struct{}, 1), assignWake: make(chan struct{}, 1),
		step:   func(string) error { return nil },
		blocks: bundle.NewBlocks(min(cfg.FlushBytes, cfg.Memory/8)),
		made:   time.Now(),
		counts: counts{errors: make(map[store.Kind]int64)},
		tracks: make(map[stream.Partition]*track),
		ledger: make(ledger),
		lives:  make(map[string]bundle.Topic),
		ended:  make(map[string]ending),
		survey: survey{newest: make(map[string][]found), read: make(map[string]string)},
	}
}

// flushBytes is how large a bundle becomes: one can be on its way, and another one wait, before offers are not taken any more.
func (a *Archiver) flushBytes() int64 { return min(a.cfg.FlushBytes, a.cfg.Memory/3) }

// Run archives until ctx ends; what waits then is written, if the store takes it within ten seconds. The error is nil then.
// Otherwise it is one that a person must act on: the store has an object of ours with other bytes, or a bundle that cannot be read.
// Assign and Offer may be called before it.
func (a *Archiver) Run(ctx context.Context) error {
	if err := a.start(ctx); err != nil {
		return ended(ctx, fmt.Errorf("archive %s: %w", a.cfg.Flow, err))
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for _, loop := range []func(context.Context) error{a.flushLoop, a.gapLoop, a.glanceLoop, a.assignLoop} {
		all.Go(func() {
			if err := loop(running); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	err := context.Cause(running)
	if err != nil && !errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("archive %s: %w", a.cfg.Flow, err)
	}
	return nil
}

// ended is nil where an error is no more than the end of ctx.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

func (a *Archiver) report(s stream.Severity, message string, fields ...stream.Field) {
	a.cfg.Report(stream.Event{Flow: a.cfg.Flow, Severity: s, Message: message, Fields: fields})
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits, or until woken; false is the end of ctx.
func pause(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-woken:
	}
	return ctx.Err() == nil
}
