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

// here is the offset of group g on the target, in A.a/0.
func (s *scene) here() int64 { return s.target.at("g", at("A.a", 0)) }

func (s *scene) expect(story string, offset int64) {
	s.t.Helper()
	if got := s.here(); got != offset {
		s.t.Errorf("%s: the group is at %d on the target, want %d", story, got, offset)
	}
}

func syncScene(t testing.TB) *scene {
	s := newScene(t)
	s.mirrored[at("a", 0)] = 100000
	s.source.set("g", at("a", 0), 1000)
	return s
}

func TestGroupSyncFollowsTheSource(t *testing.T) {
	s := syncScene(t)
	s.pass()
	s.expect("the group is made on the target", 100)
	if o := s.target.groups["g"].offsets[at("A.a", 0)]; o.Metadata != "m" {
		t.Errorf("metadata %q", o.Metadata)
	}
	if e := s.told(); len(e) != 1 || e[0] != "synced a group to the target group=g new=1 forward=0 back=0 records=0" {
		t.Errorf("%q", e)
	}
	s.source.set("g", at("a", 0), 2000)
	s.pass()
	s.expect("further", 200)
	if e := s.told(); len(e) != 1 || e[0] != "synced a group to the target group=g new=0 forward=1 back=0 records=100" {
		t.Errorf("%q", e)
	}
	commits := s.target.calls["CommitOffsets"]
	states, asked := s.target.calls["GroupStates"], s.target.calls["GroupOffsets"]
	s.pass()
	s.pass()
	if s.target.calls["CommitOffsets"] != commits || s.target.calls["GroupStates"] != states || s.target.calls["GroupOffsets"] != asked {
		t.Errorf("nothing changed, yet the target was asked: %v", s.target.calls)
	}
	s.source.set("g", at("a", 0), 500)
	s.pass()
	s.expect("reset at the source", 50)
	e := s.told()
	if len(e) != 2 || e[0] != "set a group back on the target, as it was reset at the source group=g topic=A.a partition=0 old=200 new=50" ||
		e[1] != "synced a group to the target group=g new=0 forward=0 back=1 records=0" {
		t.Errorf("%q", e)
	}
	s.target.set("g", at("A.a", 0), 20)
	s.pass()
	s.expect("set by hand on the target, while the source stands", 20)
	s.source.set("g", at("a", 0), 600)
	s.pass()
	s.expect("the source goes on", 60)
	if st := s.keeper.Standing(); st.Committed != 4 {
		t.Errorf("%+v", st)
	}
}

func TestGroupSyncLeavesLiveGroupsAlone(t *testing.T) {
	s := syncScene(t)
	s.target.set("g", at("A.a", 0), 10)
	s.target.group("g").live = true
	s.pass()
	s.expect("it has members", 10)
	if s.target.calls["CommitOffsets"] > 0 {
		t.Error("a commit was tried")
	}
	s.target.group("g").live = false
	s.pass()
	s.expect("they have left", 100)

	// Members come between the look and the commit.
	s.source.set("g", at("a", 0), 2000)
	s.target.beforeCommit = func(string) { s.target.group("g").live = true }
	s.told()
	s.pass()
	s.expect("they came in between", 100)
	if e := s.told(); len(e) > 0 {
		t.Errorf("a group with members is no news: %q", e)
	}
	s.target.beforeCommit, s.target.group("g").live = nil, false

	// The group runs here; then it is reset at the source.
	s.target.set("g", at("A.a", 0), 300)
	s.pass()
	s.source.set("g", at("a", 0), 0)
	s.pass()
	s.expect("it has run here", 300)

	// As before, but it commits what was written last: it was seen with members.
	s.source.set("g", at("a", 0), 4000)
	s.pass()
	s.expect("the source overtakes it", 400)
	s.target.group("g").live = true
	s.source.set("g", at("a", 0), 4010)
	s.pass()
	s.target.group("g").live = false
	s.source.set("g", at("a", 0), 100)
	s.pass()
	s.expect("it was seen here", 400)
}

func TestGroupSyncAfterAResetOnTheWay(t *testing.T) {
	s := syncScene(t)
	s.pass()
	s.source.set("g", at("a", 0), 200)
	s.round()
	s.source.set("g", at("a", 0), 300) // rounds without group sync in between
	s.round()
	s.pass()
	s.expect("reset, and gone on a little", 30)
	s.source.set("g", at("a", 0), 200)
	s.target.group("g").live = true
	s.pass()
	s.target.group("g").live = false
	s.pass()
	s.expect("reset while it had members here", 30)
	s.start()
	s.pass()
	s.expect("a new process does not know of that reset", 30)
	s.source.set("g", at("a", 0), 100)
	s.pass()
	s.expect("nor was the offset one of the last checkpoint", 30)

	// What a process before this one wrote is known by the checkpoint.
	s.source.set("g", at("a", 0), 5000)
	s.pass()
	s.start()
	s.source.set("g", at("a", 0), 1000)
	s.pass()
	s.expect("reset between two processes", 100)
}

func TestGroupSyncSetsExpiredOffsetsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := syncScene(t)
		s.pass()
		delete(s.target.groups, "g")
		s.pass()
		s.expect("not looked at yet", -1)
		<-time.After(recheck)
		s.pass()
		s.expect("looked at after a while", 100)
		s.target.set("g", at("A.a", 0), -1) // some clients commit it for none
		<-time.After(recheck)
		s.pass()
		s.expect("none is less than any", 100)
	})
}

