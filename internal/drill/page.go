package drill

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"

	"tandem/internal/stream"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("drill").Funcs(template.FuncMap{
	"value":   number,
	"seconds": func(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) },
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(pageSource))

// Page is the report as one HTML page that needs nothing else: it can be mailed, printed and kept.
func Page(r Report) []byte {
	if r.Flow != (stream.Flow{}) {
		r.FlowName = r.Flow.String()
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, r); err != nil {
		panic("drill: " + err.Error()) // a mistake in the template
	}
	return b.Bytes()
}

// Took is how long the drill ran.
func (r Report) Took() time.Duration { return r.Ended.Sub(r.Started).Round(time.Millisecond) }

// number writes a figure for people: with thousands apart, and no more digits than say something.
func number(f Figure) string {
	v := f.Value
	if f.Unit == "bytes" || f.Unit == "bytes/s" {
		for _, unit := range []struct {
			size float64
			name string
		}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
			if v >= unit.size {
				return fmt.Sprintf("%.1f %s%s", v/unit.size, unit.name, f.Unit[len("bytes"):])
			}
		}
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "?"
	case v != math.Trunc(v) && math.Abs(v) < 10:
		text = strconv.FormatFloat(v, 'f', 3, 64)
	case v != math.Trunc(v):
		text = strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 10_000 && math.Abs(v) < 1e15:
		text = apart(int64(v))
	}
	return text + " " + f.Unit
}

// apart puts a thin space between thousands.
func apart(n int64) string {
	digits, sign := strconv.FormatInt(n, 10), ""
	if n < 0 {
		digits, sign = digits[1:], "-"
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "\u202f" + digits[at:]
	}
	return sign + digits
}
