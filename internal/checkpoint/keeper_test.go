package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

func (s *scene) want(story, checkpoints string) {
	s.t.Helper()
	if got := s.fresh(); got != checkpoints {
		s.t.Errorf("%s: got %q, want %q", story, got, checkpoints)
	}
}

func TestRounds(t *testing.T) {
	s := newScene(t)
	s.source.set("billing", at("a", 0), 1000)
	s.source.set("billing", at("a", 1), 500)
	s.source.set("billing", at("private", 0), 7)
	s.source.set("console-1", at("a", 0), 1000)
	s.source.set("elsewhere", at("private", 0), 7)
	s.source.set("shared", at("a", 0), 7)
	s.source.group("shared").kind = "share"
	s.source.set("audit", at("b", 0), -1)
	s.mirrored[at("a", 0)], s.mirrored[at("b", 0)] = 2000, 2000

	s.round()
	s.want("those that are known and count", "billing A.a/0 1000:100")
	k := s.log.known(t)
	if g := k.Groups["billing"].Offsets; len(k.Groups) != 1 || len(g) != 2 || g[at("a", 1)] != (stream.Committed{Offset: 500, Metadata: "m"}) {
		t.Errorf("the offsets at the source are %+v", k.Groups)
	}
	s.round()
	s.want("nothing has changed", "")
	if n := s.log.appends["mm2-tandem.A.internal"]; n != 1 {
		t.Errorf("%d appends to our own topic", n)
	}
	if st := s.keeper.Standing(); st.Groups != 1 || st.Exact != 1 || st.Unknown != 1 || st.Written != 1 || st.Round.IsZero() {
		t.Errorf("%+v", st)
	}

	s.source.set("audit", at("b", 0), 10)
	s.source.set("late", at("a", 0), 20)
	s.mirrored[at("a", 1)] = 100
	s.round()
	s.want("a new group, one whose offset was none, a partition ahead of the mirror", "audit A.b/0 10:1, billing A.a/1 500:10, late A.a/0 20:2")
	s.source.set("billing", at("a", 1), 600)
	s.round()
	s.want("further ahead", "")
	if c := s.log.known(t).Groups["billing"].Offsets[at("a", 1)]; c.Offset != 600 {
		t.Errorf("the offset at the source is %d", c.Offset)
	}
	s.mirrored[at("a", 1)] = 1000
	s.round()
	s.want("the mirror has caught up", "billing A.a/1 600:60")
	s.source.set("billing", at("a", 0), 300)
	s.round()
	s.want("a reset", "billing A.a/0 300:30")
	s.clamped[at("a", 0)] = true
	s.source.set("billing", at("a", 0), 400)
	s.round()
	s.want("known less well", "")
	s.clamped[at("a", 0)] = false
	s.round()
	s.want("known exactly again, at the same offset", "billing A.a/0 400:40")
}

func TestExactPlacesAreNotLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.mirrored[at("a", 0)] = 100
		s.source.set("exact", at("a", 0), 50)
		s.source.set("ahead", at("a", 0), 150)
		for _, want := range []int{2, 3, 4} {
			if s.round(); s.looked != want {
				t.Errorf("%d lookups, want %d", s.looked, want)
			}
		}
		<-time.After(recheck)
		if s.round(); s.looked != 6 {
			t.Errorf("%d lookups after a while, want 6", s.looked)
		}
	})
}

func TestRestart(t *testing.T) {
	for _, c := range []struct {
		story   string
		up      int64
		clamped bool
		want    string
	}{
		{"unchanged", 2010, false, ""},
		{"further, but known less well than before", 4000, true, ""},
		{"further, known less well, but better than before", 4100, true, "g A.a/0 4100:205"},
		{"further", 2020, false, "g A.a/0 2020:202"},
		{"reset meanwhile", 10, false, "g A.a/0 10:1"},
	} {
		s := newScene(t)
		s.mirrored[at("a", 0)] = 10000
		s.source.set("g", at("a", 0), 2010)
		s.source.set("gone", at("a", 0), 1)
		s.round()
		s.fresh()
		delete(s.source.groups, "gone")
		s.source.set("g", at("a", 0), c.up)
		s.clamped[at("a", 0)] = c.clamped
		s.start()
		s.round()
		s.want(c.story, c.want)
		if k := s.log.known(t); len(k.Groups) != 1 || k.Groups["g"].Offsets[at("a", 0)].Offset != c.up {
			t.Errorf("%s: %+v", c.story, k.Groups)
		}
		if c.up == 2010 && s.log.appends["mm2-tandem.A.internal"] != 2 {
			t.Errorf("%d appends to our own topic, the second a tombstone", s.log.appends["mm2-tandem.A.internal"])
		}
	}
}

