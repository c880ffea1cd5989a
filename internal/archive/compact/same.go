package compact

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

var errState = errors.New("without the old bundles the archive would not say the same; nothing was removed")

// compare makes the catalog as it will be, and compares it with what it is. Nothing has been removed yet.
func (r *run) compare(ctx context.Context, last bundle.Footer) error {
	if err := r.step("compare"); err != nil {
		return err
	}
	gone := make(map[string]bool)
	for _, s := range r.old {
		gone[s.object.Name] = true
	}
	for _, name := range slices.Concat(r.Stale, r.Leftovers) {
		gone[name] = true
	}
	objects, _, err := catalog.List(ctx, r.Plan.store, r.options.Flow.Source)
	if err != nil {
		return err
	}
	young := make(map[string]bool) // since the plan was made
	for _, o := range objects {
		young[o.Name] = !r.known[o.Name]
	}
	objects = slices.DeleteFunc(objects, func(o catalog.Object) bool { return gone[o.Name] || young[o.Name] })
	view := catalog.NewView(r.options.Flow.Source, time.Time{}, nil)
	err = catalog.Walk(ctx, r.Plan.store, objects, r.walk(), func(o catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			view.AddDamaged(o, err)
		} else {
			view.Add(o, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range r.made {
		view.Add(*m.object, &m.footer)
	}
	h := last.Header
	view.Add(catalog.Object{Name: bundle.Name("", h), Size: last.Size, Header: h}, &last)
	if err := differ(r.before, view.State(), r.moments()); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	return nil
}

// moments are some at which something was archived.
func (r *run) moments() (all []time.Time) {
	const some = 32
	for i := 0; i < len(r.old); i += max(1, len(r.old)/some) {
		all = append(all, r.old[i].object.Header.CreatedAt)
	}
	return all
}

// differ tells in what two states differ that are to say the same.
func differ(a, b *catalog.State, moments []time.Time) error {
	if !reflect.DeepEqual(a.Groups, b.Groups) {
		return errors.New("positions of groups")
	}
	if !reflect.DeepEqual(a.ACLs, b.ACLs) || !a.ACLsAt.Equal(b.ACLsAt) {
		return errors.New("ACLs")
	}
	if !slices.EqualFunc(a.Points, b.Points, func(p, q catalog.Point) bool {
		p.Object, q.Object = "", ""
		return reflect.DeepEqual(p, q)
	}) {
		return errors.New("points")
	}
	for _, lives := range [][2][]catalog.Life{{a.Lives, b.Lives}, {a.Past, b.Past}} {
		if len(lives[0]) != len(lives[1]) {
			return fmt.Errorf("%d topics, not %d", len(lives[1]), len(lives[0]))
		}
		for i, l := range lives[0] {
			if err := differLife(l, lives[1][i], moments); err != nil {
				return fmt.Errorf("%s: %w", l.Topic, err)
			}
		}
	}
	return nil
}

func differLife(a, b catalog.Life, moments []time.Time) error {
	switch {
	case a.Topic != b.Topic || a.Partitions != b.Partitions || a.Factor != b.Factor:
		return fmt.Errorf("%s with %d partitions, factor %d, not %s with %d, %d", b.Topic, b.Partitions, b.Factor, a.Topic, a.Partitions, a.Factor)
	case !a.Since.Equal(b.Since) || !a.Until.Equal(b.Until):
		return fmt.Errorf("from %s to %s, not %s to %s", b.Since, b.Until, a.Since, a.Until)
	case !maps.Equal(a.Configs, b.Configs) || (a.Configs == nil) != (b.Configs == nil):
		return errors.New("configs")
	case len(a.Parts) != len(b.Parts):
		return fmt.Errorf("%d partitions have something, not %d", len(b.Parts), len(a.Parts))
	}
	for i := range a.Parts {
		if err := differPart(a.Parts[i], b.Parts[i], moments); err != nil {
			return fmt.Errorf("partition %d: %w", a.Parts[i].Number, err)
		}
	}
	return nil
}

func differPart(a, b catalog.Part, moments []time.Time) error {
	switch {
	case a.Number != b.Number:
		return fmt.Errorf("partition %d", b.Number)
	case !slices.Equal(spansOf(a), spansOf(b)):
		return fmt.Errorf("offsets %v, not %v", spansOf(b), spansOf(a))
	case !slices.Equal(a.Holes, b.Holes):
		return fmt.Errorf("holes %v, not %v", b.Holes, a.Holes)
	case !maps.Equal(abortedOf(a), abortedOf(b)):
		return fmt.Errorf("aborted transactions %v, not %v", abortedOf(b), abortedOf(a))
	case !slices.Equal(openOf(a), openOf(b)):
		return fmt.Errorf("open transactions %v, not %v", openOf(b), openOf(a))
	}
	for _, m := range moments {
		if x, y := a.ArchivedUntil(m), b.ArchivedUntil(m); x != y {
			return fmt.Errorf("archived up to %d at %s, not %d", y, m, x)
		}
	}
	return nil
}

type span struct{ from, to stream.Upstream }

// spansOf are the offsets that are there.
func spansOf(p catalog.Part) (all []span) {
	for _, s := range p.Stretches {
		if n := len(all); n > 0 && all[n-1].to == s.From {
			all[n-1].to = s.To
		} else {
			all = append(all, span{s.From, s.To})
		}
	}
	return all
}

func abortedOf(p catalog.Part) map[bundle.Aborted]bool {
	all := make(map[bundle.Aborted]bool)
	for _, e := range p.Entries {
		for _, a := range e.Aborted {
			all[a] = true
		}
	}
	return all
}

// openOf are the transactions that are open where the partition ends.
func openOf(p catalog.Part) (open []bundle.Transaction) {
	for _, e := range p.Entries {
		if e.Next == p.Next() {
			for _, t := range e.Open {
				if !slices.Contains(open, t) {
					open = append(open, t)
				}
			}
		}
	}
	slices.SortFunc(open, func(a, b bundle.Transaction) int { return int(min(1, max(-1, a.ProducerID-b.ProducerID))) })
	return open
}
