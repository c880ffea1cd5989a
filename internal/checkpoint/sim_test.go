package checkpoint

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"tandem/internal/stream"
)

// history is what really happened to a group at a partition, kept by the simulation beside what the Keeper knows.
type history struct {
	reset  bool // at the source, since group sync last moved it here
	ran    bool // here, since group sync last moved it
	synced bool // this process has moved it here
}

// sim is two clusters with two partitions, groups that run on both sides, a mirror that is behind, and a Keeper that is
// restarted now and then.
type sim struct {
	*scene
	rng     *rand.Rand
	downs   [2][]stream.Downstream // by partition: the place on the target of each source offset
	ends    [2]int                 // how much of it is mirrored
	history map[string]*[2]history
	last    map[string]map[stream.Partition]stream.Checkpoint // as MM2's rule would have it, from the topic
	groups  []string
	backs   int
	forward int
}

const simOffsets = 400

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{scene: newScene(t), rng: rand.New(rand.NewPCG(seed, 5)), history: map[string]*[2]history{},
		last: map[string]map[stream.Partition]stream.Checkpoint{}}
	for p := range s.downs {
		down := stream.Downstream(0)
		for range simOffsets {
			s.downs[p] = append(s.downs[p], down)
			if s.rng.IntN(4) > 0 { // otherwise a marker, which has no record on the target
				down++
			}
		}
	}
	for i := range 4 {
		name := fmt.Sprint("g", i)
		s.groups = append(s.groups, name)
		s.history[name] = &[2]history{}
	}
	s.config.Translate = s.find
	s.target.committing = s.check
	s.start()
	return s
}

// find is exact, near, at the end of what is mirrored, or unknown.
func (s *sim) find(_ context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, error) {
	remote := at("A.a", p.Number)
	place := s.truth(p.Number, int(up))
	switch n := s.rng.IntN(10); {
	case n == 0:
		return remote, stream.Translated{Offset: -1, Class: stream.Unknown}, nil
	case n == 1:
		return remote, stream.Translated{Offset: stream.Downstream(s.rng.Int64N(int64(place) + 1)), Class: stream.Clamped, Again: 1}, nil
	case int(up) > s.ends[p.Number]:
		return remote, stream.Translated{Offset: place, Class: stream.Ahead}, nil
	}
	return remote, stream.Translated{Offset: place, Class: stream.Exact}, nil
}

// truth is the place of an offset on the target, as far as it is mirrored.
func (s *sim) truth(p int32, up int) stream.Downstream { return s.downs[p][min(up, s.ends[p])] }

// check looks at a commit of group sync before it is done.
func (s *sim) check(name string, p stream.Partition, c stream.Committed) {
	h := &s.history[name][p.Number]
	old := s.target.at(name, p)
	if up := s.source.at(name, at("a", p.Number)); up < 0 || c.Offset > int64(s.truth(p.Number, int(up))) {
		s.t.Errorf("%s is set to %d of %s, beyond its place at the source, %d", name, c.Offset, p, up)
	}
	if s.target.groups[name].live {
		s.t.Errorf("%s is live", name)
	}
	if c.Offset < old {
		s.backs++
		if !h.reset {
			s.t.Errorf("%s is set back from %d to %d of %s, and was not reset", name, old, c.Offset, p)
		}
		if h.ran && h.synced {
			s.t.Errorf("%s is set back from %d to %d of %s, and has run here", name, old, c.Offset, p)
		}
	} else {
		s.forward++
	}
	*h = history{synced: true}
}