func TestCheckpointsOfBefore(t *testing.T) {
	s := newScene(t)
	s.mirrored[at("a", 0)] = 10000
	s.source.set("g", at("a", 0), 2010)
	s.source.set("other", at("a", 0), 2010)
	var records []stream.Record
	for _, c := range []stream.Checkpoint{
		{Group: "g", Remote: at("A.a", 0), Up: 5000, Down: 500},
		{Group: "g", Remote: at("A.a", 0), Up: 2010, Down: 201}, // the last one counts
		{Group: "console-7", Remote: at("A.a", 0), Up: 1, Down: 1},
		{Group: "other", Remote: at("A.a", 1), Up: 2010, Down: 201},
	} {
		r, _ := encodeCheckpoint(c)
		records = append(records, r, stream.Record{Key: []byte("x"), Value: []byte("damaged")})
	}
	if err := s.log.Append(t.Context(), "A.checkpoints.internal", records); err != nil {
		t.Fatal(err)
	}
	s.fresh()
	s.start()
	if s.keeper.marks["console-7"] != nil {
		t.Error("a group that is not looked after was loaded")
	}
	if e := s.told(); len(e) != 1 || !strings.HasPrefix(e[0], "4 records of checkpoints or groups are damaged") {
		t.Errorf("%q", e)
	}
	s.round()
	s.want("only the partition without one", "other A.a/0 2010:201")

	// What cannot be read is told, and everything is written again.
	s.log.broken["A.checkpoints.internal"] = errors.New("not authorized")
	s.log.broken["mm2-tandem.A.internal"] = errors.New("not authorized")
	s.start()
	if e := s.told(); len(e) != 2 || !strings.Contains(e[0], "could not be read; all are written again") {
		t.Errorf("%q", e)
	}
	clear(s.log.broken)
	s.round()
	s.want("all again", "g A.a/0 2010:201, other A.a/0 2010:201")
}

func TestGroupsThatVanish(t *testing.T) {
	s := newScene(t)
	s.mirrored[at("a", 0)] = 100
	for _, name := range []string{"stays", "hides", "goes"} {
		s.source.set(name, at("a", 0), 50)
	}
	s.round()
	delete(s.source.groups, "goes") // a coordinator that is not there any more has no offsets either
	s.source.hidden["hides"], s.source.partial = true, errors.New("broker 2 is away")
	s.round()
	if k := s.log.known(t); len(k.Groups) != 3 {
		t.Errorf("with an incomplete list: %v", k.Groups)
	}
	s.round()
	if e := s.told(); len(e) != 1 || !strings.Contains(e[0], "broker 2 is away") {
		t.Errorf("%q", e)
	}
	s.source.set("hides", at("a", 0), 60)
	s.fresh()
	s.round()
	s.want("a group that the list lacks is still looked after", "hides A.a/0 60:6")
	clear(s.source.hidden)
	s.source.partial = nil
	s.round()
	if k := s.log.known(t); len(k.Groups) != 2 || k.Groups["goes"].Offsets != nil {
		t.Errorf("with a complete list: %v", k.Groups)
	}
	delete(s.source.group("hides").offsets, at("a", 0))
	s.round()
	if k := s.log.known(t); len(k.Groups) != 1 {
		t.Errorf("without offsets: %v", k.Groups)
	}
	for _, r := range s.log.records["A.checkpoints.internal"] {
		if r.Value == nil {
			t.Error("a tombstone among the checkpoints")
		}
	}
	if st := s.keeper.Standing(); st.Groups != 1 || st.Exact != 1 {
		t.Errorf("%+v", st)
	}
}

// Checkpoints rest on the maps and are written after them; what could not be written is written by the next round.
func TestOrderAndFailures(t *testing.T) {
	s := newScene(t)
	s.mirrored[at("a", 0)] = 1000
	s.source.set("g", at("a", 0), 50)
	for _, broken := range []string{"mm2-tandem.A.internal", "durable", "A.checkpoints.internal"} {
		s.log.broken[broken] = errors.New("no leader")
		if err := s.keeper.round(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "no leader") {
			t.Errorf("%s: %v", broken, err)
		}
		delete(s.log.broken, broken)
		if err := s.keeper.sync(t.Context()); err != nil || s.target.calls["CommitOffsets"] > 0 {
			t.Errorf("a commit without a checkpoint, %v", err)
		}
	}
	s.log.order = nil
	s.source.set("g", at("a", 0), 60)
	s.round()
	if got := strings.Join(s.log.order, " "); got != "mm2-tandem.A.internal durable A.checkpoints.internal" {
		t.Errorf("order %s", got)
	}
	s.want("after all", "g A.a/0 60:6")

	s.source.refuses["secret"] = errors.New("not authorized")
	s.source.set("secret", at("a", 0), 50)
	s.source.set("g", at("a", 0), 70)
	s.told()
	s.round()
	s.round()
	s.want("one group is refused", "g A.a/0 70:7")
	if e := s.told(); len(e) != 1 || !strings.Contains(e[0], "fetch offsets of group secret: not authorized") {
		t.Errorf("%q", e)
	}

	s.broken = errors.New("map not loaded")
	s.source.set("g", at("a", 0), 80)
	s.round()
	s.want("not translated", "")
	if e := s.told(); len(e) != 1 || !strings.Contains(e[0], "translate offset 80 of group g in a/0: map not loaded") {
		t.Errorf("%q", e)
	}
	if st := s.keeper.Standing(); st.Unknown != 1 {
		t.Errorf("%+v", st)
	}
	if c := s.log.known(t).Groups["g"].Offsets[at("a", 0)]; c.Offset != 80 {
		t.Errorf("the offset at the source is %d", c.Offset)
	}
	s.broken = nil
	s.round()
	s.want("translated", "g A.a/0 80:8")
}

