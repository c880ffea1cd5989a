package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// found is a bundle of the listing.
type found struct {
	name       string
	size       int64
	generation int64
	sequence   int64
}

// survey is what the store holds of this source: the newest bundles of each writer.
type survey struct {
	newest map[string][]found // by writer, the newest last
	read   map[string]string  // by writer, the bundle whose footer the ledger has
	listed string             // the name from which the next listing starts
	whole  bool               // all names were listed once
}

// forget has the next listing begin anew.
func (s *survey) forget() { *s = survey{newest: make(map[string][]found), read: s.read} }

// spare is how many bundles of a writer are known, should the newest be damaged.
const spare = 4

// windows are how far back a listing goes, until it shows what is asked for. Names sort by time.
var windows = []time.Duration{time.Hour, 24 * time.Hour, 32 * 24 * time.Hour}

const listedAgain = time.Hour // a bundle may be stored so long after its name was made, and still be found

func (s *survey) list(ctx context.Context, st Store, folder, after string) error {
	for info, err := range st.List(ctx, folder, after) {
		if err != nil {
			return fmt.Errorf("list bundles: %w", err)
		}
		h, err := bundle.ParseName("", info.Name)
		if err != nil {
			continue // not one of ours, as a folder's mark
		}
		s.note(h, found{info.Name, info.Size, h.Generation, h.Sequence})
	}
	return nil
}

func (s *survey) note(h bundle.Header, f found) {
	all := s.newest[h.Writer]
	i, there := slices.BinarySearchFunc(all, f, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.generation, b.generation), cmp.Compare(a.sequence, b.sequence), cmp.Compare(a.name, b.name))
	})
	if there {
		return
	}
	all = slices.Insert(all, i, f)
	s.newest[h.Writer] = all[max(0, len(all)-spare):]
}

// look lists what is new since the last time, at first as far back as to the newest bundle of this writer; whole lists all.
func (a *Archiver) look(ctx context.Context, whole bool) error {
	s, folder, now := &a.survey, bundle.Folder("", a.cfg.Flow.Source), time.Now()
	back := func(d time.Duration) string { return folder + now.Add(-d).UTC().Format("2006/01/02/15") }
	next := back(listedAgain)
	switch {
	case whole && !s.whole:
		if err := s.list(ctx, a.store, folder, ""); err != nil {
			return err
		}
		s.whole = true
	case s.listed != "":
		if err := s.list(ctx, a.store, folder, s.listed); err != nil {
			return err
		}
	default:
		for _, w := range windows {
			if err := s.list(ctx, a.store, folder, back(w)); err != nil {
				return err
			}
			if len(s.newest[a.cfg.Writer]) > 0 {
				break
			}
		}
		if len(s.newest[a.cfg.Writer]) == 0 {
			if err := s.list(ctx, a.store, folder, ""); err != nil {
				return err
			}
			s.whole = true
		}
	}
	s.listed = next
	return nil
}

// refresh lists, and reads the footers that are new.
func (a *Archiver) refresh(ctx context.Context, whole bool) error {
	if err := a.look(ctx, whole); err != nil {
		return err
	}
	for writer, all := range a.survey.newest {
		newest := all[len(all)-1].name
		own := writer == a.cfg.Writer
		if a.survey.read[writer] == newest || own && a.survey.read[writer] != "" {
			continue
		}
		f, err := a.footer(ctx, all)
		if store.Classify(err) == store.NotFound {
			a.survey.forget() // removed since it was listed, or not: the next listing tells
		}
		if err != nil {
			return err
		}
		if own {
			a.previous = f.Digest
		}
		switch {
		case f.Header.Flow == a.cfg.Flow:
			a.mu.Lock()
			for _, p := range f.Positions {
				if a.tracks[stream.Partition{Topic: p.Topic.Name, Number: p.Partition}] == nil { // of those nobody knows more
					a.ledger.learn(p)
				}
			}
			a.mu.Unlock()
		case own:
			return fmt.Errorf("writer %s, bundle %s of flow %s: %w", writer, newest, f.Header.Flow, errName)
		}
		a.survey.read[writer] = newest
	}
	return nil
}

// footer reads the newest bundle of a writer that is whole. Behind a damaged one the older positions make up for what it held.
func (a *Archiver) footer(ctx context.Context, all []found) (bundle.Footer, error) {
	var damaged error
	for _, f := range slices.Backward(all) {
		src := object{ctx, a.store, f.name}
		r, err := bundle.Open(ctx, src, f.size, bundle.OpenOptions{Name: f.name, Keeper: a.cfg.Keeper})
		if err == nil {
			return r.Footer(), nil
		}
		if !errors.Is(err, bundle.ErrCorrupt) && store.Classify(err) != store.Short {
			return bundle.Footer{}, err
		}
		damaged = errors.Join(damaged, err)
		a.report(stream.Error, "a bundle is damaged: what it held is read from the source again, as far as that has it. Run archive verify",
			stream.F("object", f.name), stream.F("error", err))
	}
	return bundle.Footer{}, fmt.Errorf("no bundle of a writer can be read; move its damaged ones away to go on without: %w", damaged)
}

// object reads one object by range.
type object struct {
	ctx   context.Context //nolint:containedctx // io.ReaderAt has none, and this lives for one call
	store Store
	name  string
}

func (o object) ReadAt(p []byte, off int64) (int, error) {
	body, err := o.store.Get(o.ctx, o.name, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.ReadFull(body, p)
}

var errName = errors.New("two flows have one writer: give this one another name")

// hopeless says that trying again changes nothing: what the store holds cannot be read by this program, or has other bytes.
func hopeless(err error) bool {
	return errors.Is(err, bundle.ErrCorrupt) || errors.Is(err, bundle.ErrNewer) || errors.Is(err, bundle.ErrName) ||
		errors.Is(err, bundle.ErrKey) || errors.Is(err, errName) || store.Classify(err) == store.Conflict
}
