package offsetsync

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// state writes the slots as MM2's specification does: the first slot of each sync.
func state(s *Store) string {
	a := s.partitions[orders]
	var b strings.Builder
	for i, sync := range a {
		if i > 0 && a[i-1] == sync {
			continue
		}
		fmt.Fprintf(&b, " [%d]=%d", i, sync.Up)
		if int64(sync.Up) != int64(sync.Down) {
			fmt.Fprintf(&b, ":%d", sync.Down)
		}
	}
	return strings.TrimSpace(b.String())
}

func every(from, to, step int64) (ups []int64) {
	for up := from; up <= to; up += step {
		ups = append(ups, up)
	}
	return ups
}

func add(s *Store, ups ...int64) *Store {
	for _, up := range ups {
		s.Add(Sync{Source: orders, Up: stream.Upstream(up), Down: stream.Downstream(up)})
	}
	return s
}

func read(ups ...int64) *Store {
	s := add(NewStore(false), ups...)
	s.Ready()
	return s
}

func TestSlots(t *testing.T) {
	early := []int64{0, 1, 2, 1000, 1001, 1002}
	late := append(append([]int64{}, early...), 5000, 5001)
	latest := append(append([]int64{}, late...), 100000, 100001)
	for _, c := range []struct {
		ups  []int64
		want string
	}{
		{every(0, 8, 1), "[0]=8 [1]=7 [2]=6 [3]=4 [4]=0"},
		{every(0, 16, 1), "[0]=16 [1]=15 [2]=14 [3]=12 [4]=8 [5]=0"},
		{every(0, 20, 1), "[0]=20 [1]=19 [2]=18 [3]=16 [4]=8 [5]=0"},
		{every(0, 400, 100), "[0]=400 [8]=300 [9]=200 [10]=0"},
		{every(0, 800, 100), "[0]=800 [8]=700 [9]=600 [10]=400 [11]=0"},
		{every(0, 1200, 100), "[0]=1200 [8]=1100 [9]=1000 [10]=800 [11]=0"},
		{[]int64{0, 1, 2, 1000}, "[0]=1000 [11]=0"},
		{early, "[0]=1002 [1]=1001 [2]=1000 [11]=0"},
		{late, "[0]=5001 [1]=5000 [14]=0"},
		{latest, "[0]=100001 [1]=100000 [18]=0"},
		{append(append([]int64{}, latest...), 3), "[0]=3"},
		{append(append([]int64{}, latest...), 3, 4), "[0]=4 [1]=3"},
		{every(0, 1000, 10), "[0]=1000 [5]=990 [6]=960 [7]=900 [8]=840 [9]=720 [10]=480 [11]=0"},
		{every(0, 10000, 10), "[0]=10000 [5]=9990 [6]=9960 [7]=9900 [8]=9840 [9]=9600 [10]=9120 [11]=8640 [12]=7680 [13]=3840 [14]=0"},
	} {
		if got := state(read(c.ups...)); got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.ups, got, c.want)
		}
	}
}

func TestSameUpstreamOffsetTwice(t *testing.T) {
	s := NewStore(false)
	for _, p := range [][2]int64{{100, 200}, {250, 300}, {250, 310}} {
		s.Add(Sync{Source: orders, Up: stream.Upstream(p[0]), Down: stream.Downstream(p[1])})
	}
	if got, want := state(s), "[0]=250:310 [1]=250:300 [9]=100:200"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSlotsOfUnevenSyncs(t *testing.T) {
	s := NewStore(false)
	x, up := int64(12345), int64(0)
	for range 500 {
		x = (x*1103515245 + 12345) & 0x7fffffff
		up += 1 + x%997
		s.Add(Sync{Source: orders, Up: stream.Upstream(up), Down: stream.Downstream(up + 7)})
	}
	s.Ready()
	var got []string
	for f := range strings.FieldsSeq(state(s)) {
		got = append(got, f[:strings.IndexByte(f, ':')])
	}
	want := "[0]=246476 [11]=245861 [12]=243935 [13]=241405 [14]=238023 [15]=224505 [16]=211684 [17]=159153 [18]=106449 [19]=105"
	if strings.Join(got, " ") != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	points := s.Points(orders)
	if len(points) != 10 || points[0].Up != 105 || points[9].Up != 246476 || points[9].Down != 246483 {
		t.Errorf("points %v", points)
	}
}

func translated(t *testing.T, s *Store, pairs ...int64) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		down, ok := s.Translate(orders, stream.Upstream(pairs[i]))
		if !ok || int64(down) != pairs[i+1] {
			t.Errorf("%d is at %d (%v), want %d", pairs[i], down, ok, pairs[i+1])
		}
	}
}

