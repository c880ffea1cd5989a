package catalog

import (
	"context"
	"fmt"
	"maps"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// Follower keeps an Overview of an archive that grows. It is not safe for concurrent use.
//
// The first Look reads the ends of all bundles, through index objects where there are some; a later one lists no more than the last hour
// or two, and reads what is new. All is read again once a day, and some minutes after bundles were removed. So a Look costs a listing
// for each thousand bundles of the last hours and a read for each new bundle, at most.
type Follower struct {
	// Again is after how long all is read once more, where nothing tells that bundles were removed. NewFollower sets it to a day.
	Again time.Duration

	st      Store
	options Options
	now     func() time.Time
	pause   func(ctx context.Context, busy time.Duration)

	ready  *Overviewing // all that there is, as of the last Look
	behind reading      // and how far that goes
	whole  time.Time    // when the reading of it began
	took   time.Duration
	stale  bool // something was removed since

	fresh *Overviewing // is being read anew
	at    reading
}

// reading is how far a listing was read.
type reading struct {
	from  string          // where the next one begins: behind this name
	known map[string]bool // names behind from that were read
	began time.Time       // of the reading that is under way; zero: none is
	done  string          // and up to which name it came
	busy  time.Duration   // and how long it took so far
}

const (
	storedLate = time.Hour // a bundle may be stored so long after its name was made
	readAgain  = 24 * time.Hour
	staleFor   = 10 * time.Minute
	staleShare = 100 // and so many times as long as reading took

	batchNames = 20_000 // that are held at a time, and the rest of their hour
	hurried    = 2000   // footers that are read without a pause
	pauseEvery = 500    // footers behind these
)

// NewFollower begins. pause, if not nil, is called now and then while very many bundles are read, with the time since the last call: it may
// wait, so that others are not disturbed.
func NewFollower(st Store, o Options, pause func(ctx context.Context, busy time.Duration)) *Follower {
	if pause == nil {
		pause = func(context.Context, time.Duration) {}
	}
	return &Follower{st: st, options: o, now: time.Now, pause: pause, Again: readAgain}
}

// Look reads what is new. After an error the next call goes on where this one ended; the error is the store's.
func (f *Follower) Look(ctx context.Context) (Overview, error) {
	if now := f.now(); f.fresh == nil && f.due(now) {
		f.fresh, f.at = NewOverviewing(f.options.Source), reading{}
	}
	if f.fresh == nil {
		if _, _, err := f.read(ctx, f.ready, &f.behind); err != nil {
			return Overview{}, err
		}
		return f.ready.Overview(), nil
	}
	began, took, err := f.read(ctx, f.fresh, &f.at)
	if err != nil {
		return Overview{}, err
	}
	f.ready, f.behind, f.fresh, f.whole, f.took = f.fresh, f.at, nil, began, took
	return f.ready.Overview(), nil
}

// due says that all is to be read.
func (f *Follower) due(now time.Time) bool {
	age := now.Sub(f.whole)
	if f.ready != nil && f.ready.view.objects > 0 && age < f.Again && !(f.stale && age >= max(staleFor, staleShare*f.took)) {
		return false
	}
	f.stale = false
	return true
}

// read adds all that is behind at, and says when it began with it and how long it was at it.
func (f *Follower) read(ctx context.Context, into *Overviewing, at *reading) (began time.Time, took time.Duration, err error) {
	if at.began.IsZero() {
		at.began, at.done, at.busy = f.now(), at.from, 0
		if at.known == nil {
			at.known = make(map[string]bool)
		}
	}
	resumed := f.now()
	defer func() { at.busy += f.now().Sub(resumed); took = at.busy }()
	again := bundle.Folder("", f.options.Source) + at.began.Add(-storedLate).UTC().Format(indexHour)
	rest := rests{pause: f.pause, since: time.Now()}
	for {
		objects, last, err := f.batch(ctx, at)
		if err != nil {
			return at.began, 0, err
		}
		err = Walk(ctx, f.st, objects, f.options, func(o Object, footer *bundle.Footer, err error) error {
			f.add(into, o, footer, err, at.began)
			at.known[o.Name] = true
			rest.some(ctx)
			return nil
		})
		if err != nil {
			return at.began, 0, err
		}
		maps.DeleteFunc(at.known, func(name string, _ bool) bool { return name < again })
		if at.done = last; last == "" {
			break
		}
	}
	began, at.began, at.from = at.began, time.Time{}, again
	return began, 0, nil
}

// batch lists what comes next and is not known. last is empty where that is the end.
func (f *Follower) batch(ctx context.Context, at *reading) (objects []Object, last string, err error) {
	for info, err := range f.st.List(ctx, bundle.Folder("", f.options.Source), at.done) {
		if err != nil {
			return nil, "", fmt.Errorf("list bundles of %s: %w", f.options.Source, err)
		}
		h, err := bundle.ParseName("", info.Name)
		if err != nil || at.known[info.Name] {
			continue
		}
		o := Object{Name: info.Name, Size: info.Size, Header: h}
		if n := len(objects); n >= batchNames && !hourOf(&o).Equal(hourOf(&objects[n-1])) {
			return objects, objects[n-1].Name, nil
		}
		objects = append(objects, o)
	}
	return objects, "", nil
}

// add adds one. What was removed since it was listed is not there; what was removed a moment ago may still have been listed.
func (f *Follower) add(into *Overviewing, o Object, footer *bundle.Footer, err error, began time.Time) {
	switch {
	case err != nil && store.Classify(err) == store.NotFound:
		f.stale = true
	case err != nil:
		into.AddDamaged(o)
	default:
		into.Add(o, footer)
		for _, e := range footer.Events {
			if _, ok := e.Body.(bundle.Removed); ok && o.Header.CreatedAt.After(began.Add(-staleFor)) {
				f.stale = true
			}
		}
	}
}

// rests are the pauses of one reading.
type rests struct {
	pause func(context.Context, time.Duration)
	since time.Time
	n     int
}

func (r *rests) some(ctx context.Context) {
	if r.n++; r.n < hurried || r.n%pauseEvery > 0 {
		return
	}
	r.pause(ctx, time.Since(r.since))
	r.since = time.Now()
}
