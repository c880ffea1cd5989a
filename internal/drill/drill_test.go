package drill

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tandem/internal/stream"
)

var night = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

func sample() Report {
	return Report{Version: ReportVersion, Kind: Failover, Flow: stream.Flow{Source: "A", Target: "B"}, FlowName: "A->B", Tandem: "1.0",
		Started: night, Ended: night.Add(12500 * time.Millisecond), Passed: true, Summary: "2 partitions, 200 records are the same",
		Steps:     []Step{{"translate", 1.5, true, "8 positions"}},
		Figures:   []Figure{{"records compared", 200, "records", ""}, {"RPO now", 0.25, "seconds", "largest"}},
		Findings:  []Finding{{false, "orders/0", "3 records were compacted away"}},
		Remaining: []string{}}
}

func TestReportComesBackFromJSON(t *testing.T) {
	want := sample()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nnot %+v", got, err, want)
	}
	empty := Report{Kind: Archive, Flow: want.Flow}
	data, err = empty.Encode()
	if err != nil || strings.Contains(string(data), "null") {
		t.Errorf("an empty list is not []: %s, %v", data, err)
	}
	if _, err := Decode(data); err != nil {
		t.Error(err)
	}
	empty.Figures = []Figure{{Value: math.NaN()}}
	if _, err := empty.Encode(); err == nil {
		t.Error("a figure that is no number was written")
	}
}

