package placing

import (
	"context"

	"tandem/internal/stream"
)

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
	// Hopeless says of an error of Recount that no other try will do better.
	Hopeless func(error) bool
	// Failed is told of each gap that was not filled; one that is hopeless is not tried again.
	Failed func(g stream.Gap, err error, hopeless bool)

	given map[stream.Gap]bool // up
}

// Round tries each gap that is wanted, and that choose takes, once. It says how many it filled: what was found in one may
// leave others that are narrower.
func (c *Counter) Round(ctx context.Context, choose func(stream.Gap) bool) (filled int) {
	for _, g := range c.Map.Gaps() {
		if g.Wanted < 0 || c.given[g] || !choose(g) {
			continue
		}
		runs, err := c.Recount(ctx, g)
		if err == nil {
			err = c.Map.Fill(ctx, g, runs, true)
		}
		if ctx.Err() != nil {
			return filled
		}
		if err == nil {
			filled++
			continue
		}
		hopeless := c.Hopeless(err)
		if hopeless {
			if c.given == nil {
				c.given = make(map[stream.Gap]bool)
			}
			c.given[g] = true
		}
		c.Failed(g, err, hopeless)
	}
	return filled
}

// All takes every gap.
func All(stream.Gap) bool { return true }
