package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// page is a Markdown file.
type page struct {
	path string // from the root
	text string
}

// pages are README.md, CHANGELOG.md, CONTRIBUTING.md and all below docs/.
func pages(t *testing.T) (all []page) {
	t.Helper()
	paths := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page{path, string(text)})
	}
	return all
}

var (
	fence   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	inline  = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`^(?:make|(?:bin/)?(?:mirror|failover|archive))\s+\S`)
)

// blocks are the contents of the blocks in a language.
func (p page) blocks(language string) (all []string) {
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		if m[1] == language {
			all = append(all, m[2])
		}
	}
	return all
}

// code is what stands between backticks in the text, outside of blocks. A line may break within it.
func (p page) code() (all []string) {
	text := strings.ReplaceAll(fence.ReplaceAllString(p.text, ""), "\n\n", "\x00")
	for _, m := range inline.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
		all = append(all, m[1])
	}
	return all
}

// commands are what the page tells its reader to type.
func (p page) commands() (all []string) {
	for _, block := range p.blocks("sh") {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") {
				all = append(all, bare(line))
			}
		}
	}
	return append(all, slices.DeleteFunc(p.code(), func(s string) bool { return !command.MatchString(s) })...)
}

// TestGuide: what is found in a page. The other tests would see nothing if this saw nothing.
func TestGuide(t *testing.T) {
	p := page{"a.md", "Type `make\nthis`, not `makeshift` or `a.b`:\n\n```sh\n# first\nmake that\n\n  bin/mirror x\n```\n\n```properties\nmake = no\n```\n`mirror FILE` before `failover` and `failover back`\n"}
	if got, want := p.commands(), []string{"make that", "bin/mirror x", "make this", "mirror FILE", "failover back"}; !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
	if got, want := p.blocks("properties"), []string{"make = no\n"}; !slices.Equal(got, want) {
		t.Errorf("properties %q, want %q", got, want)
	}
}
