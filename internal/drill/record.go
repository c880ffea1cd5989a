package drill

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"tandem/internal/stream"
)

// How the last failover drill of a flow ended is kept in mm2-tandem.A.internal on its target, one record for each kind of drill. Numbers
// are big-endian, STRING is INT16 byte length and UTF-8.
//
//	key    INT8    1    version
//	       INT8    'D'  kind
//	       STRING       kind of drill: failover
//	value  INT8    1    version
//	       JSON         kind, at (its end), seconds, passed, summary; together at most 4096 bytes with the version
const (
	outcomeVersion  = 1
	maxOutcomeBytes = 4 << 10
	maxKindBytes    = 100
)

// Outcome is how a drill ended, in short.
type Outcome struct {
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"` // its end
	Seconds float64   `json:"seconds"`
	Passed  bool      `json:"passed"`
	Summary string    `json:"summary"` // one line
}

var errOutcome = errors.New("not the outcome of a drill")

// Outcome is the report in short.
func (r Report) Outcome() Outcome {
	return Outcome{Kind: r.Kind, At: r.Ended.UTC(), Seconds: r.Ended.Sub(r.Started).Seconds(), Passed: r.Passed, Summary: r.Summary}
}

// Record is the outcome as the topic keeps it. A summary that is too long is cut.
func (o Outcome) Record() (key, value []byte) {
	key = binary.BigEndian.AppendUint16([]byte{stream.TandemVersion, stream.KindDrill}, uint16(len(o.Kind)))
	key = append(key, o.Kind...)
	for {
		text, err := json.Marshal(o)
		if err != nil {
			panic("drill: " + err.Error()) // a mistake of the caller: all but a duration that is no number has a JSON form
		}
		if value = append([]byte{outcomeVersion}, text...); len(value) <= maxOutcomeBytes {
			return key, value
		}
		o.Summary = shortened(o.Summary)
	}
}

// shortened is the first half of a text, and says that it goes on.
func shortened(s string) string {
	n := len(s) / 2
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if n < 8 {
		return ""
	}
	return s[:n] + "…"
}

// Load reads a record of the topic. The outcome of a record that is none is zero; that of a tombstone has its Kind only.
func Load(r stream.Record) (Outcome, error) {
	if len(r.Key) < 2 || r.Key[0] != stream.TandemVersion || r.Key[1] != stream.KindDrill {
		return Outcome{}, nil
	}
	if len(r.Key) < 4 {
		return Outcome{}, errOutcome
	}
	n := int(int16(binary.BigEndian.Uint16(r.Key[2:])))
	if n <= 0 || n > maxKindBytes || len(r.Key) != 4+n {
		return Outcome{}, errOutcome
	}
	kind := string(r.Key[4:])
	switch {
	case kind != Failover && kind != Archive:
		return Outcome{}, nil
	case r.Value == nil:
		return Outcome{Kind: kind}, nil
	case len(r.Value) < 1 || len(r.Value) > maxOutcomeBytes:
		return Outcome{}, fmt.Errorf("%w: %d bytes", errOutcome, len(r.Value))
	case r.Value[0] > outcomeVersion:
		return Outcome{}, ErrNewer
	case r.Value[0] != outcomeVersion:
		return Outcome{}, fmt.Errorf("%w: it has no version", errOutcome)
	}
	var o Outcome
	if err := json.Unmarshal(r.Value[1:], &o); err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", errOutcome, err)
	}
	if o.Kind != kind || o.At.IsZero() || o.Seconds < 0 {
		return Outcome{}, fmt.Errorf("%w: its key is of kind %.50q, its value of %.50q at %s", errOutcome, kind, o.Kind, o.At)
	}
	return o, nil
}
