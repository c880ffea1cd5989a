package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/verify/sample"
)

// indexed writes an index object of all bundles, as docs/archive-format.md draws it.
func indexed(st *sample.Store) string {
	names := slices.DeleteFunc(st.Names(), func(n string) bool { return !strings.HasSuffix(n, ".tdm") })
	b := binary.AppendUvarint([]byte(indexMagic+"\x01"), uint64(len(names)))
	for _, n := range names {
		o := st.Object(n)
		footer := binary.BigEndian.Uint64(o[len(o)-leastBundle:])
		b = append(binary.AppendUvarint(b, uint64(len(n))), n...)
		b = binary.AppendUvarint(b, uint64(len(o)))
		b = append(binary.AppendUvarint(b, uint64(len(o)-int(footer))), o[footer:]...)
	}
	sum := sha256.Sum256(b)
	name := fmt.Sprintf("v1/A/index/2026/11/20/12-%x.tdx", sum)
	st.Set(name, append(b, sum[:]...))
	return name
}

func TestIndex(t *testing.T) {
	st := small(t, bundle.Options{})
	name := indexed(st)
	if r := verified(t, st, Options{Level: Footer}); len(r.Findings) > 0 || r.Indexes != 1 {
		t.Fatalf("%d index objects, %v", r.Indexes, r.Findings)
	}
	b := st.Object(name)
	step := 1
	if testing.Short() || raceDetector {
		step = 11
	}
	for i := 0; i < len(b); i += step {
		b[i] ^= 4
		r := verified(t, st, Options{Level: Footer})
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Object == name }) {
			t.Errorf("byte %d: %v", i, r.Findings)
		}
		b[i] ^= 4
	}
	for what, bytes := range map[string][]byte{"empty": {}, "cut": b[:len(b)-1], "longer": append(slices.Clone(b), 0)} {
		st.Set(name, bytes)
		if r := verified(t, st, Options{Level: Footer}); len(r.Findings) != 1 {
			t.Errorf("%s: %v", what, r.Findings)
		}
	}
	st.Set(name, b)
	st.Set("v1/A/index/2026/11/20/notes", []byte("?"))
	if r := verified(t, st, Options{Level: Footer}); len(r.Findings) != 1 {
		t.Errorf("a stranger: %v", r.Findings)
	}
}

// The last bundle of a writer that never wrote again is missed where an index names it.
func TestTheLastBundleOfAWriter(t *testing.T) {
	st := small(t, bundle.Options{})
	last := ""
	for _, n := range st.Names() {
		if strings.Contains(n, "w2-0000000000-0000000001") {
			last = n
		}
	}
	bytes := st.Object(last)
	st.Set(last, nil)
	if r := verified(t, st, Options{Level: Record}); len(r.Findings) > 0 {
		t.Errorf("nothing tells of it: %v", r.Findings)
	}
	st.Set(last, bytes)
	indexed(st)
	st.Set(last, nil)
	r := verified(t, st, Options{Level: Footer})
	if len(r.Findings) != 1 || r.Findings[0].Object != last || !strings.Contains(r.Findings[0].What, "the bundle is gone") {
		t.Errorf("%v", r.Findings)
	}
}

// An index that names the end of another bundle is found: it does not agree with the footers.
func TestAnIndexThatLies(t *testing.T) {
	st := small(t, bundle.Options{})
	other := sample.NewStore()
	w := sample.NewWriter(t, other, "w1", bundle.Options{})
	w.Event(bundle.TopicDeleted{Topic: sample.Topic("x")})
	w.Flush()
	name := indexed(other)
	st.Set(name, other.Object(name))
	if r := verified(t, st, Options{Level: Footer}); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "another end") {
		t.Errorf("%v", r.Findings)
	}
}
