package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/archive"
	"tandem/internal/archive/bundle"
	"tandem/internal/archive/keys"
	"tandem/internal/archive/store"
	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// archiving is the archive of one flow: a tee of what replication reads, and a watcher of topics and groups. It never waits for the
// target, and needs no client of it.
type archiving struct {
	*flow
	store  store.Store
	ring   *keys.Ring // nil: not encrypted
	writer atomic.Pointer[archive.Archiver]
	failed atomic.Bool // it has ended, and replication goes on without it
	alive  *storeProbe
	looks  *lookout

	together atomic.Bool // replication need not wait for its start any more
	kicked   chan struct{}
	watch    atomic.Pointer[watch]
	runs     runs
	groups   atomic.Int64 // positions of groups that are kept in memory

	mu     sync.Mutex // guards what follows
	opened time.Time  // or when partitions came to this process last
	errors map[store.Kind]int64
	told   time.Time        // of the last error of the store that was passed over
	last   archive.Standing // before it has begun, and after it has failed
	ended  error            // why it has failed
}

// openArchive opens the store and the keys of a flow's archive. They are asked nothing yet: an error is one of the file.
func (f *flow) openArchive(ctx context.Context) (*archiving, error) {
	c := f.conf().Archive
	a := &archiving{flow: f, opened: time.Now(), kicked: make(chan struct{}, 1), last: archive.Standing{Oldest: time.Now()}, errors: make(map[store.Kind]int64)}
	var err error
	if len(c.KeyURLs) > 0 {
		if a.ring, err = keys.Open(ctx, c.KeyURLs); err != nil {
			return nil, fmt.Errorf("archive.encryption.key.url: %w", err)
		}
	}
	a.store, err = store.Open(ctx, c.URL, store.Options{S3: s3Options(c), Retried: a.retried})
	if err != nil {
		a.close()
		return nil, fmt.Errorf("archive.url: %w", err)
	}
	if a.alive, err = newStoreProbe(ctx, c); err == nil {
		a.looks, err = newLookout(ctx, a)
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("archive.url: %w", err)
	}
	return a, nil
}

func s3Options(c config.Archive) store.S3Options {
	return store.S3Options{SSE: c.SSE, KMSKeyID: c.KMSKeyID, StorageClass: c.StorageClass, LockMode: c.LockMode, LockDays: c.LockDays}
}

func (a *archiving) close() {
	if a.store != nil {
		_ = a.store.Close() // what was to be stored has been, or is read from the source again
	}
	a.alive.close()
	a.looks.close()
	if a.ring != nil {
		_ = a.ring.Close()
	}
}

// why it has failed.
func (a *archiving) why() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended == nil {
		return ""
	}
	return kafka.Explain(a.ended)
}

// retriedTold is how often an error of the store is told that passes by itself.
const retriedTold = time.Minute

// retried hears of errors after which the store is asked again.
func (a *archiving) retried(r store.Retry) {
	a.mu.Lock()
	a.errors[r.Err.Kind]++
	tell := time.Since(a.told) >= retriedTold
	if tell {
		a.told = time.Now()
	}
	a.mu.Unlock()
	if tell {
		a.tell(stream.Warn, "the archive's store has trouble; trying again", stream.F("try", r.Try), stream.F("error", r.Err))
	}
}