func TestUnknownGroupsAreTold(t *testing.T) {
	s := newScene(t)
	for i := range 12 {
		s.source.set(fmt.Sprintf("g%02d", i), at("a", 0), 50)
	}
	s.round()
	if e := s.told(); len(e) > 0 {
		t.Errorf("at once: %q", e)
	}
	s.round()
	s.round()
	if e := s.told(); len(e) != 1 || !strings.Contains(e[0], "g00 g01 g02 g03 g04 g05 g06 g07 g08 g09 and 2 more reason=nothing is mirrored") {
		t.Errorf("%q", e)
	}
	s.mirrored[at("a", 0)] = 100
	s.round()
	s.round()
	if e := s.told(); len(e) != 1 || !strings.HasPrefix(e[0], "groups have their place on the target again") {
		t.Errorf("%q", e)
	}
}

// B.a at A is a at B: a group that moves goes on there.
func TestHome(t *testing.T) {
	s := newScene(t)
	s.config.Home = func(_ context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, bool, error) {
		topic, ok := strings.CutPrefix(p.Topic, "B.")
		return at(topic, p.Number), stream.Translated{Offset: stream.Downstream(up) + 7}, ok, nil
	}
	s.config.Topics = func(topic string) bool { return topic == "a" }
	s.start()
	s.mirrored[at("a", 0)] = 100
	s.source.set("g", at("a", 0), 50)
	s.source.set("g", at("B.a", 0), 50)
	s.pass()
	s.want("both", "g A.a/0 50:5, g a/0 50:57")
	if s.target.at("g", at("a", 0)) != 57 || s.target.at("g", at("A.a", 0)) != 5 {
		t.Errorf("%+v", s.target.groups["g"].offsets)
	}
	if n := len(s.log.known(t).Groups["g"].Offsets); n != 2 {
		t.Errorf("%d offsets", n)
	}
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		interval, refresh, sync time.Duration
		rounds, lists           int // in a minute
	}{
		{10 * time.Second, time.Hour, 0, 6, 6},
		{time.Second, time.Hour, 0, 60, 12},
		{time.Second, time.Second, 0, 60, 60},
		{time.Second, 0, 0, 60, 1},
		{5 * time.Second, time.Hour, 20 * time.Second, 12, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t)
			s.config.Interval, s.config.Refresh, s.config.Sync = c.interval, c.refresh, c.sync
			s.source.set("g", at("a", 0), 50)
			s.mirrored[at("a", 0)] = 1000
			k := New(s.config)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- k.Run(ctx) }()
			<-time.After(time.Minute + 500*time.Millisecond)
			synctest.Wait()
			if got, lists := s.source.calls["GroupOffsets"], s.source.calls["Groups"]; got != c.rounds || lists != c.lists {
				t.Errorf("%+v: %d rounds, %d lists", c, got, lists)
			}
			if c.sync > 0 && (s.target.at("g", at("A.a", 0)) != 5 || k.Standing().Committed != 1) {
				t.Error("no group sync")
			}
			if c.sync == 0 && len(s.target.calls) > 0 {
				t.Errorf("the target was asked: %v", s.target.calls)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if e := s.told(); c.sync == 0 && len(e) > 0 {
				t.Errorf("%q", e)
			}
		})
	}
}

// A round that fails again and again is told once.
func TestRunTellsOutagesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.source.partial = errors.New("connection refused")
		k := New(s.config)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		<-time.After(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if e := s.told(); len(e) != 1 || !strings.Contains(e[0], "list groups of A: connection refused") {
			t.Errorf("%q", e)
		}
	})
}

// What somebody has read of Tandem's topic is not read again.
func TestWhatIsKnownIsNotReadAgain(t *testing.T) {
	s := newScene(t)
	s.mirrored[at("a", 0)] = 1000
	s.source.set("g", at("a", 0), 500)
	s.source.set("gone", at("a", 0), 500)
	s.round()
	delete(s.source.groups, "gone")
	s.config.Known = s.log.known(t)
	s.log.broken["mm2-tandem.A.internal"] = errors.New("read")
	s.start()
	delete(s.log.broken, "mm2-tandem.A.internal")
	before := len(s.log.records["mm2-tandem.A.internal"])
	s.round()
	written := s.log.records["mm2-tandem.A.internal"][before:]
	if len(written) != 1 || written[0].Value != nil || !strings.HasSuffix(string(written[0].Key), "gone") {
		t.Errorf("wrote %v", written)
	}
	if e := s.told(); len(e) > 0 {
		t.Errorf("%q", e)
	}
}
