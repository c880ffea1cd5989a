package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeysAreMadeCheckedAndRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "archive.key")
	var first newKey
	if err := json.Unmarshal([]byte(must(t, 0, "", "keys", "new", path, "--json").out), &first); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	must(t, 1, "is there already", "keys", "new", path)

	s := newShelf(t)
	s.bundle(time.Now().Add(-72*time.Hour), []int32{0})
	must(t, 0, "not encrypted", "keys", "check", s.file)
	must(t, 1, "there is nothing to rotate", "keys", "rotate", s.file)
	s.encrypt(first.URL)
	s.bundle(time.Now().Add(-48*time.Hour), []int32{0})
	s.bundle(time.Now().Add(-47*time.Hour), []int32{0})

	before, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	var second newKey
	if err := json.Unmarshal([]byte(must(t, 0, "", "keys", "rotate", s.file, "--json").out), &second); err != nil {
		t.Fatal(err)
	}
	if want := "archive.encryption.key.url = " + second.URL + ", " + first.URL; second.Setting != want || !strings.HasPrefix(second.URL, first.URL+"-") {
		t.Errorf("%+v", second)
	}
	if after, err := os.ReadFile(s.file); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed: %v", err)
	}
	s.encrypt(second.URL, first.URL)
	s.bundle(time.Now().Add(-time.Hour), []int32{0})
	var c checked
	if err := json.Unmarshal([]byte(must(t, 0, "", "keys", "check", s.file, "--json").out), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Keys) != 3 || c.Keys[0].ID != "" || c.Keys[1].ID != first.ID || c.Keys[1].Bundles != 2 || c.Keys[1].Front || !c.Keys[2].Front || !c.Keys[2].Opens || len(c.Unused) > 0 {
		t.Errorf("%+v", c)
	}
	must(t, 0, "orders", "ls", s.file)
	must(t, 0, "event", "show", s.file, s.bundle(time.Now(), nil, created()))

	s.configure("A->B.archive.encryption.key.url = " + second.URL)
	must(t, 1, "1 key missing or wrong", "keys", "check", s.file)
	must(t, 1, "key", "ls", s.file)
	s.configure()
	must(t, 1, "2 keys missing or wrong", "keys", "check", s.file)
	third := filepath.Join(dir, "third")
	must(t, 0, "", "keys", "new", third)
	s.configure("A->B.archive.encryption.key.url = " + second.URL + ", " + first.URL + ", file://" + third)
	must(t, 0, "no bundle needs file://"+third, "keys", "check", s.file)
	if err := os.Chmod(third, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, 1, "chmod 600", "keys", "check", s.file)
	must(t, 2, "chmod 600", "ls", s.file)
}

func TestNextKey(t *testing.T) {
	at := time.Date(2026, 11, 20, 14, 5, 6, 0, time.UTC)
	for from, want := range map[string]string{
		"/k/a.key":                  "/k/a.key-20261120T140506Z",
		"/k/a.key-20251120T140506Z": "/k/a.key-20261120T140506Z",
		"/k/20251120T140506Z":       "/k/20251120T140506Z-20261120T140506Z",
	} {
		if got := nextKey(from, at); got != want {
			t.Errorf("%s: %s, not %s", from, got, want)
		}
	}
}
