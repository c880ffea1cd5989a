package reports

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tandem/internal/archive/bundle"
)

// The kinds.
const (
	Verify = "verify"
	Drill  = "drill"
)

// Version is that of the JSON form. Fields may be added within a version.
const Version = 1

// Report is how a verification or a drill came out.
//
// Its object is one JSON value, and nothing behind it:
//
//	{"version": 1, "kind": "verify", "source": "primary", "level": "chunk", "partial": false,
//	 "at": "2026-11-20T03:00:12.345Z", "seconds": 12.3, "passed": true, "summary": "...", "counts": {"bundles": 2}, "tandem": "1.0"}
type Report struct {
	Version int              `json:"version"` // Put sets it
	Kind    string           `json:"kind"`
	Source  string           `json:"source"`            // alias of the archived cluster
	Flow    string           `json:"flow,omitempty"`    // of a drill, as A->B
	Level   string           `json:"level,omitempty"`   // of a verification
	Partial bool             `json:"partial,omitempty"` // some topics or some time: it says nothing of the rest
	At      time.Time        `json:"at"`                // its end, to the millisecond
	Seconds float64          `json:"seconds"`
	Passed  bool             `json:"passed"`
	Summary string           `json:"summary"`          // one line, without names of topics, groups or principals
	Counts  map[string]int64 `json:"counts,omitempty"` // what was looked at, and what was found
	Tandem  string           `json:"tandem,omitempty"` // version of the program
}

const (
	sizeLimit    = 64 << 10 // bytes of an object
	summaryLimit = 1000     // bytes; what is longer is cut
	countsLimit  = 100
)

// ErrOdd is a report that cannot be used: it is damaged, stands under another name than its own, or is of a newer version.
var ErrOdd = errors.New("not a report that can be read")

// encode checks a report and writes it.
func encode(r Report) (name string, b []byte, err error) {
	r.Version, r.At = Version, r.At.UTC().Truncate(time.Millisecond)
	r.Summary = oneLine(r.Summary)
	if len(r.Counts) > countsLimit {
		return "", nil, fmt.Errorf("report of %s: %d counts, more than %d", r.Kind, len(r.Counts), countsLimit)
	}
	key, err := keyOf(r)
	if err != nil {
		return "", nil, err
	}
	if b, err = json.Marshal(r); err != nil {
		return "", nil, fmt.Errorf("report of %s: %w", r.Kind, err)
	}
	b = append(b, '\n')
	if len(b) > sizeLimit {
		return "", nil, fmt.Errorf("report of %s: %d bytes, more than %d", r.Kind, len(b), sizeLimit)
	}
	key.sum = sha256.Sum256(b)
	return key.name(), b, nil
}

// decode reads the object of a name.
func decode(name string, b []byte) (Report, error) {
	odd := func(format string, args ...any) (Report, error) {
		return Report{}, fmt.Errorf("read %s: %s: %w", name, fmt.Sprintf(format, args...), ErrOdd)
	}
	key, ok := parseName(name)
	if !ok {
		return odd("its name is none of a report")
	}
	if len(b) > sizeLimit {
		return odd("more than %d bytes", sizeLimit)
	}
	if sha256.Sum256(b) != key.sum {
		return odd("its SHA-256 is not that of its name")
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return odd("%v", err)
	}
	if version.Version != Version {
		return odd("version %d, this program knows %d", version.Version, Version)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return odd("%v", err)
	}
	own, err := keyOf(r)
	if own.sum = key.sum; err != nil || own.name() != name {
		return odd("it says something else than its name")
	}
	return r, nil
}

// oneLine cuts a summary to what a status page has room for.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) <= summaryLimit {
		return s
	}
	cut := summaryLimit - len("...")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// Folder is what the names of all reports of a source begin with.
func Folder(source string) string {
	return strings.TrimSuffix(bundle.Folder("", source), "bundles/") + "reports/"
}
