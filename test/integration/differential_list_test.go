package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// intended are the differences that are meant. docs/migrating-from-mm2.md has the same list, with the reasons.
var intended = []struct {
	id   string
	text string                // the whole line of a difference; empty: nothing that the suite sees
	also func(m []string) bool // a condition on what the text has in parentheses
	in   string                // the suite that sees it; empty: TestSameAnswersAsMM2
}{
	{id: "group-members", text: `group \S+ of \w: protocol type connect, \w+ with MM2, protocol type consumer, \w+ with Tandem`},
	{id: "worker-topics", text: `topic \w mm2-(?:configs|status)\..*: only with MM2 .*`},
	{id: "tandem-topic", text: `topic \w mm2-tandem\..*: only with Tandem .*`},
	{id: "connector-positions", text: `topic .*: position \["Mirror(?:Heartbeat|Checkpoint)Connector".*: only with MM2 .*`},
	{id: "exact-places", text: `(?:group|topic) .*: place: (\d+) with MM2, (\d+) with Tandem`, also: less},
	{id: "old-places", text: `(?:group diff-(?:behind|among) |topic B @@east.checkpoints.internal: checkpoint of diff-(?:behind|among) ).*`, in: "up to what MM2 has read when"},
	{id: "checkpoints-home", text: `topic A @@west\.checkpoints\.internal: checkpoint of \S+ for diff-main-.*: only with Tandem .*`},
	{id: "empty-partitions", text: `(?:group diff-empty .*|topic .*: checkpoint of diff-empty .*): only with Tandem .*`},
	{id: "checkpoints-without-syncs", text: `topic B @@late\.checkpoints\.internal: .*: only with Tandem .*`},
	{id: "codec", text: `topic .*: codecs of partition \d+: \w+ with MM2, \w+ with Tandem`},
	{id: "heartbeat-pairs", text: `topic A mm2-offsets\.west\.internal: .*: only with MM2 .*`, in: "samples"},
	{id: "old-names", text: `topic B old\.scratch-notes: .*: only with MM2 .*|topic B old\..*: config min\.insync\.replicas: only with Tandem .*`, in: "samples"},

	// Only in trouble, or where the file is read.
	{id: "no-repeats"}, {id: "stays-or-says"}, {id: "refused-records"}, {id: "idle-groups"}, {id: "group-resets"}, {id: "written-on-difference"},
	{id: "new-topics"}, {id: "two-way-identity"}, {id: "one-cluster"}, {id: "sync-settings"}, {id: "alias-names"}, {id: "intervals"},
	{id: "java-classes"}, {id: "unknown-keys"}, {id: "tasks"}, {id: "acls-at-will"}, {id: "metrics"},
}

// wantSeen wants each difference that a suite can see to have been seen: a list that is too long hides what is to come.
func wantSeen(t *testing.T, in string, seen map[string]bool) {
	t.Helper()
	for _, i := range intended {
		if i.text != "" && i.in == in && !seen[i.id] {
			t.Errorf("difference %s was not seen; take it off the list", i.id)
		}
	}
}

// unintended are the differences that are not on the list; those that are, were seen.
func unintended(list []string, seen map[string]bool) (rest []string) {
next:
	for _, text := range list {
		for _, i := range intended {
			if i.text == "" {
				continue
			}
			if m := regexp.MustCompile("^(?:" + i.text + ")$").FindStringSubmatch(text); m != nil && (i.also == nil || i.also(m[1:])) {
				seen[i.id] = true
				continue next
			}
		}
		rest = append(rest, text)
	}
	return rest
}

// less: a number is less than another.
func less(m []string) bool {
	a, err := strconv.ParseInt(m[0], 10, 64)
	b, err2 := strconv.ParseInt(m[1], 10, 64)
	return err == nil && err2 == nil && a < b
}

// TestDifferencesAreDocumented: the page for those who come from MM2 has the same differences.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/migrating-from-mm2.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for _, i := range intended {
		if !documented[i.id] {
			t.Errorf("the page lacks %s", i.id)
		}
		delete(documented, i.id)
	}
	for id := range documented {
		t.Errorf("the page has %s, which the suite does not know", id)
	}
	if len(intended) == 0 {
		t.Error("the list is empty")
	}
}

// TestConformanceNamesTests: each test that docs/conformance.md names is there.
func TestConformanceNamesTests(t *testing.T) {
	text, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+) (Test\\w+)`").FindAllStringSubmatch(string(text), -1)
	for _, m := range named {
		files, err := filepath.Glob(filepath.Join("../..", m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(code), "func "+m[2]+"(")
		}
		if !found {
			t.Errorf("%s has no %s", m[1], m[2])
		}
	}
	if len(named) < 80 {
		t.Errorf("only %d tests are named", len(named))
	}
}

// TestListedDifferencesAlone: what is not on the list is found.
func TestListedDifferencesAlone(t *testing.T) {
	mm2 := world{"topic B @@east.a: partitions": "3", "topic B mm2-status.@@east.internal: partitions": "5", "group diff-g of B on x: place": "7", "gone": "1"}
	tandem := world{"topic B @@east.a: partitions": "2", "group diff-g of B on x: place": "6", "more": "1"}
	seen := map[string]bool{}
	want := []string{
		"gone: only with MM2 (1)", "group diff-g of B on x: place: 7 with MM2, 6 with Tandem", "more: only with Tandem (1)",
		"topic B @@east.a: partitions: 3 with MM2, 2 with Tandem",
	}
	if got := unintended(differences(mm2, tandem), seen); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !seen["worker-topics"] || len(seen) != 1 {
		t.Errorf("seen %v", seen)
	}
}
