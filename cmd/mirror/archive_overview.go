package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/archive"
	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/reports"
	"tandem/internal/archive/store"
	"tandem/internal/drill"
	"tandem/internal/metrics"
	"tandem/internal/status"
	"tandem/internal/stream"
)

// lookout keeps what can be restored from the archive of a flow, for the page and for metrics: it follows the listing and the footers, on a
// store of its own, so that it neither waits for the archiver nor makes it wait, and counts no errors of its own as the archiver's.
//
//	listing, footers, index objects -> catalog.Follower -> restorable
//	reports/verify, reports/drill   -> reports.Last     -> verified, rehearsing.heard
//
// What it costs: while nothing is removed a listing a minute, four or five every five minutes, and a read for each new bundle.
type lookout struct {
	*archiving
	store   store.Store
	follows *catalog.Follower
	least   time.Duration // between two looks

	odd map[string]bool // reports that cannot be read, and were told

	mu      sync.Mutex         // guards what follows
	shown   *status.Restorable // nil: not looked at yet
	own     map[string]bool    // by topic and life: all of it is archived by this process
	trouble string             // why the last look failed
	reports []reports.Report   // of verifications, the newest of each class
}

const (
	looksLocal  = 5 * time.Second  // between two looks at a folder
	looksRemote = time.Minute      // and at a store that charges for requests
	looksSeldom = 10 * time.Minute // and at the largest archive
	looksEmpty  = time.Second      // between two questions whether this process has stored something
	looksShare  = 100              // a pause is so many times as long as the look before it
	reportsEach = 5                // looks

	restFor     = 4 // times as long as a part of a very long reading took, the rest behind it is
	restAtMost  = 30 * time.Second
	lookParts   = 2                   // footers read at a time
	againKeyed  = 30 * 24 * time.Hour // where each footer takes a request to a service that keeps keys
	topicsShown = 1000
)

// newLookout opens a store. It is asked nothing yet.
func newLookout(ctx context.Context, a *archiving) (*lookout, error) {
	c := a.conf().Archive
	st, err := store.Open(ctx, c.URL, store.Options{S3: s3Options(c), Patience: restAtMost})
	if err != nil {
		return nil, err
	}
	o := catalog.Options{Source: a.conf().Source, Parallel: lookParts}
	if a.ring != nil {
		o.Keeper = bundle.Keeper(a.ring)
	}
	l := &lookout{archiving: a, store: st, least: looksRemote, follows: catalog.NewFollower(st, o, rest), odd: make(map[string]bool)}
	if strings.HasPrefix(c.URL, "file:") {
		l.least = looksLocal
	}
	if slices.ContainsFunc(c.KeyURLs, func(url string) bool { return !strings.HasPrefix(url, "file:") }) {
		l.follows.Again = againKeyed
	}
	return l, nil
}

// close may be called on nil.
func (l *lookout) close() {
	if l != nil {
		_ = l.store.Close() // nothing was written
	}
}

// rest has others go first while a very large archive is read.
func rest(ctx context.Context, busy time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(restFor*busy, restAtMost)):
	}
}

