package checkpoint

import (
	"testing"

	"tandem/internal/stream"
)

// Steps of MM2's MirrorCheckpointTask and CheckpointStore tests, in its words: a checkpoint is upstream:downstream.
func TestWhichCheckpointsAreWritten(t *testing.T) {
	type answer struct {
		up   stream.Upstream
		down stream.Downstream
		want bool
	}
	for _, c := range []struct {
		story   string
		last    *mark
		answers []answer
	}{
		{"the first is written", nil, []answer{{3, 4, true}}},
		{"nothing changes", nil, []answer{{3, 4, true}, {3, 4, false}}},
		{"the group goes on", nil, []answer{{3, 4, true}, {5, 6, true}}},
		{"the translation falls back although the group does not", nil, []answer{{100, 90, true}, {110, 80, false}, {120, 91, true}}},
		{"the same offset is known better", nil, []answer{{100, 51, true}, {100, 90, true}, {100, 51, false}}},
		{"the group is reset", nil, []answer{{100, 90, true}, {10, 9, true}, {20, 19, true}}},
		{"the group is reset, and the translation stays", nil, []answer{{100, 90, true}, {99, 90, true}, {99, 90, false}}},
		{"the group is reset to before what is known", nil, []answer{{100, 90, true}, {10, 0, true}, {11, 0, false}}},
		{"the group runs ahead of the mirror, which catches up", nil,
			[]answer{{100, 50, true}, {150, 50, false}, {200, 50, false}, {200, 120, true}, {200, 200, true}}},
		{"the group runs ahead and is reset within what is not mirrored", nil, []answer{{100, 50, true}, {200, 50, false}, {150, 50, false}, {150, 150, true}}},
		{"after a restart checkpoints of before hold", &mark{up: 350, down: 201}, []answer{{250, 176, true}}},
		{"MM2's own: 250 and 370 are behind 201, 400 is not", &mark{up: 200, down: 201}, []answer{{250, 176, false}, {370, 176, false}, {400, 376, true}}},
	} {
		var last mark
		known := c.last != nil
		if known {
			last = newMark(c.last.up, c.last.down)
		}
		for i, a := range c.answers {
			got := moreRecent(last, known, a.up, a.down)
			if got != a.want {
				t.Errorf("%s: answer %d, %d:%d: written %v", c.story, i, a.up, a.down, got)
			}
			if got {
				last, known = written(last, known, a.up, a.down), true
			}
		}
	}
}

// The target has lost what a checkpoint speaks of: only what is exact says so.
func TestWhichCheckpointsSkip(t *testing.T) {
	last := newMark(100, 90)
	for _, c := range []struct {
		story string
		up    stream.Upstream
		now   stream.Translated
		want  bool
	}{
		{"it is right", 100, stream.Translated{Offset: 90}, false},
		{"the topic was made anew", 100, stream.Translated{Offset: 3}, true},
		{"and the group went on", 120, stream.Translated{Offset: 23}, true},
		{"less is known of the place than before", 120, stream.Translated{Offset: 23, Class: stream.Clamped, Again: 9}, false},
		{"nothing before was copied", 120, stream.Translated{Offset: 0, Class: stream.Clamped}, true},
		{"the mirror does not have it yet", 120, stream.Translated{Offset: 23, Class: stream.Ahead}, false},
		{"no place is known", 120, stream.Translated{Offset: -1, Class: stream.Unknown}, false},
	} {
		if got := skips(last, true, c.up, c.now); got != c.want {
			t.Errorf("%s: %v", c.story, got)
		}
	}
	if skips(mark{}, false, 0, stream.Translated{}) {
		t.Error("no checkpoint skips nothing")
	}
	if got := written(last, true, 120, 23); got.from != 90 || got.down != 23 {
		t.Errorf("%+v: group sync is not to take the group back", got)
	}
}

