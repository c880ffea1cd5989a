package drill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tandem/internal/stream"
)

// maxReportBytes bounds the JSON form of a report.
const maxReportBytes = 16 << 20

// Errors of Decode that callers tell apart.
var (
	ErrNewer = errors.New("written by a newer version of Tandem; use that one")
	errOther = errors.New("not the report of a drill")
)

// Encode is the report as a file keeps it. It fills in Version and FlowName. An error means a figure that is no number.
func (r Report) Encode() ([]byte, error) {
	r.Version = ReportVersion
	if r.Flow != (stream.Flow{}) {
		r.FlowName = r.Flow.String()
	}
	r.Steps, r.Figures = append([]Step{}, r.Steps...), append([]Figure{}, r.Figures...)
	r.Findings, r.Remaining = append([]Finding{}, r.Findings...), append([]string{}, r.Remaining...)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads a report. Fields that it does not know are passed over; another version is an error.
func Decode(data []byte) (Report, error) {
	if len(data) > maxReportBytes {
		return Report{}, fmt.Errorf("%w: %d bytes are too long for one", errOther, len(data))
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		// A newer version may have fields of other types.
		var head struct {
			Version int `json:"version"`
		}
		if json.Unmarshal(data, &head) == nil && head.Version > ReportVersion {
			return Report{}, ErrNewer
		}
		return Report{}, fmt.Errorf("%w: %w", errOther, err)
	}
	source, target, named := strings.Cut(r.FlowName, "->")
	switch {
	case r.Version > ReportVersion:
		return Report{}, ErrNewer
	case r.Version != ReportVersion:
		return Report{}, fmt.Errorf("%w: it has no version", errOther)
	case !named || source == "" || target == "":
		return Report{}, fmt.Errorf("%w: its flow is %.50q", errOther, r.FlowName)
	case r.Kind != Failover && r.Kind != Archive:
		return Report{}, fmt.Errorf("%w: its kind is %.50q", errOther, r.Kind)
	}
	r.Flow = stream.Flow{Source: source, Target: target}
	return r, nil
}
