package status

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestHistoryAgainstAList: the ring tells what a list that forgets nothing would, of the last half hour.
func TestHistoryAgainstAList(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	var h history
	var list []TimedSample
	at := time.Unix(1_800_000_000, 0)
	for i := range 5 * ringLength {
		at = at.Add(sampleEvery)
		if random.IntN(20) == 0 {
			at = at.Add(time.Duration(random.IntN(int(keptFor / 2)))) // a process that was held up
		}
		h.note(at, []Sample{{Flow: "A->B", Records: int64(i), LagRecords: random.Int64N(9)}, {Flow: "other"}})
		list = append(list, TimedSample{At: at, Records: int64(i)})
		if random.IntN(100) != 0 {
			continue
		}
		after := at.Add(-time.Duration(random.IntN(int(2 * keptFor))))
		want := slices.DeleteFunc(slices.Clone(list), func(s TimedSample) bool { return !s.At.After(after) || s.At.Before(at.Add(-keptFor)) })
		if len(want) > ringLength { // the length of the ring is what counts at the edge
			want = want[len(want)-ringLength:]
		}
		got := h.of("A->B", after)
		if !slices.EqualFunc(got, want, func(a, b TimedSample) bool { return a.At.Equal(b.At) && a.Records == b.Records }) {
			t.Fatalf("after %d: %d samples, want %d", i, len(got), len(want))
		}
	}
	if got := h.of("nobody", time.Time{}); got == nil || len(got) != 0 {
		t.Errorf("a flow that is not known: %v", got)
	}
}

// TestHistoryIsBounded: whatever names come.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	at := time.Unix(1_800_000_000, 0)
	for i := range ringsMax + 50 {
		h.note(at, []Sample{{Flow: string(rune('a' + i))}})
	}
	if len(h.rings) != ringsMax {
		t.Errorf("%d rings", len(h.rings))
	}
	h.note(at.Add(keptFor+time.Second), []Sample{{Flow: "a"}})
	if len(h.rings) != 1 {
		t.Errorf("%d rings are kept of flows that are gone", len(h.rings))
	}
}

func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{source: &scene{samples: []Sample{{Flow: "A->B", LagRecords: 3, LagSeconds: 1.5, RPORecords: 4, RPOSeconds: 2, Records: 9, Bytes: 90}}}}
		ended := make(chan struct{})
		go func() { s.sample(t.Context()); close(ended) }()
		time.Sleep(5 * sampleEvery / 2) //nolint:forbidigo // the clock of the bubble
		got := s.history.of("A->B", time.Time{})
		if len(got) != 3 {
			t.Fatalf("%d samples", len(got))
		}
		encoded, err := json.Marshal(got[1])
		want := `{"at":"` + got[1].At.Format(time.RFC3339Nano) + `","lag_records":3,"lag_seconds":1.5,"rpo_records":4,"rpo_seconds":2,"records":9,"bytes":90}`
		if err != nil || string(encoded) != want {
			t.Errorf("%s %v, want %s", encoded, err, want)
		}
	})
}

func TestHistoryOverHTTP(t *testing.T) {
	s := serve(t, &scene{}, Options{})
	at := time.Now().Add(-time.Minute)
	for i := range 3 {
		s.history.note(at.Add(time.Duration(i)*time.Second), []Sample{{Flow: "A->B", Records: int64(i)}})
	}
	for query, n := range map[string]int{
		"flow=A-%3EB": 3, "flow=A->B": 3, "flow=B": 0,
		"flow=A-%3EB&after=" + at.UTC().Format(time.RFC3339Nano): 2, "flow=A-%3EB&after=" + at.Add(time.Hour).UTC().Format(time.RFC3339): 0,
	} {
		code, body := s.get("/api/history?" + query)
		var list []TimedSample
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list) != n || list == nil {
			t.Errorf("%s: %d %s %v", query, code, body, err)
		}
	}
	for _, wrong := range []string{"", "flow=A&after=yesterday", "flow=A&since=1"} {
		if code, body := s.get("/api/history?" + wrong); code != 400 {
			t.Errorf("%s: %d %s", wrong, code, body)
		}
	}
}