func TestWhereGroupSyncWouldHaveAGroup(t *testing.T) {
	last := newMark(100, 90)
	for _, c := range []struct {
		story string
		up    stream.Upstream
		now   stream.Translated
		want  stream.Downstream
	}{
		{"where the checkpoint is", 100, stream.Translated{Offset: 90}, 90},
		{"a checkpoint that could not be written does not count", 120, stream.Translated{Offset: 110}, 90},
		{"a translation that fell back does", 120, stream.Translated{Offset: 80, Class: stream.Clamped}, 80},
		{"at the mirror's end", 120, stream.Translated{Offset: 90, Class: stream.Ahead}, 90},
		{"unknown now, and the group has gone on", 120, stream.Translated{Offset: -1, Class: stream.Unknown}, 90},
		{"unknown now, and the group was reset", 50, stream.Translated{Offset: -1, Class: stream.Unknown}, -1},
		{"known, but nowhere", 50, stream.Translated{Offset: -1, Class: stream.Clamped}, -1},
	} {
		got, ok := wanted(last, c.up, c.now)
		if got != c.want || ok != (c.want >= 0) {
			t.Errorf("%s: got %d, %v, want %d", c.story, got, ok, c.want)
		}
	}
}

func TestWhatGroupSyncDoes(t *testing.T) {
	const none = -1
	for _, c := range []struct {
		story   string
		last    mark
		want    stream.Downstream
		current stream.Downstream
		move    move
	}{
		{"no offset yet, or an expired one", newMark(100, 100), 100, none, forward},
		{"no offset although it was dealt with", mark{100, 100, -1, 100, 100}, 100, none, forward},
		{"MM2's own: 100, and 101 is the checkpoint", newMark(101, 101), 101, 100, forward},
		{"there already", newMark(101, 101), 101, 101, stay},
		{"further than the source, and nothing is known of why", newMark(101, 101), 101, 150, stay},
		{"set by hand after it was dealt with", mark{100, 100, -1, 100, 100}, 100, 40, stay},
		{"the source has gone on since", mark{120, 120, -1, 100, 100}, 120, 40, forward},
		{"reset, and the target has what was written", mark{10, 10, 100, 100, 100}, 10, 100, back},
		{"reset, and what was written is older than the last checkpoint", mark{10, 10, 100, 90, 90}, 10, 90, back},
		{"reset, and the group has run here", mark{10, 10, 100, 100, 100}, 10, 130, stay},
		{"reset, and the group has run here up to the last checkpoint", mark{10, 10, 100, 90, 90}, 10, 100, stay},
		{"reset, and a process before this one wrote the last checkpoint's", mark{10, 10, 100, -1, -1}, 10, 100, back},
		{"reset, and a process before this one wrote something else", mark{10, 10, 100, -1, -1}, 10, 95, stay},
		{"reset, and the group was seen here", ran(mark{10, 10, 100, 100, 100}), 10, 100, stay},
		{"reset after the group was seen here", written(ran(mark{100, 100, -1, 100, 100}), true, 10, 10), 10, 100, stay},
		{"reset, and gone on, but not beyond", written(mark{10, 10, 100, 100, 100}, true, 60, 60), 60, 100, back},
		{"reset, and gone on beyond", written(mark{10, 10, 100, 100, 100}, true, 160, 160), 160, 100, forward},
		{"reset twice", written(mark{50, 50, 100, 100, 100}, true, 10, 10), 10, 100, back},
		{"a reset that was dealt with", committed(mark{10, 10, 100, 100, 100}, 10), 10, 100, stay},
		{"dealt with, gone on, but the group is further here", written(committed(mark{10, 10, 100, 100, 100}, 10), true, 60, 60), 60, 100, stay},
		{"reset after the group had run here, and the source after it, to the same place",
			written(written(stayed(newMark(120, 120), 120, 140), true, 140, 140), true, 10, 10), 10, 140, stay},
	} {
		if got := decideMove(c.last, c.want, max(c.current, 0), c.current != none); got != c.move {
			t.Errorf("%s: got %d, want %d", c.story, got, c.move)
		}
	}
}
