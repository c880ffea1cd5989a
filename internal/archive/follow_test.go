package archive

import (
	"bytes"
	"slices"
	"testing"

	"tandem/internal/stream"
)

// said is a batch of a table: its offsets and its leader epoch.
type said struct {
	base, last int64
	epoch      int32
}

func (s said) bytes() []byte {
	return plainBatch(s.base, int(s.last-s.base+1), s.epoch, []byte("v"))
}

func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name       string
		at         place
		from, next stream.Upstream
		before     int32
		batches    []said
		want       fit
		taken      int   // batches of rest
		epoch      int32 // after
	}{
		{"it goes on", place{10, 3}, 10, 15, 3, []said{{10, 12, 3}, {13, 14, 3}}, fits, 2, 3},
		{"a new leader, and the batch before is ours", place{10, 3}, 10, 15, 3, []said{{10, 14, 4}}, fits, 1, 4},
		{"a new leader, and nobody knows the batch before", place{10, 3}, 10, 15, -1, []said{{10, 14, 4}}, parted, 0, 3},
		{"the same leader says enough", place{10, 3}, 10, 15, -1, []said{{10, 14, 3}}, fits, 1, 3},
		{"the batch before is of another leader", place{10, 3}, 10, 15, 4, []said{{10, 14, 4}}, parted, 0, 3},
		{"an older leader", place{10, 3}, 10, 15, 3, []said{{10, 14, 2}}, parted, 0, 3},
		{"leaders go back inside", place{10, 3}, 10, 15, 3, []said{{10, 12, 4}, {13, 14, 3}}, parted, 0, 3},
		{"the first half is known", place{10, 3}, 5, 15, -1, []said{{5, 9, 3}, {10, 14, 4}}, fits, 1, 4},
		{"what is known has another leader there", place{10, 3}, 5, 15, 3, []said{{5, 9, 4}, {10, 14, 4}}, parted, 0, 3},
		{"truncated to inside of our last batch", place{10, 3}, 8, 15, 3, []said{{8, 14, 4}}, parted, 0, 3},
		{"truncated, and a batch before agrees", place{10, 3}, 5, 15, 3, []said{{5, 7, 3}, {8, 14, 4}}, parted, 0, 3},
		{"a hole where the end is, and a new leader", place{10, 3}, 5, 15, 3, []said{{5, 7, 3}, {10, 14, 4}}, parted, 0, 3},
		{"reading began inside of a batch", place{10, -1}, 10, 15, -1, []said{{8, 14, 3}}, fits, 1, 3},
		{"nothing is left of it", place{10, 3}, 10, 15, 3, nil, fits, 0, 3},
		{"all is known", place{10, 3}, 5, 10, 3, []said{{5, 9, 3}}, stale, 0, 3},
		{"something is missing", place{10, 3}, 11, 15, 3, []said{{11, 14, 3}}, missing, 0, 3},
		{"a batch beyond its end", place{10, 3}, 10, 14, 3, []said{{10, 14, 3}}, broken, 0, 3},
		{"batches in disorder", place{10, 3}, 10, 15, 3, []said{{13, 14, 3}, {10, 12, 3}}, broken, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Piece{From: c.from, Next: c.next, LeaderEpoch: c.before}
			var all [][]byte
			for _, s := range c.batches {
				all = append(all, s.bytes())
			}
			p.Batches = slices.Concat(all...)
			rest, after, got := follow(c.at, p)
			if got != c.want {
				t.Fatalf("%d, not %d", got, c.want)
			}
			if want := slices.Concat(all[len(all)-c.taken:]...); got == fits && !bytes.Equal(rest, want) {
				t.Errorf("%d bytes are new, not %d", len(rest), len(want))
			}
			want := place{c.at.next, c.epoch}
			if got == fits {
				want.next = c.next
			}
			if after != want {
				t.Errorf("after it %v, not %v", after, want)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		b := said{10, 14, 3}.bytes()
		if _, _, got := follow(place{10, 3}, Piece{From: 10, Next: 15, LeaderEpoch: 3, Batches: b[:len(b)-1]}); got != broken {
			t.Errorf("%d", got)
		}
	})
}

func TestAhead(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b [3]int64 // incarnation, epoch, next
		want bool
	}{
		{"further on", [3]int64{0, 3, 20}, [3]int64{0, 3, 10}, true},
		{"a later life", [3]int64{1, 0, 5}, [3]int64{0, 3, 10}, true},
		{"the log was truncated and went on", [3]int64{0, 4, 15}, [3]int64{0, 3, 20}, true},
		{"before that", [3]int64{0, 3, 20}, [3]int64{0, 4, 15}, false},
		{"behind a gap no epoch is known", [3]int64{0, -1, 30}, [3]int64{0, 4, 15}, true},
		{"the same", [3]int64{0, 3, 20}, [3]int64{0, 3, 20}, false},
	} {
		l := ledger{}
		for _, v := range [][3]int64{c.b, c.a} {
			pos := position("t", v)
			l.learn(pos)
		}
		if got := l[stream.Partition{Topic: "t"}].Next == stream.Upstream(c.a[2]) && c.a != c.b; got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
