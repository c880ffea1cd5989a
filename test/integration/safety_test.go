package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/failover"
	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

const (
	syncProperties = "sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 1\n"
	safePartitions = 2
	safeRecords    = 1000 // of each
)

// safeFlow is a flow that has copied a topic.
type safeFlow struct {
	t                        *testing.T
	a, b                     side
	alias, topic, remote     string
	properties, file, folder string
	mirror                   *mirrorProcess
}

func startSafeFlow(t *testing.T, alias string, a, b side, more string) *safeFlow {
	t.Helper()
	f := &safeFlow{t: t, a: a, b: b, alias: alias, topic: alias + "-orders", remote: alias + "." + alias + "-orders", folder: t.TempDir()}
	a.create(f.topic, safePartitions, 1, nil)
	for p := range int32(safePartitions) {
		a.write(f.topic, toPartition(p, numbered(safeRecords)))
	}
	f.properties = fmt.Sprintf(failoverProperties, alias, a.Bootstrap, b.Bootstrap) + more
	f.file = propertiesFile(t, f.properties)
	f.mirror = startMirror(t, f.properties)
	f.mirror.until("the records", b.reaches(f.remote, safePartitions*safeRecords))
	return f
}

func (f *safeFlow) places(topic string, offset int64) map[stream.Partition]int64 {
	places := map[stream.Partition]int64{}
	for p := range int32(safePartitions) {
		places[stream.Partition{Topic: topic, Number: p}] = offset
	}
	return places
}

// commits puts a group of the source at an offset.
func (f *safeFlow) commits(group string, offset int64) {
	f.t.Helper()
	f.a.commit(group, f.places(f.topic, offset))
}

// stands is a condition: the group stands at an offset of the target; a negative one is none.
func (f *safeFlow) stands(group string, offset int64) func() error {
	return func() error {
		want := f.places(f.remote, offset)
		if offset < 0 {
			want = nil
		}
		if got := f.b.committed(group); !maps.Equal(got, want) {
			return fmt.Errorf("%s is at %v, want %v", group, got, want)
		}
		return nil
	}
}

func (f *safeFlow) expect(story, group string, offset int64) {
	f.t.Helper()
	if err := f.stands(group, offset)(); err != nil {
		f.t.Errorf("%s: %v", story, err)
	}
}

// synced waits for passes of group sync that began after now: a witness has been moved, and moved again.
func (f *safeFlow) synced(witness string, from int64) {
	f.t.Helper()
	for _, offset := range []int64{from, from + 1} {
		f.commits(witness, offset)
		f.mirror.until("group sync", f.stands(witness, offset))
	}
}

// plan makes a plan of some groups.
func (f *safeFlow) plan(groups string, args ...string) (file string, out ran) {
	f.t.Helper()
	file = filepath.Join(f.folder, fmt.Sprintf("%s-%d.json", f.alias, len(f.files())))
	args = append([]string{"plan", f.file, "--from", f.alias, "--to", f.alias + "B", "--groups", groups, "--out", file}, args...)
	return file, runFailover(f.t, args...)
}

func (f *safeFlow) files() []os.DirEntry {
	list, _ := os.ReadDir(f.folder)
	return list
}

// refuses wants an exit status, one line on standard error, and words in what was printed.
func (r ran) refuses(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.status != status || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit status %d, want %d, and one line on standard error:\n%s", r.status, status, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			t.Errorf("it does not speak of %q:\n%s%s", w, r.stdout, r.stderr)
		}
	}
}

