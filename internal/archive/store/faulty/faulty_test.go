package faulty

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"tandem/internal/archive/store"
)

func open(t *testing.T) *Store {
	t.Helper()
	inner, err := store.Open(t.Context(), "mem://", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Wrap(inner)
}

func put(s *Store, ctx context.Context, name, body string) error { //nolint:revive // the store is what is tested
	return s.Put(ctx, name, bytes.NewReader([]byte(body)))
}

// Each fault does what it says, as often as it says, and then the store is as before.
func TestFaults(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.Script(
		Fault{Op: Put, Skip: 1, Times: 2, Kind: store.Throttled},
		Fault{Op: Put, Name: "lost", Lost: true},
		Fault{Op: Delete, Kind: store.Retained, Until: time.Unix(1000, 0)},
		Fault{Op: List, Kind: store.Transient},
		Fault{Op: Stat, Kind: store.AccessDenied},
	)
	for i, want := range []store.Kind{store.Other, store.Throttled, store.Throttled, store.Other} {
		if err := put(s, ctx, string(rune('a'+i)), "body"); store.Classify(err) != want {
			t.Fatalf("put %d: %v, want %s", i, err, want)
		}
	}
	if err := put(s, ctx, "lost", "body"); store.Classify(err) != store.Transient || !errors.Is(err, ErrInjected) {
		t.Fatal(err)
	}
	if err := put(s, ctx, "lost", "other"); store.Classify(err) != store.Conflict {
		t.Fatalf("the put whose answer was lost did not happen: %v", err)
	}
	var e *store.Error
	if err := s.Delete(ctx, "a"); !errors.As(err, &e) || e.Kind != store.Retained || !e.Until.Equal(time.Unix(1000, 0)) {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(ctx, "d"); store.Classify(err) != store.AccessDenied {
		t.Fatal(err)
	}
	for want := range []int{0, 1} {
		n := 0
		for _, err := range s.List(ctx, "", "") {
			if want == 0 && store.Classify(err) != store.Transient || want == 1 && err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want+1 {
			t.Fatalf("list %d: %d items", want, n)
		}
	}
}

func TestBodies(t *testing.T) {
	s := open(t)
	if err := put(s, t.Context(), "name", "0123456789"); err != nil {
		t.Fatal(err)
	}
	pieces := 0
	tests := []struct {
		name  string
		fault Fault
		want  string
		kind  store.Kind
	}{
		{"a truncated object", Fault{Op: Get, Cut: 4}, "0123", store.Other},
		{"a body that breaks", Fault{Op: Get, Cut: 4, CutKind: store.Transient}, "0123", store.Transient},
		{"a slow body", Fault{Op: Get, Slow: func() { pieces++ }, Piece: 2}, "0123456789", store.Other},
	}
	for _, tt := range tests {
		s.Script(tt.fault)
		body, err := s.Get(t.Context(), "name", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if string(got) != tt.want || store.Classify(err) != tt.kind {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	if pieces < 5 {
		t.Errorf("a slow body came in %d pieces", pieces)
	}
}

// A store that is away answers nothing until the caller gives up.
func TestAway(t *testing.T) {
	s := open(t)
	s.Script(Fault{Times: -1, Wait: make(chan struct{})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := put(s, ctx, "a", "b"); store.Classify(err) != store.Canceled {
		t.Fatal(err)
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0] != "put a" {
		t.Fatal(calls)
	}
}
