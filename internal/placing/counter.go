package placing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tandem/internal/stream"
)

// ErrGone is in the error of a gap whose records the source no longer has.
var ErrGone = errors.New("the source no longer has the records that were copied there")

// Gaps is the part of a map that has gaps, and takes what was counted in them.
type Gaps interface {
	// Gaps lists what is not known; those that nobody has asked for have a negative Wanted.
	Gaps() []stream.Gap
	// Fill puts runs into one of them. With certain, no record of the flow stands between the runs.
	Fill(ctx context.Context, g stream.Gap, runs []stream.Run, certain bool) error
}

// Counter fills the gaps of a map.
type Counter struct {
	Map Gaps
	// Recount finds the runs inside of a gap.
	Recount func(ctx context.Context, g stream.Gap) ([]stream.Run, error)
	// Earliest is where a source partition starts now.
	Earliest func(ctx context.Context, source stream.Partition) (stream.Upstream, error)
	// Hopeless says of an error of Recount that no other try will do better.
	Hopeless func(error) bool
	// Failed is told of each gap that was not filled; one that is hopeless is not tried again.
	Failed func(g stream.Gap, err error, hopeless bool)

	given map[stream.Gap]bool // up
}

// same is what makes a gap another try's gap again: where its beginning is known, it is counted whole, whatever is wanted of it.
func same(g stream.Gap) stream.Gap {
	if g.From >= 0 {
		g.Wanted = 0
	}
	return g
}

// Round tries each gap that is wanted, and that choose takes, once. It says how many it filled: what was found in one may
// leave others that are narrower.
func (c *Counter) Round(ctx context.Context, choose func(stream.Gap) bool) (filled int) {
	given := make(map[stream.Gap]bool)
	defer func() { c.given = given }() // what is no gap any more is forgotten
	for _, g := range c.Map.Gaps() {
		if c.given[same(g)] {
			given[same(g)] = true
			continue
		}
		if g.Wanted < 0 || !choose(g) || ctx.Err() != nil {
			continue
		}
		err := c.fill(ctx, g)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			filled++
		case !slices.ContainsFunc(c.Map.Gaps(), func(now stream.Gap) bool { return same(now) == same(g) }):
			// An acknowledgement has told a place inside meanwhile: what is left of it comes with the next round.
		default:
			hopeless := errors.Is(err, ErrGone) || c.Hopeless(err)
			if hopeless {
				given[same(g)] = true
			}
			c.Failed(g, err, hopeless)
		}
	}
	return filled
}

func (c *Counter) fill(ctx context.Context, g stream.Gap) error {
	runs, err := c.Recount(ctx, g)
	if err != nil {
		return err
	}
	begin := g.From
	if begin < 0 {
		begin = g.Wanted
	}
	// Asked for afterwards: what is there now was there when it was counted. What is not there any more has its copies among the
	// first records of the gap, which then are not foreign.
	earliest, err := c.Earliest(ctx, g.Source)
	switch {
	case err != nil:
		return fmt.Errorf("find the start of %s: %w", g.Source, err)
	case earliest > begin && len(runs) == 0:
		return fmt.Errorf("count %s from %d, which starts at %d: %w", g.Source, begin, earliest, ErrGone)
	case earliest > begin && g.From >= 0:
		g.From, g.FromDown = runs[0].Up, runs[0].Down
	}
	return c.Map.Fill(ctx, g, runs, true)
}

// All takes every gap.
func All(stream.Gap) bool { return true }