// run looks until ctx ends. Nothing depends on it: an error is shown, and it looks again.
func (l *lookout) run(ctx context.Context) error {
	for n := 0; ; n++ {
		began := time.Now()
		objects, err := l.look(ctx)
		if n%reportsEach == 0 && err == nil && objects > 0 {
			err = l.hear(ctx)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it has ended
		}
		if l.failed(err); err != nil {
			n = -1 // the next one hears, too
		}
		pause := min(max(looksShare*time.Since(began), l.least), looksSeldom)
		if objects == 0 && err == nil {
			n = -1
			l.first(ctx, pause)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// first waits for a bundle of this process, which is to be seen soon, and not for longer than a pause.
func (l *lookout) first(ctx context.Context, pause time.Duration) {
	for until := time.Now().Add(pause); time.Now().Before(until); {
		if s, _ := l.standing(); s.Bundles > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(looksEmpty):
		}
	}
}

// failed notes why the archive could not be looked at; nil: it could.
func (l *lookout) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = ""
	if err != nil {
		l.trouble = strings.Join(strings.Fields(err.Error()), " ")
	}
}

// look follows the bundles.
func (l *lookout) look(ctx context.Context) (objects int, err error) {
	asOf := time.Now()
	o, err := l.follows.Look(ctx)
	if err != nil {
		return 0, err
	}
	r, own := restorableOf(o), make(map[string]bool)
	r.AsOf = asOf
	for _, t := range o.Topics {
		if !t.Deleted {
			own[t.Topic.String()] = l.archivesAll(t)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown, l.own = r, own
	return o.Objects, nil
}

// archivesAll says that all partitions of a topic are archived by this process.
func (l *lookout) archivesAll(t catalog.Span) bool {
	if !l.conf().Archive.Keeps(t.Topic.Name) {
		return false
	}
	for n := range t.Partitions {
		if !l.keeps(stream.Partition{Topic: t.Topic.Name, Number: n}) {
			return false
		}
	}
	return true
}

// restorableOf has the topics that are there by name, and behind them those that were deleted, the last one first.
func restorableOf(o catalog.Overview) *status.Restorable {
	r := &status.Restorable{
		Objects: int64(o.Objects), Bytes: o.Bytes, Oldest: o.Oldest, Newest: o.Newest, Holes: o.Holes,
		Topics: make([]status.Span, 0, len(o.Topics)), Points: make([]status.Point, 0, len(o.Points)),
	}
	for _, t := range o.Topics {
		r.Topics = append(r.Topics, status.Span{Topic: t.Topic.String(), From: t.From, To: t.To, Deleted: t.Deleted, Holes: t.Holes})
	}
	slices.SortStableFunc(r.Topics, func(a, b status.Span) int {
		switch {
		case a.Deleted && b.Deleted:
			return cmp.Or(b.To.Compare(a.To), strings.Compare(a.Topic, b.Topic))
		case a.Deleted:
			return 1
		case b.Deleted:
			return -1
		}
		return strings.Compare(a.Topic, b.Topic)
	})
	r.Topics = r.Topics[:min(len(r.Topics), topicsShown)]
	for _, p := range o.Points {
		r.Points = append(r.Points, status.Point{Name: p.Name, At: p.At})
	}
	if o.Damaged > 0 {
		r.Error = fmt.Sprintf("%d bundles cannot be read, and what they hold is not counted; archive verify says more", o.Damaged)
	}
	return r
}

// hear finds what verifications and drills came to, whoever ran them.
func (l *lookout) hear(ctx context.Context) error {
	verified, odd, err := reports.Last(ctx, l.store, l.conf().Source, reports.Verify)
	if err != nil {
		return err
	}
	drilled, more, err := reports.Last(ctx, l.store, l.conf().Source, reports.Drill)
	if err != nil {
		return err
	}
	for _, err := range slices.Concat(odd, more) {
		if text := err.Error(); !l.odd[text] {
			l.odd[text] = true
			l.tell(stream.Warn, "a report in the archive is passed over", stream.F("error", err))
		}
	}
	for _, r := range drilled {
		if r.Flow == l.conf().Flow.String() && l.rehearsal != nil {
			l.rehearsal.heard(l.conf().Flow, drill.Outcome{Kind: drill.Archive, At: r.At, Seconds: r.Seconds, Passed: r.Passed, Summary: r.Summary})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = verified
	return nil
}

// restorable is what the archive holds; nil: nobody knows yet.
func (l *lookout) restorable() *status.Restorable {
	return l.restorableUntil(durable(l.standing()))
}

// restorableUntil is told until when everything of the source is durable that this process archives: where it has all of a topic it knows more
// than bundles say, since none comes where nothing is written.
func (l *lookout) restorableUntil(until time.Time) *status.Restorable {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown == nil {
		if l.trouble == "" {
			return nil
		}
		return &status.Restorable{Error: l.trouble, Verified: lastVerified(l.reports)}
	}
	r := *l.shown
	r.Topics = slices.Clone(r.Topics)
	all := len(r.Topics) > 0 && until.After(r.Newest)
	for i := range r.Topics {
		t := &r.Topics[i]
		switch {
		case t.Deleted:
		case !l.own[t.Topic]:
			all = false
		case until.After(t.To):
			t.To = until
		}
	}
	if all {
		r.Newest = until
	}
	r.Error, r.Verified = cmp.Or(l.trouble, r.Error), lastVerified(l.reports)
	return &r
}

// durable is the moment before which all that was produced at the source is durable; zero: nobody knows. Partitions of which nothing is
// offered are asked for their ends every few seconds; a source that does not answer may have got anything since it was asked last.
func durable(s archive.Standing, began bool) time.Time {
	if !began {
		return time.Time{}
	}
	at := time.Now().Add(-age(s))
	if !s.Heard.IsZero() && s.Heard.Before(at) {
		return s.Heard
	}
	return at
}

// verified are the verifications of all of the archive, by level.
func (l *lookout) verified() (all []metrics.Verified) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.reports {
		if !r.Partial {
			all = append(all, metrics.Verified{Level: r.Level, At: r.At, Passed: r.Passed})
		}
	}
	return all
}

// levels are those of archive verify: each proves what the ones before prove.
var levels = []string{"list", "footer", "chunk", "record"}

// lastVerified is the last verification of all of the archive that passed, but for one that found something, of all or of a part, of which no
// later one of all at its level or a higher one says that it is mended.
func lastVerified(all []reports.Report) *status.Verified {
	var last *reports.Report
	worse := func(r reports.Report) bool { return !r.Passed && last != nil && last.Passed }
	for _, r := range all {
		switch {
		case r.Passed && r.Partial, !r.Passed && mended(all, r):
			continue
		case last == nil, worse(r), r.Passed == last.Passed && r.At.After(last.At):
			last = &r
		}
	}
	if last == nil {
		return nil
	}
	return &status.Verified{At: last.At, Level: last.Level, Passed: last.Passed}
}

// mended says that what a verification has found, a later one did not find any more.
func mended(all []reports.Report, found reports.Report) bool {
	return slices.ContainsFunc(all, func(r reports.Report) bool {
		return r.Passed && !r.Partial && r.At.After(found.At) && slices.Index(levels, r.Level) >= slices.Index(levels, found.Level)
	})
}