func TestGroupSyncRefused(t *testing.T) {
	s := syncScene(t)
	s.source.set("g", at("a", 1), 1000)
	s.mirrored[at("a", 1)] = 100000
	s.source.set("other", at("a", 0), 10)
	s.target.refuses["A.a/0"] = &stream.BrokerError{Code: stream.CodeUnknownTopicOrPartition, Name: "UNKNOWN_TOPIC_OR_PARTITION"}
	s.target.refuses["other"] = errors.New("not authorized")
	for range 3 {
		s.pass()
	}
	s.expect("refused", -1)
	if got := s.target.at("g", at("A.a", 1)); got != 100 {
		t.Errorf("the other partition is at %d", got)
	}
	refusals := 0
	for _, e := range s.told() {
		if strings.Contains(e, "UNKNOWN_TOPIC_OR_PARTITION") || strings.Contains(e, "not authorized") {
			refusals++
		}
	}
	if refusals != 2 {
		t.Errorf("%d refusals were told, want each once", refusals)
	}
	clear(s.target.refuses)
	s.pass()
	s.expect("allowed at last", 100)
}

func TestGroupSyncWhereStatesAreNotKnown(t *testing.T) {
	s := syncScene(t)
	s.source.set("other", at("a", 0), 500)
	s.source.set("share", at("a", 0), 500)
	s.target.group("share").kind = "share"
	s.target.hidden["g"], s.target.partial = true, errors.New("coordinator of g is away")
	s.round()
	if err := s.keeper.sync(t.Context()); err == nil || !strings.Contains(err.Error(), "coordinator of g is away") {
		t.Errorf("%v", err)
	}
	s.expect("it may have members", -1)
	if got := s.target.at("other", at("A.a", 0)); got != 50 {
		t.Errorf("the other group is at %d", got)
	}
	s.target.partial = nil
	clear(s.target.hidden)
	s.pass()
	s.pass()
	s.expect("it has none", 100)
	if got := s.target.at("share", at("A.a", 0)); got != -1 {
		t.Errorf("a share group was set to %d", got)
	}
	shares := 0
	for _, e := range s.told() {
		if strings.Contains(e, "on B it is a share group") {
			shares++
		}
	}
	if shares != 1 {
		t.Errorf("the share group was told %d times", shares)
	}
}

// What cannot be fetched or translated now may have been reset.
func TestGroupSyncNeedsToKnow(t *testing.T) {
	s := syncScene(t)
	s.round() // a checkpoint at 100
	s.source.set("g", at("a", 0), 10)
	delete(s.mirrored, at("a", 0))
	s.pass()
	s.expect("reset to where nothing is known", -1)
	s.source.set("g", at("a", 0), 1010)
	s.pass()
	s.expect("beyond the last checkpoint", 100)

	s.mirrored[at("a", 0)] = 100000
	s.source.set("g", at("a", 0), 3000)
	s.round()
	s.source.refuses["g"] = errors.New("coordinator not available")
	s.source.set("g", at("a", 0), 10)
	s.pass()
	s.expect("not fetched", 100)
}

func TestGroupSyncOfManyGroups(t *testing.T) {
	s := newScene(t)
	const groups, partitions = 600, 3
	for i := range groups {
		for p := range int32(partitions) {
			s.source.set(fmt.Sprint("g", i), at("a", p), int64(i)*10)
			s.mirrored[at("a", p)] = 1 << 40
		}
		s.target.group(fmt.Sprint("g", i)).live = i%2 == 0
	}
	s.pass()
	for i := range groups {
		for p := range int32(partitions) {
			want := int64(i)
			if i%2 == 0 {
				want = -1
			}
			if got := s.target.at(fmt.Sprint("g", i), at("A.a", p)); got != want {
				t.Fatalf("group %d is at %d, want %d", i, got, want)
			}
		}
	}
	if c := s.target.calls; c["CommitOffsets"] != groups/2 || c["GroupStates"] != groups/syncBatch || s.source.calls["GroupOffsets"] != 3 {
		t.Errorf("%v %v", c, s.source.calls)
	}
	if s.log.appends["A.checkpoints.internal"] != 1 || s.log.appends["mm2-tandem.A.internal"] != 1 {
		t.Errorf("%v", s.log.appends)
	}
}

// A failover has moved the group: where it stands on the target is not for group sync to say, also in a process that knows
// nothing of before.
func TestGroupsThatHaveFailedOver(t *testing.T) {
	s := syncScene(t)
	away, trouble := map[string]bool{}, error(nil)
	s.config.Away = func(context.Context) (map[string]bool, error) { return away, trouble }
	s.source.set("other", at("a", 0), 10)
	s.start()
	s.pass()
	s.expect("before", 100)

	away = map[string]bool{"g": true}
	s.target.set("g", at("A.a", 0), 30) // failover --align-time
	s.source.set("g", at("a", 0), 2000)
	s.source.set("other", at("a", 0), 50)
	s.told()
	for _, again := range []string{"the process that was there", "a new one"} {
		s.pass()
		s.expect(again, 30)
		s.start()
	}
	if got := s.target.at("other", at("A.a", 0)); got != 5 {
		t.Errorf("another group is at %d", got)
	}
	if e := s.told(); len(e) != 3 || !strings.HasPrefix(e[0], "groups have failed over to the target") {
		t.Errorf("%q", e)
	}
	s.pass()

	trouble = errors.New("no answer")
	away = nil
	s.round()
	if err := s.keeper.sync(t.Context()); !errors.Is(err, trouble) {
		t.Errorf("got %v", err)
	}
	s.expect("while nobody knows", 30)
	trouble = nil
	s.pass()
	s.expect("the failover is over", 200)
}
