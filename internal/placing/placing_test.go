package placing

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tandem/internal/offsetsync"
	"tandem/internal/stream"
)

var (
	source = stream.Partition{Topic: "orders"}
	remote = stream.Partition{Topic: "A.orders"}
	topic  = stream.TopicID{7}
)

// copied is a map of so many records, from the first on.
func copied(records int64) *offsetsync.Map {
	m := offsetsync.NewMap(1<<20, nil)
	if records > 0 {
		m.Ack(stream.Ack{Source: source, Remote: remote, Topic: topic, Bytes: 1, Runs: []stream.Run{{Count: records}},
			Next: stream.Upstream(records), NextDown: stream.Downstream(records)})
	}
	return m
}

func TestBegin(t *testing.T) {
	for _, c := range []struct {
		story    string
		mapped   int64
		anchor   *Anchor
		end      stream.Downstream
		up       stream.Upstream
		down     stream.Downstream
		gapFrom  stream.Downstream
		gapUntil stream.Downstream // 0: no gap
	}{
		{story: "all is mapped", mapped: 100, end: 100, up: 100, down: 100},
		{story: "the mirror was killed before it stored the last", mapped: 100, end: 130, up: 100, down: 100, gapFrom: 100, gapUntil: 130},
		{story: "it had stored nothing, and has begun at 5,000", end: 30, anchor: &Anchor{topic, 5000, 0}, up: 5000, gapUntil: 30},
		{story: "an anchor knows more than the map", mapped: 100, end: 130, anchor: &Anchor{topic, 300, 120}, up: 300, down: 120, gapFrom: 100, gapUntil: 120},
		{story: "an older anchor says nothing", mapped: 100, end: 130, anchor: &Anchor{topic, 80, 80}, up: 100, down: 100, gapFrom: 100, gapUntil: 130},
		{story: "the target has lost what the anchor speaks of", mapped: 100, end: 110, anchor: &Anchor{topic, 300, 120}, up: 100, down: 100, gapFrom: 100, gapUntil: 110},
		{story: "an anchor without a place on the target", mapped: 100, end: 100, anchor: &Anchor{topic, 300, -1}, up: 100, down: 100},
	} {
		t.Run(c.story, func(t *testing.T) {
			m := copied(c.mapped)
			Begin(m, source, remote, 0, c.end, c.anchor)
			if up, down, ok := m.Covered(remote); !ok || up != c.up || down != c.down {
				t.Errorf("it knows up to %d at %d (%v), want %d at %d", up, down, ok, c.up, c.down)
			}
			gaps := m.Gaps()
			if c.gapUntil == 0 {
				if len(gaps) > 0 {
					t.Errorf("gaps %+v", gaps)
				}
				return
			}
			if len(gaps) == 0 || gaps[0].FromDown != c.gapFrom || gaps[0].ToDown != c.gapUntil {
				t.Errorf("gaps %+v, want the first from %d to %d", gaps, c.gapFrom, c.gapUntil)
			}
		})
	}
}

// gaps is a map in which nothing happens but what is said.
type gaps struct {
	open   []stream.Gap
	filled []stream.Gap
	refuse error
}

func (g *gaps) Gaps() []stream.Gap { return slices.Clone(g.open) }

func (g *gaps) Fill(_ context.Context, gap stream.Gap, _ []stream.Run, _ bool) error {
	if g.refuse != nil {
		return g.refuse
	}
	g.filled = append(g.filled, gap)
	g.open = slices.DeleteFunc(g.open, func(o stream.Gap) bool { return o == gap })
	return nil
}

func TestRound(t *testing.T) {
	hopeless, broken := errors.New("records are alike"), errors.New("no broker answers")
	gap := func(from stream.Upstream, wanted stream.Upstream) stream.Gap {
		return stream.Gap{Source: source, Remote: remote, From: from, To: from + 10, ToDown: 10, Wanted: wanted}
	}
	m := &gaps{open: []stream.Gap{gap(0, 0), gap(20, -1), gap(40, 40), gap(60, 60), gap(80, 80)}}
	answers := map[stream.Upstream]error{40: hopeless, 60: broken}
	var asked []stream.Upstream
	type failure struct {
		from     stream.Upstream
		hopeless bool
	}
	var failed []failure
	c := Counter{Map: m,
		Recount: func(_ context.Context, g stream.Gap) ([]stream.Run, error) {
			asked = append(asked, g.From)
			return nil, answers[g.From]
		},
		Earliest: func(context.Context, stream.Partition) (stream.Upstream, error) { return 0, nil },
		Hopeless: func(err error) bool { return errors.Is(err, hopeless) },
		Failed:   func(g stream.Gap, _ error, hopeless bool) { failed = append(failed, failure{g.From, hopeless}) },
	}
	expect := func(filled, want int, nowAsked []stream.Upstream, nowFailed []failure) {
		t.Helper()
		if filled != want || !slices.Equal(asked, nowAsked) || !slices.Equal(failed, nowFailed) {
			t.Errorf("filled %d, want %d; asked for %v, want %v; failed %v, want %v", filled, want, asked, nowAsked, failed, nowFailed)
		}
		asked, failed = nil, nil
	}
	not80 := func(g stream.Gap) bool { return g.From != 80 }
	// What nobody wants is left, what is not chosen too.
	expect(c.Round(t.Context(), not80), 1, []stream.Upstream{0, 40, 60}, []failure{{40, true}, {60, false}})
	// What is hopeless is not tried again, what failed is.
	expect(c.Round(t.Context(), All), 1, []stream.Upstream{60, 80}, []failure{{60, false}})
	// Runs that do not fit are a failure as well.
	answers[60], m.refuse = nil, errors.New("misfit")
	expect(c.Round(t.Context(), All), 0, []stream.Upstream{60}, []failure{{60, false}})
	// Who stops it hears of no failure.
	ended, stop := context.WithCancel(t.Context())
	stop()
	expect(c.Round(ended, All), 0, nil, nil)
}