func TestStoreTranslates(t *testing.T) {
	s := read(every(0, 1000, 10)...)
	translated(t, s, 0, 0, 1, 1, 479, 1, 480, 480, 719, 481, 989, 961, 990, 990, 1000, 1000, 5000, 1001)
	s = read(every(0, 10000, 10)...)
	s.Add(Sync{Source: orders, Up: 1500, Down: 11000})
	translated(t, s, 1499, -1, 1500, 11000, 2000, 11001)
	if _, ok := s.Translate(stream.Partition{Topic: "orders", Number: 1}, 5); ok || s.Points(stream.Partition{Topic: "other"}) != nil {
		t.Error("a partition without syncs is translated")
	}
}

// The cases of MM2's own test of translation: after the read, a sync at 100:200, a target and then a source that go back.
func TestOffsetTranslation(t *testing.T) {
	s := NewStore(true)
	s.Ready()
	sync := func(up, down int64) {
		s.Add(Sync{Source: orders, Up: stream.Upstream(up), Down: stream.Downstream(down)})
	}
	sync(100, 200)
	translated(t, s, 150, 201, 99, -1, 100, 200)
	sync(150, 251)
	translated(t, s, 150, 251, 149, 201, 151, 252)
	sync(200, 10) // the target was made anew
	translated(t, s, 200, 10, 230, 11)
	sync(20, 20) // the source was
	translated(t, s, 20, 20, 25, 21, 19, -1)
}

func TestNothingBeforeTheReadIsDone(t *testing.T) {
	for _, toEnd := range []bool{false, true} {
		s := add(NewStore(toEnd), every(0, 1000, 10)...)
		if _, ok := s.Translate(orders, 500); ok || s.Points(orders) != nil {
			t.Error("translated before the topic was read")
		}
		s.Ready()
		if toEnd {
			translated(t, s, 1000, 1000, 1001, 1001, 999, -1)
			add(s, every(1010, 10000, 10)...)
			translated(t, s, 999, -1, 1000, 1000, 10000, 10000)
			add(s, 1500)
			translated(t, s, 1499, -1, 1500, 1500, 2000, 1501)
			continue
		}
		translated(t, s, 479, 1, 480, 480, 5000, 1001)
	}
}

// Whatever the distances, the newest sync is first, the oldest last, the order holds, and an insert loses few.
func TestSlotsHoldTheirRules(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		s, up := NewStore(false), int64(0)
		s.Ready()
		spread := rnd.IntN(20)
		for n := range 300 {
			before := len(s.Points(orders))
			add(s, up)
			a := s.partitions[orders]
			if int64(a[0].Up) != up || a[slots-1].Up != 0 {
				t.Fatalf("seed %d: first %d, last %d", seed, a[0].Up, a[slots-1].Up)
			}
			for i := range slots {
				for j := i + 1; j < slots; j++ {
					if !near(a[i], a[j], i, j) || !far(a[i], a[j], i) {
						t.Fatalf("seed %d insert %d: slots %d and %d break a rule: %s", seed, n, i, j, state(s))
					}
				}
			}
			if lost := before + 1 - len(s.Points(orders)); lost > spread+2 {
				t.Fatalf("seed %d insert %d: %d syncs expired", seed, n, lost)
			}
			up += 1 + rnd.Int64N(int64(1)<<spread)
		}
	}
}
