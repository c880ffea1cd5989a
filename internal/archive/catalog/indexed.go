package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// worthwhile is from how many bundles on index objects are asked for.
const worthwhile = 8

// indexes are the index objects of a source, read when the first bundle of their hour is asked for. The nil value has none.
type indexes struct {
	st     Store
	source string
	hours  map[time.Time]*hour

	mu   sync.Mutex // held while told is called
	told func(name string, err error)
}

// hour are the index objects of an hour, which are read once.
type hour struct {
	at    time.Time
	names []store.Info
	lock  chan struct{} // of one place
	read  bool
	tails map[string]tail

	damaged map[string]bool // names
}

// listIndexes lists what index objects there are, from an hour on.
func listIndexes(ctx context.Context, st Store, o Options, from time.Time) (*indexes, error) {
	x := &indexes{st: st, source: o.Source, told: o.IndexDamaged, hours: make(map[time.Time]*hour)}
	folder := indexFolder(o.Source)
	for info, err := range st.List(ctx, folder, folder+from.UTC().Format(indexHour)) {
		if err != nil {
			return nil, fmt.Errorf("list index of %s: %w", o.Source, err)
		}
		at, _, ok := parseIndexName(o.Source, info.Name)
		if !ok {
			continue
		}
		if x.hours[at] == nil {
			x.hours[at] = &hour{at: at, lock: make(chan struct{}, 1)}
		}
		x.hours[at].names = append(x.hours[at].names, info)
	}
	return x, nil
}

// hour is where to look for a bundle; nil where there is no index. What the hour before held may go.
func (x *indexes) hour(o *Object, before *hour) *hour {
	if x == nil {
		return nil
	}
	at := hourOf(o)
	if before != nil && before.at != at {
		delete(x.hours, before.at)
	}
	return x.hours[at]
}

// tail is the end of an object, if an index has it.
func (x *indexes) tail(ctx context.Context, h *hour, o *Object) (t tail, ok bool, err error) {
	if h == nil {
		return t, false, nil
	}
	tails, err := x.load(ctx, h)
	if err != nil {
		return t, false, err
	}
	t, ok = tails[o.Name]
	return t, ok && t.size == o.Size, nil
}

func (x *indexes) odd(name string, err error) {
	if x.told != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.told(name, err)
	}
}

// load reads the index objects of an hour. One that is damaged is passed over, and told of.
func (x *indexes) load(ctx context.Context, h *hour) (map[string]tail, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case h.lock <- struct{}{}:
	}
	defer func() { <-h.lock }()
	if h.read {
		return h.tails, nil
	}
	tails := make(map[string]tail)
	h.damaged = make(map[string]bool)
	for _, info := range h.names {
		all, err := x.one(ctx, info, h.at)
		switch {
		case err == nil:
		case store.Classify(err) == store.NotFound:
			continue // removed since it was listed
		case errors.Is(err, bundle.ErrCorrupt), errors.Is(err, bundle.ErrNewer), store.Classify(err) == store.Short:
			h.damaged[info.Name] = true
			x.odd(info.Name, err)
			continue
		default:
			return nil, err
		}
		for _, t := range all {
			tails[t.name] = t
		}
	}
	h.tails, h.read = tails, true
	return tails, nil
}

func (x *indexes) one(ctx context.Context, info store.Info, at time.Time) ([]tail, error) {
	if info.Size > indexLimit || info.Size <= 0 {
		return nil, fmt.Errorf("read %s: %d bytes: %w", info.Name, info.Size, bundle.ErrCorrupt)
	}
	b, err := readRange(ctx, x.st, info.Name, 0, info.Size)
	if err != nil {
		return nil, err
	}
	all, err := decodeIndex(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", info.Name, err)
	}
	if _, sum, _ := parseIndexName(x.source, info.Name); string(b[len(b)-len(sum):]) != string(sum[:]) {
		return nil, fmt.Errorf("read %s: it stands under a name that is not its own: %w", info.Name, bundle.ErrCorrupt)
	}
	for _, t := range all {
		if !belongs(t.name, x.source, at) {
			return nil, fmt.Errorf("read %s: it has %q: %w", info.Name, t.name, bundle.ErrCorrupt)
		}
	}
	return all, nil
}