func TestReportsOfOthersAreRefused(t *testing.T) {
	good, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) []byte { return bytes.Replace(good, []byte(from), []byte(to), 1) }
	for what, c := range map[string]struct {
		data []byte
		want error
	}{
		"newer":                     {change(`"version": 1`, `"version": 2`), ErrNewer},
		"newer, with another shape": {[]byte(`{"version": 3, "steps": "none"}`), ErrNewer},
		"no version":                {change(`"version": 1`, `"version": 0`), errOther},
		"no flow":                   {change("A->B", "A to B"), errOther},
		"half a flow":               {change("A->B", "A->"), errOther},
		"another kind":              {change(`"failover"`, `"fire"`), errOther},
		"no report":                 {[]byte("<html>"), errOther},
		"nothing":                   {nil, errOther},
		"too long":                  {make([]byte, maxReportBytes+1), errOther},
	} {
		if _, err := Decode(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Decode(change(`"kind"`, `"added": 1, "kind"`)); err != nil {
		t.Errorf("a field that was added: %v", err)
	}
}

// The page loads nothing, and names from clusters stay text.
func TestPageIsInert(t *testing.T) {
	hostile := `</td><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`javascript:x`\u202e"
	r := sample()
	r.Flow = stream.Flow{Source: hostile, Target: hostile}
	r.Kind, r.Tandem, r.Summary, r.Passed = hostile, hostile, hostile, false
	r.Steps = []Step{{hostile, 1, false, hostile}}
	r.Figures = []Figure{{hostile, 1, hostile, hostile}}
	r.Findings = []Finding{{true, hostile, hostile}}
	r.Remaining = []string{hostile}
	page := string(Page(r))
	for _, bad := range []string{"<script", "<img", "http:", "https:", "url(", "@import", "src=", "href="} {
		if strings.Contains(strings.ReplaceAll(page, "src=x", ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;") || !strings.Contains(page, "FAILED") || !strings.Contains(page, "Left behind") {
		t.Error(page)
	}
	allowed := regexp.MustCompile(`^</?(html|head|meta|title|style|body|main|h1|h2|p|bdi|span|b|div|table|thead|tbody|tr|th|td|ul|li|code)\b|^<!doctype`)
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		if !allowed.MatchString(tag) || strings.Contains(tag, "onerror") {
			t.Errorf("tag %s", tag)
		}
	}
}

func TestPageOfAGoodDrill(t *testing.T) {
	page := string(Page(sample()))
	for _, want := range []string{"PASSED", "A-&gt;B", "2026-11-20 03:00:00 UTC", "12.5s", "200 records", "0.250 seconds", "3 records were compacted away", "1.50"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Left behind") || strings.Contains(page, "FAILED") {
		t.Error("the page of a good drill looks bad")
	}
}

func TestFiguresForPeople(t *testing.T) {
	for want, f := range map[string]Figure{
		"0 records": {Unit: "records"}, "1234 records": {Value: 1234, Unit: "records"}, "1\u202f234\u202f567 records": {Value: 1234567, Unit: "records"},
		"-12\u202f345 records": {Value: -12345, Unit: "records"},
		"0.125 seconds":        {Value: 0.125, Unit: "seconds"}, "90.5 seconds": {Value: 90.54, Unit: "seconds"}, "5 seconds": {Value: 5, Unit: "seconds"},
		"512 bytes": {Value: 512, Unit: "bytes"}, "1.5 KiB": {Value: 1536, Unit: "bytes"}, "2.0 GiB/s": {Value: 2 << 30, Unit: "bytes/s"},
		"?": {Value: math.Inf(1), Unit: "seconds"},
	} {
		if got := number(f); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	r := sample()
	r.Flow = stream.Flow{Source: "../a", Target: "b/c"}
	dir := filepath.Join(t.TempDir(), "new", "reports")
	for range 2 { // again over itself
		jsonPath, htmlPath, err := Write(dir, r)
		if err != nil || filepath.Base(jsonPath) != "drill-failover-.._a-b_c-20261120T030000Z.json" || filepath.Base(htmlPath) != "drill-failover-.._a-b_c-20261120T030000Z.html" {
			t.Fatal(jsonPath, htmlPath, err)
		}
		data, err := os.ReadFile(jsonPath)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(data); err != nil || got.Flow != r.Flow {
			t.Error(got.Flow, err)
		}
		if page, err := os.ReadFile(htmlPath); err != nil || !bytes.Equal(page, Page(r)) {
			t.Error("another page", err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Error(left, err)
	}
	if _, _, err := Write("/proc/nowhere", r); err == nil {
		t.Error("written to a directory that cannot be")
	}
}

func TestOutcomeBytes(t *testing.T) {
	o := sample().Outcome()
	key, value := o.Record()
	if want := "01440008" + hex.EncodeToString([]byte("failover")); hex.EncodeToString(key) != want {
		t.Errorf("key %x", key)
	}
	if want := "\x01" + `{"kind":"failover","at":"2026-11-20T03:00:12.5Z","seconds":12.5,"passed":true,"summary":"2 partitions, 200 records are the same"}`; string(value) != want {
		t.Errorf("value %q", value)
	}
	if got, err := Load(stream.Record{Key: key, Value: value}); err != nil || got != o {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Load(stream.Record{Key: key}); err != nil || got != (Outcome{Kind: Failover}) {
		t.Errorf("tombstone: %+v, %v", got, err)
	}
	o.Summary = strings.Repeat("größer ", 10_000)
	key, value = o.Record()
	got, err := Load(stream.Record{Key: key, Value: value})
	if err != nil || len(value) > maxOutcomeBytes || len(got.Summary) < 1000 || !utf8.ValidString(got.Summary) {
		t.Errorf("a long summary: %d bytes, %v", len(value), err)
	}
}

func TestRecordsThatAreNoOutcomes(t *testing.T) {
	key, value := sample().Outcome().Record()
	change := func(from, to string) []byte { return bytes.Replace(value, []byte(from), []byte(to), 1) }
	for what, c := range map[string]struct {
		r    stream.Record
		want error
	}{
		"of another kind":      {stream.Record{Key: []byte{1, 'G', 0}, Value: value}, nil},
		"of a newer key":       {stream.Record{Key: append([]byte{2}, key[1:]...), Value: value}, nil},
		"short":                {stream.Record{Key: []byte{1}}, nil},
		"of another drill":     {stream.Record{Key: []byte("\x01D\x00\x04fire"), Value: []byte("?")}, nil},
		"a cut key":            {stream.Record{Key: key[:6], Value: value}, errOutcome},
		"a longer key":         {stream.Record{Key: append(bytes.Clone(key), 0), Value: value}, errOutcome},
		"a newer value":        {stream.Record{Key: key, Value: append([]byte{2}, value[1:]...)}, ErrNewer},
		"no version":           {stream.Record{Key: key, Value: append([]byte{0}, value[1:]...)}, errOutcome},
		"empty":                {stream.Record{Key: key, Value: []byte{}}, errOutcome},
		"too long":             {stream.Record{Key: key, Value: make([]byte, maxOutcomeBytes+1)}, errOutcome},
		"no JSON":              {stream.Record{Key: key, Value: []byte("\x01{")}, errOutcome},
		"of another key":       {stream.Record{Key: key, Value: change(`"failover"`, `"archive"`)}, errOutcome},
		"without a time":       {stream.Record{Key: key, Value: change(`"at"`, `"then"`)}, errOutcome},
		"longer ago than ever": {stream.Record{Key: key, Value: change(`12.5,`, `-12.5,`)}, errOutcome},
	} {
		o, err := Load(c.r)
		if !errors.Is(err, c.want) || o != (Outcome{}) {
			t.Errorf("%s: %+v, %v", what, o, err)
		}
	}
}

// What is read is written again as the same bytes or shorter ones, and read as the same.
func FuzzLoad(f *testing.F) {
	key, value := sample().Outcome().Record()
	f.Add(key, value)
	f.Add(key, []byte(nil))
	f.Add([]byte("\x01D\x00\x07archive"), []byte("\x01{}"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		o, err := Load(stream.Record{Key: key, Value: value})
		if err != nil || o.Kind == "" || o.At.IsZero() {
			return
		}
		key2, value2 := o.Record()
		again, err := Load(stream.Record{Key: key2, Value: value2})
		if err != nil || !bytes.Equal(key2, key) || !again.At.Equal(o.At) {
			t.Fatalf("%q, %q became %q, %q: %+v, %v", key, value, key2, value2, again, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	data, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		Page(r)
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

func TestClaimBytes(t *testing.T) {
	c := Claim{ID: "20261120T030000Z-1a2b3c4d", By: "al@host", Since: night, Beat: 2}
	key, value := c.Record()
	if string(key) != "\x01D\x00\x1fclaim/"+c.ID || string(value) != "\x01"+`{"id":"20261120T030000Z-1a2b3c4d","by":"al@host","since":"2026-11-20T03:00:00Z","beat":2}` {
		t.Errorf("%q %q", key, value)
	}
	if got, err := LoadClaim(stream.Record{Key: key, Value: value}); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := LoadClaim(stream.Record{Key: key}); err != nil || got != (Claim{ID: c.ID}) {
		t.Errorf("tombstone: %+v, %v", got, err)
	}
	if o, err := Load(stream.Record{Key: key, Value: value}); err != nil || o != (Outcome{}) {
		t.Errorf("taken for an outcome: %+v, %v", o, err)
	}
	outcome, outcomeText := sample().Outcome().Record()
	for what, r := range map[string]stream.Record{"an outcome": {Key: outcome, Value: outcomeText}, "a group": {Key: []byte("\x01G\x00\x00")}, "nothing": {}} {
		if c, err := LoadClaim(r); err != nil || c != (Claim{}) {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
	for what, r := range map[string]stream.Record{
		"a longer key": {Key: append(bytes.Clone(key), 'x'), Value: value}, "no id": {Key: []byte("\x01D\x00\x06claim/"), Value: value},
		"newer": {Key: key, Value: []byte("\x02")}, "empty": {Key: key, Value: []byte{}}, "no JSON": {Key: key, Value: []byte("\x01x")},
		"another id": {Key: key, Value: []byte("\x01{}")}, "long": {Key: key, Value: make([]byte, maxOutcomeBytes+1)},
	} {
		if c, err := LoadClaim(r); err == nil || c != (Claim{}) {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
}

func FuzzLoadClaim(f *testing.F) {
	key, value := Claim{ID: "a", By: "b"}.Record()
	f.Add(key, value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := LoadClaim(stream.Record{Key: key, Value: value})
		if err != nil || c.ID == "" || c.Since.IsZero() {
			return
		}
		if key2, _ := c.Record(); !bytes.Equal(key2, key) {
			t.Fatalf("%q became %q", key, key2)
		}
	})
}

func TestDraw(t *testing.T) {
	var all []stream.Partition
	for topic, n := range map[string]int32{"a": 10, "b": 1, "c": 3} {
		for i := range n {
			all = append(all, stream.Partition{Topic: topic, Number: i})
		}
	}
	draw := func(seed uint64, most int) []stream.Partition {
		return Draw(rand.New(rand.NewPCG(seed, 0)), append(all, all[0]), most)
	}
	ever := map[stream.Partition]bool{}
	for seed := range uint64(200) {
		for most := range len(all) + 3 {
			drawn := draw(seed, most)
			topics := map[string]int{}
			seen := map[stream.Partition]bool{}
			for _, p := range drawn {
				topics[p.Topic]++
				seen[p], ever[p] = true, true
			}
			if want := min(most, len(all)); len(drawn) != want || len(seen) != want || len(topics) != min(3, most) {
				t.Fatalf("seed %d, %d: %v", seed, most, drawn)
			}
			if most == 5 && (topics["b"] != 1 || topics["a"] < 2 || topics["c"] < 2) {
				t.Fatalf("uneven: %v", drawn)
			}
			if !reflect.DeepEqual(drawn, draw(seed, most)) {
				t.Fatal("another draw of the same numbers")
			}
		}
	}
	if len(ever) != len(all) || len(Draw(rand.New(rand.NewPCG(1, 1)), nil, 5)) > 0 {
		t.Error(ever)
	}
}
