package failover

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A plan file is JSON (RFC 8259): the fields of Plan in their order, one a line, and each partition, position and divergence
// on a line of its own. The checksum is the SHA-256 of the same text with an empty checksum.

// maxPlanBytes bounds a plan file: half a million positions.
const maxPlanBytes = 256 << 20

// Errors of Decode that callers tell apart.
var (
	ErrChanged = errors.New("the plan was changed after it was made; make a new one")
	errNewer   = errors.New("written by a newer failover; use that one")
)

// seal fills in the checksum.
func (p *Plan) seal() {
	p.Checksum = ""
	sum := sha256.Sum256(encode(*p))
	p.Checksum = hex.EncodeToString(sum[:])
}

// Encode is the plan as a file keeps it.
func (p Plan) Encode() []byte { return encode(p) }

// Decode reads a plan file and makes sure that nobody has changed it.
func Decode(data []byte) (Plan, error) {
	var head struct {
		Version int `json:"version"`
	}
	var p Plan
	if len(data) > maxPlanBytes {
		return p, fmt.Errorf("%d bytes are too long for a plan", len(data))
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return p, fmt.Errorf("not a plan: %w", err)
	}
	switch {
	case head.Version > PlanVersion:
		return p, errNewer
	case head.Version != PlanVersion:
		return p, errors.New("not a plan: it has no version")
	}
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%w (%w)", ErrChanged, err)
	}
	sealed := p
	sealed.seal()
	if sealed.Checksum != p.Checksum {
		return Plan{}, ErrChanged
	}
	return p, nil
}

// encode writes lists one element a line, which json.MarshalIndent would spread over a dozen.
func encode(p Plan) []byte {
	var b bytes.Buffer
	head := p
	head.Divergence, head.Partitions, head.Groups = nil, nil, nil
	text := strings.TrimSuffix(string(indented(head)), "\n}")
	// Partitions and groups are the last fields, and null in the head.
	text = strings.TrimSuffix(text, ",\n  \"partitions\": null,\n  \"groups\": null")
	b.WriteString(text)
	if len(p.Divergence) > 0 {
		list(&b, ",\n  \"divergence\": [", p.Divergence, "    ")
		b.WriteString("\n  ]")
	}
	list(&b, ",\n  \"partitions\": [", p.Partitions, "    ")
	b.WriteString("\n  ],\n  \"groups\": [")
	for i, g := range p.Groups {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    {\"group\":%s,\"seen\":%s", compact(g.Group), compact(g.Seen))
		list(&b, ",\"positions\":[", g.Positions, "      ")
		b.WriteString("\n    ]}")
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes()
}

func list[T any](b *bytes.Buffer, name string, items []T, indent string) {
	b.WriteString(name)
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + indent)
		b.Write(compact(item))
	}
}

// compact is a value in one line. It leaves < and > as they are, for people.
func compact(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("failover: " + err.Error()) // a mistake in this package: all its values have a JSON form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func indented(v any) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, compact(v), "", "  ") // compact gives valid JSON
	return b.Bytes()
}
