package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/store"
)

// What a bundle that cannot be opened held nobody knows: nothing is restored without it unless that is said.
func TestRestoreDoesNotPassOverBundles(t *testing.T) {
	s := newShelf(t)
	var names []string
	for range 3 {
		names = append(names, s.bundle(time.Now().Add(-time.Minute), []int32{0}))
	}
	s.onto()
	path := filepath.Join(s.dir, filepath.FromSlash(names[0]))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-20] ^= 1 // its trailer
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, 1, "! a bundle cannot be used: ", "restore", s.file, "--to", "B", "--yes")
	must(t, 0, "Restored 20 records", "restore", s.file, "--to", "B", "--yes", "--allow-holes")
}

func TestMomentBehindTheArchive(t *testing.T) {
	s := newShelf(t)
	s.bundle(time.Now().Add(-time.Minute), []int32{0})
	s.onto()
	later := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	must(t, 0, "- the moment lies behind the newest bundle of the archive", "restore", s.file, "--to", "B", "--dry-run", "--until", later)
}

// A store that is asked again says so, now and then; an error says what to do about it.
func TestTroubleOfTheStore(t *testing.T) {
	var said bytes.Buffer
	tell := retried(&said)
	for try := range 3 {
		tell(store.Retry{Err: &store.Error{Op: "list", Kind: store.Transient, Err: errors.New("connection refused")}, Try: try + 1})
	}
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "trying again for up to 2m0s: list: connection refused") {
		t.Errorf("said: %q", got)
	}
	for kind, words := range map[store.Kind]string{
		store.AccessDenied: "check the credentials", store.Settings: "check archive.url", store.Full: "free space", store.Transient: "",
	} {
		err := fmt.Errorf("list bundles: %w", &store.Error{Op: "list", Kind: kind, Err: errors.New("no")})
		if got := hint(err); !strings.Contains(got, words) || words == "" && got != "" {
			t.Errorf("%s: %q", kind, got)
		}
	}
	if got := hint(&store.Error{Op: "open", Kind: store.Settings, Err: errors.New("not a URL")}); got != "" {
		t.Errorf("a wrong URL says it itself: %q", got)
	}
}