func (s *sim) step() {
	name, p := s.groups[s.rng.IntN(len(s.groups))], s.rng.Int32N(2)
	here, there := at("A.a", p), at("a", p)
	h := &s.history[name][p]
	up, g := s.source.at(name, there), s.target.group(name)
	switch s.rng.IntN(12) {
	case 0, 1, 2: // runs at the source, perhaps faster than the mirror
		s.source.set(name, there, min(max(up, 0)+s.rng.Int64N(20), simOffsets-1))
	case 3: // is reset there
		if up > 0 && s.rng.IntN(3) == 0 {
			s.source.set(name, there, s.rng.Int64N(up))
			h.reset = true
		}
	case 4, 5, 6: // the mirror goes on
		s.ends[p] = min(s.ends[p]+s.rng.IntN(20), simOffsets-1)
	case 7: // comes to the target, or leaves it
		g.live = !g.live && s.rng.IntN(3) == 0
	case 8: // runs there
		if old := s.target.at(name, here); g.live && old < int64(s.downs[p][s.ends[p]]) {
			s.target.set(name, here, max(old, 0)+1+s.rng.Int64N(int64(s.downs[p][s.ends[p]])-max(old, 0)))
			h.ran = true
		}
	case 9:
		s.target.beforeCommit = nil
		if s.rng.IntN(3) == 0 { // comes just before a commit
			s.target.beforeCommit = func(n string) { s.target.groups[n].live = s.target.groups[n].live || n == name }
		}
	case 10:
		s.pass()
		s.follow()
	case 11:
		if s.rng.IntN(20) == 0 {
			s.start()
			for _, all := range s.history {
				all[0].synced, all[1].synced = false, false
			}
		}
	}
}

// follow checks the checkpoints that are new in the topic by MM2's rule, and against the truth.
func (s *sim) follow() {
	records := s.log.records["A.checkpoints.internal"]
	for _, r := range records[s.seen:] {
		c, err := decodeCheckpoint(r)
		if err != nil {
			s.t.Fatal(err)
		}
		if was, known := s.last[c.Group][c.Remote]; known && c.Up >= was.Up && c.Down <= was.Down {
			s.t.Errorf("checkpoint %d:%d of %s follows %d:%d", c.Up, c.Down, c.Group, was.Up, was.Down)
		}
		if c.Down > s.truth(c.Remote.Number, int(c.Up)) {
			s.t.Errorf("checkpoint %d:%d of %s is beyond its place, %d", c.Up, c.Down, c.Group, s.truth(c.Remote.Number, int(c.Up)))
		}
		if s.last[c.Group] == nil {
			s.last[c.Group] = map[stream.Partition]stream.Checkpoint{}
		}
		s.last[c.Group][c.Remote] = c
	}
	s.seen = len(records)
}

func TestSimulation(t *testing.T) {
	backs, forward := 0, 0
	for seed := range uint64(60) {
		s := newSim(t, seed)
		for range 3000 {
			s.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		backs, forward = backs+s.backs, forward+s.forward
		s.settle()
	}
	if backs < 50 || forward < 500 {
		t.Errorf("set back %d times and forward %d times: too few to show anything", backs, forward)
	}
}

// settle lets everything stop: then the checkpoints are where the groups are, and so are the groups on the target that did
// not run there.
func (s *sim) settle() {
	s.target.beforeCommit = nil
	s.ends = [2]int{simOffsets - 1, simOffsets - 1}
	for _, g := range s.target.groups {
		g.live = false
	}
	for _, name := range s.groups { // all go on, so that nothing of before matters
		for p := range int32(2) {
			s.source.set(name, at("a", p), simOffsets-1)
		}
	}
	for range 50 { // some answers are Unknown
		s.pass()
		s.follow()
	}
	known := s.log.known(s.t)
	for _, name := range s.groups {
		for p := range int32(2) {
			want := s.downs[p][simOffsets-1]
			if got := known.Checkpoints[name][at("A.a", p)]; got.Down != want {
				s.t.Errorf("checkpoint %+v of %s, want %d", got, name, want)
			}
			if got := s.target.at(name, at("A.a", p)); got != int64(want) {
				s.t.Errorf("%s is at %d of partition %d, want %d", name, got, p, want)
			}
			if got := known.Groups[name].Offsets[at("a", p)].Offset; got != simOffsets-1 {
				s.t.Errorf("%s is known to be at %d at the source", name, got)
			}
		}
	}
}