// What the source has deleted since it was copied is not taken for foreign: groups there are not sent on behind it.
func TestTheSourceIsShorter(t *testing.T) {
	run := func(up, down, count int64) []stream.Run {
		return []stream.Run{{Up: stream.Upstream(up), Down: stream.Downstream(down), Count: count}}
	}
	for _, c := range []struct {
		story    string
		earliest stream.Upstream
		runs     []stream.Run
		there    map[stream.Upstream]stream.Translated
		hopeless bool
	}{
		{story: "all is there", earliest: 100, runs: run(105, 100, 25), there: map[stream.Upstream]stream.Translated{
			102: {Offset: 100}, 110: {Offset: 105}}},
		{story: "the first records are gone", earliest: 110, runs: run(110, 107, 18), there: map[stream.Upstream]stream.Translated{
			102: {Offset: 100, Class: stream.Clamped}, 112: {Offset: 109}}, hopeless: true},
		{story: "all are gone", earliest: 130, there: map[stream.Upstream]stream.Translated{
			102: {Offset: 100, Class: stream.Clamped}, 129: {Offset: 100, Class: stream.Clamped}}, hopeless: true},
	} {
		t.Run(c.story, func(t *testing.T) {
			m := copied(100)
			m.Stands(remote, source, 0, 125)
			m.Ack(stream.Ack{Source: source, Remote: remote, Topic: topic, Bytes: 1, Runs: run(130, 125, 5), Next: 135, NextDown: 130})
			asked, gone := 0, false
			counter := Counter{Map: m,
				Recount: func(_ context.Context, g stream.Gap) ([]stream.Run, error) {
					asked++
					if len(c.runs) > 0 && g.To > c.runs[0].Up {
						return c.runs, nil
					}
					return nil, nil
				},
				Earliest: func(context.Context, stream.Partition) (stream.Upstream, error) { return c.earliest, nil },
				Hopeless: func(error) bool { return false },
				Failed:   func(_ stream.Gap, err error, hopeless bool) { gone = hopeless && errors.Is(err, ErrGone) },
			}
			for range 4 {
				counter.Round(t.Context(), All)
			}
			if gone != c.hopeless || asked > 2 {
				t.Errorf("hopeless: %v, want %v; counted %d times", gone, c.hopeless, asked)
			}
			for up, want := range c.there {
				got, err := m.Translate(t.Context(), remote, up)
				if err != nil || got.Offset != want.Offset || got.Class != want.Class {
					t.Errorf("%d: %+v %v, want %+v", up, got, err, want)
				}
			}
		})
	}
}

// TestRoundWhileTheMapGrows: an acknowledgement tells a place inside of a gap while it is counted. It is no failure: what is left
// is another gap.
func TestRoundWhileTheMapGrows(t *testing.T) {
	m := copied(10)
	m.Stands(remote, source, 0, 50)
	var counted []stream.Gap
	c := Counter{Map: m,
		Recount: func(_ context.Context, g stream.Gap) ([]stream.Run, error) {
			if counted = append(counted, g); len(counted) == 1 {
				m.Ack(stream.Ack{Source: source, Remote: remote, Topic: topic, Next: 30, NextDown: 30})
			}
			return []stream.Run{{Up: g.From, Down: g.FromDown, Count: 20}}, nil
		},
		Earliest: func(context.Context, stream.Partition) (stream.Upstream, error) { return 0, nil },
		Hopeless: func(err error) bool { return errors.Is(err, offsetsync.ErrMisfit) },
		Failed:   func(g stream.Gap, err error, _ bool) { t.Errorf("%+v: %v", g, err) },
	}
	if filled := c.Round(t.Context(), All) + c.Round(t.Context(), All); filled != 1 || len(m.Gaps()) != 0 {
		t.Errorf("%d filled, left %v, counted %v", filled, m.Gaps(), counted)
	}
}
