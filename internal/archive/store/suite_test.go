package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	s3kit "tandem/internal/testkit/s3"
)

// Every store passes the same tests.
func TestStores(t *testing.T) {
	t.Run("mem", func(t *testing.T) {
		suite(t, func(t *testing.T, o Options) Store { return opened(t, "mem://", o) })
	})
	t.Run("file", func(t *testing.T) {
		suite(t, func(t *testing.T, o Options) Store { return opened(t, "file://"+t.TempDir(), o) })
	})
	t.Run("s3", func(t *testing.T) {
		server := s3kit.Start(t)
		n := 0
		suite(t, func(t *testing.T, o Options) Store {
			n++
			bucket := fmt.Sprintf("bucket-%d", n)
			server.Bucket(t, bucket, false)
			return opened(t, s3kit.URL(server.Endpoint(), bucket, "some/prefix"), o)
		})
	})
	// Each third request fails in a way that passes: nothing of it is seen above.
	t.Run("s3 behind a bad network", func(t *testing.T) {
		server := s3kit.Start(t)
		proxy := server.NewProxy(t)
		proxy.Script(badNetwork())
		n := 0
		suite(t, func(t *testing.T, o Options) Store {
			n++
			bucket := fmt.Sprintf("bucket-%d", n)
			server.Bucket(t, bucket, false)
			o.Patience = time.Hour
			return opened(t, s3kit.URL(proxy.URL, bucket, ""), o)
		})
	})
}

func opened(t *testing.T, url string, o Options) Store {
	t.Helper()
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func suite(t *testing.T, open func(t *testing.T, o Options) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"put":    testPut,
		"get":    testGet,
		"list":   testList,
		"delete": testDelete,
		"absent": testAbsent,
		"race":   testRace,
		"large":  testLarge,
		"probe":  testProbe,
		"names":  testNames,
		"pages":  testPages,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, Options{})) })
	}
}

func put(ctx context.Context, s Store, name, content string) error {
	return s.Put(ctx, name, strings.NewReader(content))
}

func mustPut(t *testing.T, s Store, name, content string) {
	t.Helper()
	if err := put(t.Context(), s, name, content); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, s Store, name string, offset, length int64) (string, error) {
	body, err := s.Get(ctx, name, offset, length)
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), err
}

func wantKind(t *testing.T, err error, want Kind, words ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("got %v (%s), want %s", err, Classify(err), want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%v: does not say %q", err, word)
		}
	}
}

func names(t *testing.T, s Store, prefix, after string) []string {
	t.Helper()
	var all []string
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info.Name)
	}
	return all
}

// The first put writes; the same again is success; another content, of the same length too, is a conflict and changes nothing.
func testPut(t *testing.T, s Store) {
	mustPut(t, s, "a/b", "content")
	mustPut(t, s, "a/b", "content")
	for _, other := range []string{"CONTENT", "content and more", ""} {
		wantKind(t, put(t.Context(), s, "a/b", other), Conflict, "put a/b", "other bytes")
	}
	if got, err := read(t.Context(), s, "a/b", 0, -1); err != nil || got != "content" {
		t.Fatalf("%q, %v", got, err)
	}
	mustPut(t, s, "empty", "")
	mustPut(t, s, "empty", "")
	wantKind(t, put(t.Context(), s, "empty", "x"), Conflict)
}

func testGet(t *testing.T, s Store) {
	const content = "0123456789"
	mustPut(t, s, "digits", content)
	for offset := range int64(10) {
		for length := range 10 - offset + 1 {
			got, err := read(t.Context(), s, "digits", offset, length)
			if err != nil || got != content[offset:offset+length] {
				t.Fatalf("%d bytes at %d: %q, %v", length, offset, got, err)
			}
		}
		if got, err := read(t.Context(), s, "digits", offset, -1); err != nil || got != content[offset:] {
			t.Fatalf("from %d: %q, %v", offset, got, err)
		}
	}
	for _, r := range [][2]int64{{0, 11}, {9, 2}, {10, 1}, {10, -1}, {1 << 40, 1}} {
		_, err := read(t.Context(), s, "digits", r[0], r[1])
		wantKind(t, err, Short)
	}
	mustPut(t, s, "empty", "")
	if got, err := read(t.Context(), s, "empty", 0, -1); err != nil || got != "" {
		t.Fatalf("%q, %v", got, err)
	}
	info, err := s.Stat(t.Context(), "digits")
	if err != nil || info.Size != 10 || info.Name != "digits" || time.Since(info.Modified).Abs() > time.Hour || info.Held || !info.Retained.IsZero() {
		t.Fatalf("%+v, %v", info, err)
	}
	r, size, err := ReaderAt(t.Context(), s, "digits")
	if err != nil || size != 10 {
		t.Fatal(size, err)
	}
	p := make([]byte, 4)
	if n, err := r.ReadAt(p, 8); n != 2 || !errors.Is(err, io.EOF) || string(p[:2]) != "89" {
		t.Fatal(n, err)
	}
	if n, err := r.ReadAt(p, 2); n != 4 || err != nil || string(p) != "2345" {
		t.Fatal(n, err)
	}
}