func (s side) deleteGroup(group string) {
	s.t.Helper()
	request := kmsg.NewPtrDeleteGroupsRequest()
	request.Groups = []string{group}
	response, err := request.RequestWith(s.t.Context(), s.coordinated)
	if err == nil {
		err = kerr.ErrorForCode(response.Groups[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("delete group %s: %v", group, err)
	}
}

// A group with members on the target belongs to them: group sync and failover leave it alone, also when the members came
// just now.
func TestLiveGroupIsUntouched(t *testing.T) {
	a, b := clusters(t)
	f := startSafeFlow(t, "live", a, b, syncProperties)
	for kind, protocol := range map[string]kgo.Opt{"classic": kgo.Balancers(kgo.RangeBalancer()), "consumer": kgo.ServerSideBalancer()} {
		t.Run(kind, func(t *testing.T) {
			f := *f
			f.t, f.a, f.b = t, on(t, a.Cluster), on(t, b.Cluster)
			group, ctx := "live-"+kind, patient(t)
			join := func() (leave func()) {
				leave = f.b.member(f.remote, kgo.ConsumerGroup(group), kgo.DisableAutoCommit(), protocol)
				eventually(t, "a live group", inState(ctx, f.b.admin(), stream.Group{ID: group, Type: kind, State: "Stable"}))
				return leave
			}
			leave := join()
			f.commits(group, 700)
			f.synced("live-witness-"+kind, 100)
			f.expect("group sync, while it has members", group, -1)
			_, out := f.plan(group)
			out.refuses(t, 1, group+" has members on liveB")
			leave()
			f.mirror.until("group sync of a group without members", f.stands(group, 700))

			f.mirror.stop()
			f.commits(group, 900)
			f.commits("live-other-"+kind, 900)
			file, out := f.plan("live-(other-)?"+kind, "--mode", "disaster")
			out.must(t)
			leave = join()
			runFailover(t, "apply", file).refuses(t, 1, group+" has members on liveB", "nothing was changed")
			f.expect("apply, when it got members", group, 700)
			f.expect("the rest of that plan", "live-other-"+kind, -1)
			leave()
			eventually(t, "an empty group", inState(ctx, f.b.admin(), stream.Group{ID: group, Type: kind, State: "Empty"}))
			runFailover(t, "apply", file).must(t)
			f.expect("apply, when it has stopped", group, 900)
			runFailover(t, "undo", file).must(t)
			f.expect("undo", group, 700)
			f.expect("undo of a group that was not there", "live-other-"+kind, -1)
		})
		f.mirror = startMirror(t, f.properties)
	}
	f.mirror.stop()
}

// What has changed since a plan was made is found before anything is written.
func TestStalePlans(t *testing.T) {
	a, b := clusters(t)
	f := startSafeFlow(t, "stale", a, b, "")
	untouched := func(group string) { t.Helper(); f.expect("a refused plan", group, -1) }

	f.commits("stale-deleted", 300)
	f.commits("stale-stays", 300)
	file, out := f.plan("stale-.*")
	out.must(t)
	a.deleteGroup("stale-deleted")
	runFailover(t, "apply", file).refuses(t, 1, "stale-deleted has no committed offset", "make a new plan", "nothing was changed")
	untouched("stale-stays")
	again, out := f.plan("stale-.*")
	if out.must(t); strings.Contains(out.stdout, "stale-deleted") {
		t.Errorf("a deleted group is planned:\n%s", out.stdout)
	}

	t.Run("edited by hand", func(t *testing.T) {
		whole, err := os.ReadFile(again)
		if err != nil {
			t.Fatal(err)
		}
		for name, edit := range map[string]func(text string) string{
			"another offset": func(s string) string { return strings.Replace(s, `"new":300`, `"new":301`, 1) },
			"another mode":   func(s string) string { return strings.Replace(s, `"mode": "controlled"`, `"mode": "disaster"`, 1) },
			"cut short":      func(s string) string { return s[:len(s)/2] },
			"empty":          func(string) string { return "" },
			"another file":   func(string) string { return f.properties },
		} {
			edited := filepath.Join(t.TempDir(), "edited.json")
			if text := edit(string(whole)); text == string(whole) {
				t.Fatalf("%s: nothing to edit in\n%s", name, whole)
			} else if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out := runFailover(t, "apply", edited)
			if out.status == 0 || strings.Count(out.stderr, "\n") != 1 || strings.Contains(out.stderr, "goroutine") {
				t.Errorf("%s: exit status %d\n%s", name, out.status, out.stderr)
			}
		}
		untouched("stale-stays")
	})

	t.Run("the remote topic is gone", func(t *testing.T) {
		f.mirror.stop() // it would make the topic anew
		b.delete(f.remote)
		eventually(t, "the topic to be gone", func() error {
			if left := b.topicsWith(f.remote); len(left) > 0 {
				return fmt.Errorf("%v", left)
			}
			return nil
		})
		runFailover(t, "apply", again).refuses(t, 1, "topic "+f.remote+" of staleB is gone", "nothing was changed")
		_, out := f.plan("stale-.*", "--wait", "1s")
		out.refuses(t, 1, "staleB does not have partition "+f.remote)
	})
}

// The target dies while groups are moved: the command says so, so does status when the target is back, and a second run
// finishes it.
func TestTargetDiesHalfWay(t *testing.T) {
	a, _ := clusters(t)
	target := realkafka.Start(t, realkafka.Options{Config: brokerConfig})
	b := on(t, target)
	f := startSafeFlow(t, "half", a, b, "")
	const groups = 600
	name := func(g int) string { return fmt.Sprintf("half-%04d", g) }
	for g := range groups {
		f.commits(name(g), int64(g%safeRecords))
	}
	f.mirror.until("the groups", f.mirror.shows("tandem_checkpoints_written_total", "half->halfB", groups*safePartitions))
	f.mirror.stop()
	file, out := f.plan("half-.*", "--json")
	plan := planOf(t, out.must(t).stdout)
	if len(plan.Groups) != groups {
		t.Fatalf("%d groups are planned", len(plan.Groups))
	}

	applied := make(chan ran)
	go func() { applied <- runFailover(t, "apply", file) }()
	eventually(t, "some groups to be moved", func() error {
		if len(b.committed(name(120))) == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	target.Kill(0)
	out = <-applied
	if out.status == 0 || out.stderr == "" {
		t.Errorf("exit status %d when the target had died\n%s%s", out.status, out.stdout, out.stderr)
	}
	t.Logf("apply: exit status %d: %.300s", out.status, out.stderr)
	away := runFailover(t, "status", f.file)
	away.refuses(t, 2, "halfB")

	if err := target.Restart(0); err != nil {
		t.Fatal(err)
	}
	names := make([]string, groups)
	for g := range names {
		names[g] = name(g)
	}
	admin := b.admin()
	offsetsNow := func() (all map[string]map[stream.Partition]stream.Committed) {
		eventually(t, "the groups of the target", func() error {
			offsets, refused, err := admin.GroupOffsets(t.Context(), names)
			if all = offsets; len(refused) > 0 {
				return fmt.Errorf("%d refused", len(refused))
			}
			return err
		})
		return all
	}
	moved := 0
	for _, offsets := range offsetsNow() {
		moved += min(len(offsets), 1)
	}
	if moved == 0 || moved == groups {
		t.Errorf("%d of %d groups had been moved: not half way", moved, groups)
	}
	t.Logf("%d of %d groups had been moved", moved, groups)
	status := runFailover(t, "status", f.file).must(t)
	if !strings.Contains(status.stdout, plan.ID) || !strings.Contains(status.stdout, string(failover.Applying)) {
		t.Errorf("status does not tell of plan %s, which is half done:\n%s", plan.ID, status.stdout)
	}
	runFailover(t, "apply", file).must(t)
	all := offsetsNow()
	for _, g := range plan.Groups {
		for _, p := range g.Positions {
			if got, ok := all[g.Group][p.RemotePartition()]; !ok || got.Offset != p.New {
				t.Fatalf("%s stands at %v of %s, want %d", g.Group, got, p.RemotePartition(), p.New)
			}
		}
	}
	if again := runFailover(t, "apply", file).must(t); !strings.Contains(again.stdout, "nothing to do") {
		t.Errorf("a third apply: %s", again.stdout)
	}
}

// Group sync follows a group that is reset at the source, but not where it has run on the target, or has failed over.
func TestGroupSyncFollowsResets(t *testing.T) {
	a, b := clusters(t)
	f := startSafeFlow(t, "reset", a, b, syncProperties)
	groups := []string{"reset-followed", "reset-moved", "reset-ran"}
	for _, g := range groups {
		f.commits(g, 800)
	}
	for _, g := range groups {
		f.mirror.until("group sync", f.stands(g, 800))
	}
	b.commit("reset-ran", f.places(f.remote, 900))
	for _, g := range groups {
		f.commits(g, 300)
	}
	f.mirror.until("the reset", f.stands("reset-followed", 300))
	f.mirror.until("the reset", f.stands("reset-moved", 300))
	f.synced("reset-witness", 10)
	f.expect("a group that has run on the target", "reset-ran", 900)

	file, out := f.plan("reset-moved")
	out.must(t)
	runFailover(t, "apply", file).must(t)
	b.commit("reset-moved", f.places(f.remote, 200)) // it has read again from there
	f.commits("reset-moved", 950)
	f.commits("reset-followed", 950)
	f.mirror.until("group sync", f.stands("reset-followed", 950))
	f.synced("reset-witness", 20)
	f.expect("a group that has failed over", "reset-moved", 200)
	f.mirror.Kill()
	f.mirror = startMirror(t, f.properties)
	f.synced("reset-witness", 30)
	f.expect("a group that has failed over, and a new process", "reset-moved", 200)
	f.mirror.stop()
}
