package metrics

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

func TestMarkdownIsCurrent(t *testing.T) {
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != Markdown() {
		t.Errorf("%s is not what the table says; run this test with -update", path)
	}
}

// The table is only useful while a name is in it once, explains itself, and all of its labels are explained.
func TestTableIsSound(t *testing.T) {
	seen, known := map[string]bool{}, map[string]bool{}
	for _, l := range labelled {
		for name := range strings.SplitSeq(l[0], ", ") {
			known[name] = true
		}
	}
	for _, s := range sections() {
		for _, m := range s.metrics {
			if seen[m.name] {
				t.Errorf("%s is there twice", m.name)
			}
			seen[m.name] = true
			if m.help == "" || m.unit == "" || strings.ContainsAny(m.help+m.absent, "|\n") {
				t.Errorf("%s is not described as a row can be", m.name)
			}
			for _, l := range m.labels {
				if !known[l] {
					t.Errorf("label %s of %s is not described", l, m.name)
				}
			}
		}
	}
}
