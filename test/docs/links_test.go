package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tandem/internal/config"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: what is linked within the repository is there.
func TestLinks(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			found++
			path := filepath.Join(root, filepath.Dir(p.path), target)
			if target == "" {
				path = filepath.Join(root, p.path)
			}
			text, err := os.ReadFile(path)
			if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links %s: %v", p.path, m[1], err)
			}
			if anchor != "" && !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s links %s: no such heading", p.path, m[1])
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d links were found", found)
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unnamed = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the names of a page's headings, as GitHub makes them.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(unnamed.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// kafkas are settings of topics and brokers that the pages speak of. mirror does not take them.
var kafkas = []string{
	"max.message.bytes", "message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "cleanup.policy", "segment.bytes", "min.cleanable.dirty.ratio",
	"min.insync.replicas", "producer.id.expiration.ms", "replica.lag.time.max.ms", "retention.ms", "retention.bytes",
	"auto.create.topics.enable", "offsets.retention.minutes",
}

// topics are names of topics that look like settings.
var topics = []string{"east.orders", "west.orders", "primary.orders", "backup.orders", "backup.primary.orders"}

var (
	settingName = regexp.MustCompile(`^[a-z]+(?:[.-][a-z]+)*\.[a-z]+(?:[.-][a-z]+)*$`)
	settingOf   = regexp.MustCompile(`^(?:[A-Za-z]+->[A-Za-z]+\.|[A-Z]\.|ALIAS\.)?(?:(?:source\.)?(?:consumer|producer|admin)\.(?:override\.)?)?`)
	suffixes    = regexp.MustCompile(`\.(?:internal|properties|md|yml|sh|log|txtar|go|json|service|com|ttl)$`)
)

// settings are the settings that a page names in its text, without scopes and values.
func (p page) settings() (all []string) {
	for _, code := range p.code() {
		key, _, _ := strings.Cut(code, "=")
		key = strings.TrimSpace(key)
		if short := key[len(settingOf.FindString(key)):]; !slices.Contains(kafkas, key) {
			key = short
		}
		if settingName.MatchString(key) && !suffixes.MatchString(key) {
			all = append(all, key)
		}
	}
	return all
}

// TestSettings: each setting that a page names is in the table of settings, or one of Kafka's own.
func TestSettings(t *testing.T) {
	reference := page{"docs/config.md", config.Markdown()}
	known := slices.Concat(kafkas, topics)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for _, m := range row.FindAllStringSubmatch(reference.text, -1) {
		known = append(known, m[1])
	}
	named := 0
	for _, p := range pages(t) {
		if p.path == reference.path || strings.HasPrefix(p.path, "docs/adr/") {
			continue
		}
		for _, key := range p.settings() {
			named++
			if !slices.Contains(known, key) {
				t.Errorf("%s names `%s`, which is no setting", p.path, key)
			}
		}
	}
	if named < 15 {
		t.Errorf("only %d settings were found", named)
	}
}

// TestExampleFiles: the file that is shipped and those in the pages are taken without a warning.
func TestExampleFiles(t *testing.T) {
	files := map[string]string{}
	for _, p := range pages(t) {
		for _, block := range p.blocks("properties") {
			path := filepath.Join(t.TempDir(), "mm2.properties")
			if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			files[path] = p.path
		}
	}
	if len(files) == 0 {
		t.Error("no page has an example")
	}
	files[filepath.Join(root, "config/mm2.properties")] = "config/mm2.properties"
	for path, from := range files {
		conf, err := config.Load(path, nil)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		for _, w := range conf.Warnings {
			t.Errorf("%s: %s", from, w)
		}
		if !slices.ContainsFunc(conf.Flows, func(f config.Flow) bool { return f.Enabled }) {
			t.Errorf("%s enables no flow", from)
		}
	}
}

// TestArchiveOfTheExample: what the shipped file has of the archive is right when its lines are taken into use.
func TestArchiveOfTheExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "config/mm2.properties"))
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^#((?:primary->backup\.)?archive\.\S+ = )`)
	if n := len(commented.FindAll(text, -1)); n < 8 {
		t.Errorf("only %d lines", n)
	}
	path := filepath.Join(t.TempDir(), "mm2.properties")
	if err := os.WriteFile(path, commented.ReplaceAll(text, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range conf.Warnings {
		t.Error(w)
	}
	if !slices.ContainsFunc(conf.Flows, func(f config.Flow) bool { return f.Archive.Enabled && f.Archive.LockDays == 30 }) {
		t.Error("nothing is archived")
	}
}

// TestTheSuite: .ci/run runs what the README says to run for all tests.
func TestTheSuite(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	var does []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "set ") && !strings.HasPrefix(line, "cd ") {
			does = append(does, line)
		}
	}
	if !slices.Equal(does, []string{"exec make test"}) {
		t.Errorf(".ci/run does %q", does)
	}
}
