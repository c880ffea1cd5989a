package bundle

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tandem/internal/stream"
)

// The name of an object sorts by time among those of its source, and is made of the header alone:
//
//	<prefix>/v1/<source>/bundles/2026/11/20/14/20261120T145902.123Z-<writer>-0000000007-0000000042.tdm
//
// The alias of the source is escaped as in a URL where it has other bytes than letters, digits, '_', '.' and '-', or begins with
// a '.'. Times are UTC.
const (
	nameFolder = "2006/01/02/15"
	nameTime   = "20060102T150405.000Z"
	nameSuffix = ".tdm"
	nameDigits = 10
)

// Name is the name of the object, in a store, that a bundle with this header has.
func Name(prefix string, h Header) string {
	at := h.CreatedAt.UTC()
	return fmt.Sprintf("%s%s%s-%s-%0*d-%0*d%s", Folder(prefix, h.Flow.Source), at.Format(nameFolder+"/"), at.Format(nameTime),
		h.Writer, nameDigits, h.Generation, nameDigits, h.Sequence, nameSuffix)
}

// Folder is what the names of all bundles of a source begin with, and of no other.
func Folder(prefix, source string) string {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return fmt.Sprintf("%sv%d/%s/bundles/", prefix, version, escape(source))
}

// ParseName takes a name apart. The header has the alias of the source, writer, generation, sequence and time; the rest only
// the object knows. Whatever Name did not make is an error.
func ParseName(prefix, name string) (Header, error) {
	h, ok := parseName(strings.Trim(prefix, "/"), name)
	if !ok || h.check() != nil || Name(prefix, h) != name {
		return Header{}, fmt.Errorf("parse name %q: it is not that of a bundle below %q", name, prefix)
	}
	return h, nil
}

func parseName(prefix, name string) (h Header, ok bool) {
	if prefix != "" {
		if name, ok = strings.CutPrefix(name, prefix+"/"); !ok {
			return h, false
		}
	}
	parts := strings.Split(name, "/")
	if len(parts) != 8 {
		return h, false
	}
	source, ok := unescape(parts[1])
	if !ok {
		return h, false
	}
	base, ok := strings.CutSuffix(parts[7], nameSuffix)
	tail := 2 * (1 + nameDigits)
	if !ok || len(base) < len(nameTime)+1+1+tail {
		return h, false
	}
	at, err := time.Parse(nameTime, base[:len(nameTime)])
	generation, err1 := strconv.ParseUint(base[len(base)-tail+1:len(base)-tail/2], 10, 63)
	sequence, err2 := strconv.ParseUint(base[len(base)-tail/2+1:], 10, 63)
	if err != nil || err1 != nil || err2 != nil {
		return h, false
	}
	return Header{
		Flow:       stream.Flow{Source: source},
		Writer:     base[len(nameTime)+1 : len(base)-tail],
		Generation: int64(generation),
		Sequence:   int64(sequence),
		CreatedAt:  at,
	}, true
}

// named says whether an object of this name may be the bundle of h, whatever the prefix is, and without one.
func named(name string, h Header) bool {
	own := Name("", h)
	return name == own || strings.HasSuffix(name, "/"+own)
}

func notPlain(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; notPlain(rune(c)) || c == '.' && i == 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+3 > len(s) {
				return "", false
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, i = byte(v), i+2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
