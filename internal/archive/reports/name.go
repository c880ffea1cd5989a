package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
)

// The name of a report sorts the newest of its class first:
//
//	v1/<source>/reports/<kind>/<class>/<countdown>-<yyyymmdd>T<hhmmss>.<mmm>Z-<SHA-256 of the object in hex>.json
//
// countdown has 13 digits: 9999999999999 less the milliseconds since 1970 of the time that follows. The class of a verification is
// its level, with "-part" behind it where it did not look at all of the archive; that of a drill is the alias of the target, with the
// escapes that <source> has.
const (
	countdownFrom   = 9999999999999
	countdownDigits = 13
	nameTime        = "20060102T150405.000Z"
	nameSuffix      = ".json"
	partSuffix      = "-part"
)

// key is what a name says.
type key struct {
	folder string // of the source
	kind   string
	class  string
	at     int64 // milliseconds since 1970
	sum    [sha256.Size]byte
}

// keyOf is that of a report, but for its sum.
func keyOf(r Report) (key, error) {
	k := key{folder: Folder(r.Source), kind: r.Kind, at: r.At.UnixMilli()}
	if r.Source == "" {
		return k, fmt.Errorf("report of %s: of no source", r.Kind)
	}
	if k.at <= 0 || k.at >= countdownFrom || !r.At.Equal(r.At.Truncate(time.Millisecond)) {
		return k, fmt.Errorf("report of %s: its time is %s", r.Kind, r.At)
	}
	switch r.Kind {
	case Verify:
		if !plain(r.Level) {
			return k, fmt.Errorf("report of %s: level %q", r.Kind, r.Level)
		}
		if k.class = r.Level; r.Partial {
			k.class += partSuffix
		}
	case Drill:
		source, target, ok := strings.Cut(r.Flow, "->")
		if !ok || source != r.Source || target == "" {
			return k, fmt.Errorf("report of %s: flow %q of source %s", r.Kind, r.Flow, r.Source)
		}
		k.class = escaped(target)
	default:
		return k, fmt.Errorf("report of kind %q: it is verify or drill", r.Kind)
	}
	return k, nil
}

// plain is a word of small letters.
func plain(s string) bool {
	return s != "" && len(s) <= 32 && strings.IndexFunc(s, func(r rune) bool { return r < 'a' || r > 'z' }) < 0
}

// escaped is an alias as names of bundles have it.
func escaped(alias string) string {
	folder := bundle.Folder("", alias)
	return strings.TrimSuffix(folder[strings.IndexByte(folder, '/')+1:], "/bundles/")
}

func (k key) name() string {
	return fmt.Sprintf("%s%s/%s/%0*d-%s-%s%s", k.folder, k.kind, k.class, countdownDigits, countdownFrom-k.at,
		time.UnixMilli(k.at).UTC().Format(nameTime), hex.EncodeToString(k.sum[:]), nameSuffix)
}

// parseName takes a name apart. Whatever name did not make is none.
func parseName(name string) (k key, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 6 || parts[2] != "reports" {
		return k, false
	}
	k.folder, k.kind, k.class = strings.Join(parts[:3], "/")+"/", parts[3], parts[4]
	const length = countdownDigits + 1 + len(nameTime) + 1 + 2*sha256.Size + len(nameSuffix)
	base := parts[5]
	if len(base) != length {
		return k, false
	}
	left, err := strconv.ParseUint(base[:countdownDigits], 10, 63)
	if err != nil || left >= countdownFrom {
		return k, false
	}
	k.at = countdownFrom - int64(left)
	if _, err := hex.Decode(k.sum[:], []byte(base[length-len(nameSuffix)-2*sha256.Size:length-len(nameSuffix)])); err != nil {
		return k, false
	}
	return k, k.name() == name
}