// What a list tells is what a sorted slice tells. The names have bytes on either side of the slash in order.
func testList(t *testing.T, s Store) {
	if got := names(t, s, "", ""); len(got) != 0 {
		t.Fatal(got)
	}
	all := []string{"v1/a/x", "v1/a/y", "v1/a-b/x", "v1/a.b/x", "v1/a0/x", "v1/b", "v1/b1", "v2/z", "w"}
	for _, i := range rand.Perm(len(all)) {
		mustPut(t, s, all[i], all[i])
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "v1/", "v1/a", "v1/a/", "v1/a/x", "v2", "none"} {
		for _, after := range append([]string{"", "v1/a", "v1/a/x", "v1/a/xx", "v9", "zz"}, all...) {
			var want []string
			for _, name := range all {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			if got := names(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("prefix %q after %q: %v, want %v", prefix, after, got, want)
			}
		}
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Size != int64(len(info.Name)) || info.Modified.IsZero() {
			t.Fatalf("%+v, %v", info, err)
		}
		break // a list may be left
	}
}

func testDelete(t *testing.T, s Store) {
	mustPut(t, s, "a/b/c", "content")
	mustPut(t, s, "a/d", "content")
	for range 2 {
		if err := s.Delete(t.Context(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, s, "", ""); !slices.Equal(got, []string{"a/d"}) {
		t.Fatal(got)
	}
	mustPut(t, s, "a/b/c", "another")
}

func testAbsent(t *testing.T, s Store) {
	_, err := s.Stat(t.Context(), "a/b")
	wantKind(t, err, NotFound, "stat a/b")
	_, err = s.Get(t.Context(), "a/b", 0, -1)
	wantKind(t, err, NotFound, "get a/b")
	_, err = s.Get(t.Context(), "a/b", 3, 4)
	wantKind(t, err, NotFound)
	mustPut(t, s, "a/b/c", "x")
	_, err = s.Stat(t.Context(), "a/b")
	wantKind(t, err, NotFound)
}

// Of many writers of one name, each with its own content, one wins and all others are told; the object is the winner's.
func testRace(t *testing.T, s Store) {
	for round := range 5 {
		name := fmt.Sprintf("race/%d", round)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				content := strings.Repeat(fmt.Sprint(i), 10_000)
				switch err := put(t.Context(), s, name, content); {
				case err == nil:
					won.Add(1)
					winner.Store(content)
				case Classify(err) != Conflict:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := read(t.Context(), s, name, 0, -1)
		if err != nil || won.Load() != 1 || got != winner.Load() {
			t.Fatalf("%d won; %d bytes, %v", won.Load(), len(got), err)
		}
	}
}

func testLarge(t *testing.T, s Store) {
	content := make([]byte, 9<<20+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	for range 2 {
		if err := s.Put(t.Context(), "large", bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	content[len(content)-1]++
	err := s.Put(t.Context(), "large", bytes.NewReader(content))
	wantKind(t, err, Conflict)
	content[len(content)-1]--
	got, err := read(t.Context(), s, "large", 1, -1)
	if err != nil || got != string(content[1:]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func testProbe(t *testing.T, s Store) {
	for range 2 {
		if err := Probe(t.Context(), s, "probe/x"); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, s, "", ""); len(got) != 0 {
		t.Fatal(got)
	}
}

func testNames(t *testing.T, s Store) {
	for _, name := range []string{"", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a b", "ä", "a\x00", `a\b`, strings.Repeat("a", 1025)} {
		if err := put(t.Context(), s, name, "x"); err == nil {
			t.Errorf("%q was written", name)
		}
		if _, err := s.Stat(t.Context(), name); err == nil || Classify(err) == NotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
	odd := "names/a%20b%2Fc/x+y=z_1.2-3" // as of an alias that has to be escaped
	if err := put(t.Context(), s, odd, "x"); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), odd); err != nil || info.Size != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	if got := names(t, s, "names/a%20", ""); !slices.Equal(got, []string{odd}) {
		t.Errorf("listed %q", got)
	}
}

// More names than a page holds, each of them once.
func testPages(t *testing.T, s Store) {
	var want []string
	for i := range pageSize + 50 {
		want = append(want, fmt.Sprintf("v1/%02d/%04d", i%7, i))
	}
	var wg sync.WaitGroup
	for part := range slices.Chunk(want, 150) {
		wg.Go(func() {
			for _, name := range part {
				if err := put(t.Context(), s, name, "x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	if got := names(t, s, "v1/", ""); !slices.Equal(got, want) {
		t.Fatalf("%d names, want %d", len(got), len(want))
	}
	if got := names(t, s, "v1/", want[10]); !slices.Equal(got, want[11:]) {
		t.Fatalf("%d names after the eleventh, want %d", len(got), len(want)-11)
	}
}
