package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An archive is encrypted, its key rotated, and both kinds of bundles are read and restored. Without the old key, with bundles swapped, or
// with others' files in their place, it refuses, and says why.
func TestKeysAreRotated(t *testing.T) {
	a, b := clusters(t)
	const topic = "encrypted"
	a.create(topic, 1, 1, nil)
	dir, keysDir := t.TempDir(), t.TempDir()
	url := "file://" + dir
	plain := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) + "A->B.enabled = false\n"
	type made struct{ URL, ID, Setting string }
	ask := func(args ...string) (k made) {
		t.Helper()
		if err := json.Unmarshal([]byte(archiveSays(t, 0, "", append(args, "--json")...).stdout), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := ask("keys", "new", filepath.Join(keysDir, "key"))
	file := propertiesFile(t, plain+first.Setting+"\n")
	archive := func(setting, prefix string) {
		t.Helper()
		m := startMirror(t, plain+setting+"\n")
		a.write(topic, recent(prefix, 50))
		m.until("a point in the archive", func() error {
			r := runArchive(t, "mark", propertiesFile(t, plain+setting+"\n"), prefix)
			if r.status != 0 {
				return fmt.Errorf("%s%s", r.stdout, r.stderr)
			}
			return nil
		})
		m.stop()
	}
	archive(first.Setting, "with-the-first")
	second := ask("keys", "rotate", file)
	file = propertiesFile(t, plain+second.Setting+"\n")
	archive(second.Setting, "with-the-second")

	r := archiveSays(t, 0, first.ID, "keys", "check", file)
	if !strings.Contains(r.stdout, second.ID) || !strings.Contains(r.stdout, "(wraps)") {
		t.Error(r.stdout)
	}
	archiveSays(t, 0, "with-the-first", "ls", file)
	archiveSays(t, 0, "", "verify", file, "--level", "record")
	archiveSays(t, 0, "", "restore", file, "--to", "B", "--topics", topic, "--yes")
	if n := total(b.read(topic)); n != 100 {
		t.Errorf("%d records were restored", n)
	}

	alone := propertiesFile(t, plain+"archive.encryption.key.url = "+second.URL+"\n")
	archiveSays(t, 1, "1 key missing or wrong", "keys", "check", alone)
	archiveSays(t, 1, first.ID, "ls", alone)
	archiveSays(t, 1, "2 keys missing or wrong", "keys", "check", propertiesFile(t, plain))
	if err := os.Chmod(strings.TrimPrefix(first.URL, "file://"), 0o644); err != nil {
		t.Fatal(err)
	}
	archiveSays(t, 2, "chmod 600", "ls", file)
	if err := os.Chmod(strings.TrimPrefix(first.URL, "file://"), 0o600); err != nil {
		t.Fatal(err)
	}

	names := bundlesAt(t, url)
	one, two := filepath.Join(dir, filepath.FromSlash(names[0])), filepath.Join(dir, filepath.FromSlash(names[len(names)-1]))
	swap := one + "-aside"
	for _, move := range [][2]string{{one, swap}, {two, one}, {swap, two}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	archiveSays(t, 1, "stands under a name that is not its own", "ls", file)
}