// run archives until ctx ends, and then writes what waits. Where replication is to go on without an archive (archive.on.failure=detach)
// it returns an error only if the store or the file is not fit for one.
func (a *archiving) run(ctx context.Context) error {
	id, err := a.clusterID(ctx, a.conf().Source, a.clients.source)
	if err == nil {
		err = a.probe(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	writer := archive.New(a.config(id), source{a}, a.store)
	a.writer.Store(writer)
	a.tell(stream.Info, "archiving", stream.F("writer", a.writerName()))
	group, beside := errgroup.WithContext(ctx)
	group.Go(func() error { return writer.Run(beside) })
	w := newWatch(a, writer)
	a.watch.Store(w)
	group.Go(func() error { return w.run(beside) })
	defer time.AfterFunc(answerWait, a.assign).Stop()
	group.Go(func() error { return a.watchGroups(beside, writer) })
	group.Go(func() error { return a.keepRuns(beside, writer) })
	group.Go(func() error { return a.keepIndex(beside) })
	group.Go(func() error { return a.looks.run(beside) })
	if err := group.Wait(); err != nil {
		return a.stopped(ctx, err)
	}
	return nil
}

// stopped is what an archive comes to that cannot go on: a person has to look after its store.
func (a *archiving) stopped(ctx context.Context, err error) error {
	a.mu.Lock()
	a.ended = err
	a.mu.Unlock()
	a.failed.Store(true)
	if w := a.writer.Swap(nil); w != nil { // and its memory with it
		last, _ := w.Standing()
		a.mu.Lock()
		a.last = last
		a.mu.Unlock()
	}
	if a.conf().Archive.Pause {
		return fmt.Errorf("flow %s: archive.on.failure=pause: %w", a.conf().Flow, err)
	}
	a.tell(stream.Error, "the archive has stopped, and nothing is archived any more; see to it, then start mirror again", stream.F("error", err))
	<-ctx.Done()
	return nil
}

func (a *archiving) config(clusterID string) archive.Config {
	c := a.conf().Archive
	compression := bundle.Zstd
	if c.Compression == "none" {
		compression = bundle.None
	}
	var keeper bundle.Keeper
	if a.ring != nil {
		keeper = a.ring
	}
	return archive.Config{
		Flow: a.conf().Flow, ClusterID: clusterID, Writer: a.writerName(), Committed: a.conf().IsolationLevel == "read_committed",
		FlushInterval: c.FlushInterval, FlushBytes: c.FlushBytes, Memory: c.Memory, Compression: compression, Keeper: keeper,
		Pause: c.Pause, FromNow: c.FromNow, Offers: a.conf().Enabled, Report: a.report,
	}
}

// writerName tells the writers of one source apart, whose flows have different targets, and the processes of one flow.
func (a *archiving) writerName() string {
	name := "mirror-" + plain(a.conf().Target)
	if a.process != "" {
		name += "-" + plain(a.process)
	}
	return name
}

// plain has only characters that names of objects may have.
func plain(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	return b.String()
}

const (
	probeFirst = time.Second // doubled up to probeLast
	probeLast  = time.Minute
)

// probe makes sure that the store never writes over an object. A store that does not answer, or refuses access, is asked again:
// replication goes on meanwhile. A writer without the right to delete leaves the probe there.
func (a *archiving) probe(ctx context.Context) error {
	told := ""
	for pause := probeFirst; ; pause = min(2*pause, probeLast) {
		name := fmt.Sprintf("v1/probe/%s-%d", a.writerName(), time.Now().UnixNano())
		err := store.Probe(ctx, a.store, name)
		if refused := (*store.Error)(nil); errors.As(err, &refused) && refused.Op == "delete" && refused.Kind == store.AccessDenied {
			err = nil
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, store.ErrUnfit):
			return cannotRun{fmt.Errorf("flow %s: archive.url: %w", a.conf().Flow, err)}
		case err == nil:
			if told != "" {
				a.tell(stream.Info, "the archive's store is there")
			}
			return nil
		}
		kind := store.Classify(err)
		a.count(kind)
		if told != kind.String() {
			told = kind.String()
			a.tell(stream.Error, a.cannotBegin(kind), stream.F("error", err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (a *archiving) cannotBegin(k store.Kind) string {
	meanwhile := "; replication goes on, and the archive begins when the store is there"
	switch {
	case a.conf().Archive.Pause && a.conf().Enabled:
		meanwhile = "; replication waits for it (archive.on.failure=pause)"
	case !a.conf().Enabled:
		meanwhile = "; trying again"
	}
	switch k {
	case store.AccessDenied:
		return "the archive's store refuses access: check credentials and rights" + meanwhile
	case store.Settings:
		return "the archive's store cannot be used as it is set: check archive.url and the bucket" + meanwhile
	default:
		return "the archive cannot begin" + meanwhile
	}
}

func (a *archiving) count(k store.Kind) {
	a.mu.Lock()
	a.errors[k]++
	a.mu.Unlock()
}

// Take hands to the archive what replication has read; before it has begun, and after it has failed, it reads by itself or not at all.
func (a *archiving) Take(s replicate.Stretch) {
	if w := a.writer.Load(); w != nil && !a.failed.Load() {
		w.Offer(archive.Piece{
			Source: s.Source, Topic: s.Topic, From: s.From, Next: s.Next, LeaderEpoch: s.LeaderEpoch, Batches: s.Batches,
			Aborted: s.Aborted, Committed: a.conf().IsolationLevel == "read_committed",
		})
	}
}

// startWait is how long replication waits at the start for the archive to know where it goes on: what it reads before that, the archive
// has to read once more.
const startWait = 3 * time.Second

// Full says that replication has to wait for the archive.
func (a *archiving) Full() bool {
	w := a.writer.Load()
	switch {
	case a.conf().Archive.Pause:
		return w == nil || w.Behind()
	case a.together.Load():
		return false
	case a.failed.Load(), w != nil && w.Placed(), a.waited() > startWait:
		a.together.Store(true)
		return false
	}
	return true
}

func (a *archiving) waited() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.opened)
}

// placeAnew has replication wait once more until the archive knows where it goes on: partitions are about to come to this process.
func (a *archiving) placeAnew() {
	if a == nil {
		return
	}
	a.mu.Lock()
	a.opened = time.Now()
	a.mu.Unlock()
	a.together.Store(false)
}

// assign gives the archive the partitions that this process has by now.
func (a *archiving) assign() {
	if a == nil {
		return
	}
	if w := a.watch.Load(); w != nil {
		w.assign()
	}
	a.kick()
}

// keeps says that this process archives a partition: what it copies, and whoever is on duty what nobody does.
func (f *flow) keeps(source stream.Partition) bool {
	if f.hold == nil {
		return true
	}
	if !f.conf().Topics.Replicates(source.Topic) {
		return f.hold.keepsRest()
	}
	return f.hold.keeps(stream.Partition{Topic: f.conf().Policy.RemoteTopic(f.conf().Source, source.Topic), Number: source.Number})
}

// tee is what the pipe hands its bytes to; nil without an archive.
func (f *flow) tee() replicate.Tee {
	if f.archive == nil {
		return nil
	}
	return f.archive
}

// kick has the topics of the source looked at soon. It may be called without an archive.
func (a *archiving) kick() {
	if a == nil {
		return
	}
	nudge(a.kicked)
}

// source is the cluster that is archived, on connections of the archive's own.
type source struct{ *archiving }

func (s source) Read(ctx context.Context, p stream.Place, committed bool) (stream.Fetched, error) {
	f, err := s.clients.archiveWire.ReadPlace(ctx, p, committed)
	if code, ok := stream.CodeOf(err); ok {
		switch code {
		case stream.CodeUnknownTopicID, stream.CodeUnknownTopicOrPartition, stream.CodeInconsistentTopicID:
			s.kick()
		}
	}
	return f, err
}

func (s source) Offsets(ctx context.Context, p []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	return s.clients.archiveWire.Offsets(ctx, p, at)
}

// archiveMemory is what the archives of a process may take.
func archiveMemory(conf *config.Config) (n int64) {
	for _, f := range conf.Flows {
		if f.Archive.Enabled {
			n += f.Archive.Memory
		}
	}
	return n
}
