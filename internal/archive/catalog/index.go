package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
)

// An index object has the ends of bundles of one hour, so that one request brings the footers of many. It is made of what the bundles
// hold, it is never needed, and it is never changed.
//
//	8 bytes   89 54 44 58 0D 0A 1A 0A   magic
//	INT8      1                         version
//	UVARINT   bundles, and for each, ascending by name:
//	  STRING  name of the object, without a prefix
//	  UVARINT size of the object
//	  BYTES   its last bytes: the footer as stored, and the trailer
//	32 bytes  SHA-256 of all bytes before
//
// Its name is made of the hour and of that SHA-256:
//
//	v1/<source>/index/2026/11/20/14-<SHA-256 in hex>.tdx
const (
	indexMagic   = "\x89TDX\r\n\x1a\n"
	indexVersion = 1
	indexSuffix  = ".tdx"
	indexHour    = "2006/01/02/15"

	indexFixed = len(indexMagic) + 1
	indexLimit = 96 << 20 // the largest footer fits
	indexParts = 16 << 20 // from this size on another object is begun

	leastTail    = 1 + 1 + 1 + trailerSize
	trailerSize  = 92 // see docs/archive-format.md
	headerLength = 10 // where a header says how long it is
)

// tail is the end of an object.
type tail struct {
	name  string
	size  int64
	bytes []byte // the last ones
}

// indexFolder is what the names of all index objects of a source begin with.
func indexFolder(source string) string {
	return strings.TrimSuffix(bundle.Folder("", source), "bundles/") + "index/"
}

func indexName(source string, hour time.Time, sum [sha256.Size]byte) string {
	return indexFolder(source) + hour.UTC().Format(indexHour) + "-" + hex.EncodeToString(sum[:]) + indexSuffix
}

// parseIndexName takes the name of an index object apart.
func parseIndexName(source, name string) (hour time.Time, sum [sha256.Size]byte, ok bool) {
	rest, ok := strings.CutPrefix(name, indexFolder(source))
	if !ok || len(rest) != len(indexHour)+1+2*sha256.Size+len(indexSuffix) {
		return hour, sum, false
	}
	hour, err := time.Parse(indexHour, rest[:len(indexHour)])
	if err != nil {
		return hour, sum, false
	}
	if _, err := hex.Decode(sum[:], []byte(rest[len(indexHour)+1:len(rest)-len(indexSuffix)])); err != nil {
		return hour, sum, false
	}
	return hour, sum, indexName(source, hour, sum) == name
}

// encodeIndex writes the tails, which are ascending by name. The last bytes are the SHA-256 of the rest.
func encodeIndex(all []tail) []byte {
	b := append([]byte(indexMagic), indexVersion)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, t := range all {
		b = binary.AppendUvarint(b, uint64(len(t.name)))
		b = append(b, t.name...)
		b = binary.AppendUvarint(b, uint64(t.size))
		b = binary.AppendUvarint(b, uint64(len(t.bytes)))
		b = append(b, t.bytes...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeIndex reads an index object. The tails alias its bytes.
func decodeIndex(b []byte) (all []tail, err error) {
	fail := func(what string) ([]tail, error) { return nil, fmt.Errorf("index: %s: %w", what, bundle.ErrCorrupt) }
	if len(b) < indexFixed+1+sha256.Size || string(b[:len(indexMagic)]) != indexMagic {
		return fail("no index")
	}
	sum := len(b) - sha256.Size
	if sha256.Sum256(b[:sum]) != [sha256.Size]byte(b[sum:]) {
		return fail("SHA-256 differs")
	}
	if v := b[indexFixed-1]; v != indexVersion {
		return nil, fmt.Errorf("index of version %d: %w", v, bundle.ErrNewer)
	}
	d := taker{b[indexFixed:sum], true}
	n := d.number()
	if n > int64(len(d.b)/leastTail) {
		return fail("more bundles than bytes")
	}
	all = make([]tail, 0, n)
	for range n {
		t := tail{name: string(d.take(d.number())), size: d.number(), bytes: d.take(d.number())}
		if len(t.bytes) < trailerSize || t.size < int64(len(t.bytes)) {
			return fail("a tail that is none")
		}
		if i := len(all); i > 0 && all[i-1].name >= t.name {
			return fail("bundles in disorder")
		}
		all = append(all, t)
	}
	if !d.ok || len(d.b) > 0 {
		return fail("bytes missing or left over")
	}
	return all, nil
}

// taker takes bytes from the front. What is not there is empty, and ok is false from then on.
type taker struct {
	b  []byte
	ok bool
}

func (t *taker) number() int64 {
	v, n := binary.Uvarint(t.b)
	if n <= 0 || v > math.MaxInt64 {
		t.b, t.ok = nil, false
		return 0
	}
	t.b = t.b[n:]
	return int64(v)
}

func (t *taker) take(n int64) []byte {
	if n > int64(len(t.b)) {
		t.b, t.ok = nil, false
		return nil
	}
	v := t.b[:n:n]
	t.b = t.b[n:]
	return v
}

// ReadAt stands for the object as far as bundle.Open looks at it: the tail, the header in front, which stands in the tail once more, and
// zeros for the chunks. Nobody may read a chunk from it.
func (t tail) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(min(int64(len(p)), t.size-off), 0))
	clear(p[:n])
	at := t.size - int64(len(t.bytes))
	overlay(p[:n], off, t.header(), 0)
	overlay(p[:n], off, t.bytes, at)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// header is the header at the beginning of the footer, if it is one.
func (t tail) header() []byte {
	if len(t.bytes) < headerLength+4 {
		return nil
	}
	n := int64(binary.BigEndian.Uint32(t.bytes[headerLength:]))
	return t.bytes[:min(n, int64(len(t.bytes)-trailerSize))]
}

// overlay copies what of b, which stands at an offset, falls into p.
func overlay(p []byte, off int64, b []byte, at int64) {
	if at < off {
		b = b[min(off-at, int64(len(b))):]
		at = off
	}
	if at-off < int64(len(p)) {
		copy(p[at-off:], b)
	}
}

// hourOf is the hour in which a bundle was begun, as names have it.
func hourOf(o *Object) time.Time { return o.Header.CreatedAt.UTC().Truncate(time.Hour) }

// belongs says whether a name may stand in an index of this hour.
func belongs(name, source string, hour time.Time) bool {
	return path.Dir(name) == bundle.Folder("", source)+hour.UTC().Format(indexHour)
}
