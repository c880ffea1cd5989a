package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
)

func TestArchiveTee(t *testing.T) {
	a, b := clusters(t)
	a.create("teed", 2, 1, nil)
	dir := t.TempDir()
	m := startMirror(t, fmt.Sprintf(oneBroker+quiet+`
clusters = A, B
A.bootstrap.servers = %s
B.bootstrap.servers = %s
A->B.enabled = true
topics = teed
archive.enabled = true
archive.url = file://%s
archive.flush.interval.ms = 500
`, a.Bootstrap, b.Bootstrap, dir))
	w := startWriter(a, "teed", 2)
	m.until("bundles", func() error {
		var found []string
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".tdm") {
				found = append(found, path)
			}
			return err
		})
		if err == nil && len(found) < 5 {
			err = fmt.Errorf("%d bundles", len(found))
		}
		if err != nil {
			return err
		}
		for _, path := range found {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			info, _ := f.Stat()
			r, err := bundle.Open(t.Context(), f, info.Size(), bundle.OpenOptions{})
			if err != nil {
				return err
			}
			foot := r.Footer()
			t.Log(foot.Header)
			for _, e := range foot.Events {
				t.Log(e)
			}
			for _, e := range foot.Chunks {
				t.Log(e)
			}
		}
		return nil
	})
	w.stop()
	<-w.done
	m.stop()
	for _, l := range m.lines("archiv") {
		t.Log(l.Text)
	}
}
