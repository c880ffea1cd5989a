package config

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

func TestMarkdownIsCurrent(t *testing.T) {
	const path = "../../docs/config.md"
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

// The table is only useful while a key is in it once, and explains itself.
func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range table {
		if seen[k.name] {
			t.Errorf("%s is there twice", k.name)
		}
		seen[k.name] = true
		if k.meaning == "" || k.scopes == 0 || k.kind == "" {
			t.Errorf("%s is not described", k.name)
		}
		if k.effect == absent && (k.here == "" || k.hint == "") || k.effect == needless && k.here == "" && !k.internal {
			t.Errorf("%s does not say why it has no effect", k.name)
		}
		if k.effect == used && k.change == "" {
			t.Errorf("%s does not say when to change it", k.name)
		}
		if k.def != "" {
			if err := k.check(k.def); err != nil {
				t.Errorf("the default of %s is not allowed: %v", k.name, err)
			}
		}
		if k.def39 != "" && k.check(k.def39) != nil {
			t.Errorf("the default of %s in 3.9 is not allowed", k.name)
		}
	}
	for _, now := range renamed {
		if !seen[now] {
			t.Errorf("%s is not in the table", now)
		}
	}
}
