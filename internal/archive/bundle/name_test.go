package bundle

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

func TestNames(t *testing.T) {
	odd := header()
	odd.Flow.Source, odd.Writer = "../eu/west ü", "mirror-0.zone_1"
	for _, c := range []struct {
		prefix string
		h      Header
		want   string
	}{
		{"", header(), "v1/A/bundles/2026/11/20/12/20261120T120000.123Z-w1-0000000007-0000000042.tdm"},
		{"/kafka/dr/", header(), "kafka/dr/v1/A/bundles/2026/11/20/12/20261120T120000.123Z-w1-0000000007-0000000042.tdm"},
		{"p", odd, "p/v1/%2E.%2Feu%2Fwest%20%C3%BC/bundles/2026/11/20/12/20261120T120000.123Z-mirror-0.zone_1-0000000007-0000000042.tdm"},
	} {
		got := Name(c.prefix, c.h)
		if got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
		h, err := ParseName(c.prefix, got)
		want := c.h
		want.Flow.Target, want.ClusterID = "", ""
		if err != nil || h.String() != want.String() {
			t.Errorf("%s: %s, %v", got, h, err)
		}
		if !strings.HasPrefix(got, Folder(c.prefix, c.h.Flow.Source)) {
			t.Errorf("%s is not in %s", got, Folder(c.prefix, c.h.Flow.Source))
		}
	}
}

func TestOtherNames(t *testing.T) {
	good := Name("p", header())
	for _, name := range []string{
		"", "p", strings.TrimPrefix(good, "p/"), "q" + good, good + ".tmp", strings.Replace(good, "v1", "v2", 1),
		strings.Replace(good, "/12/", "/13/", 1), strings.Replace(good, "/A/", "/%41/", 1), strings.Replace(good, "/A/", "/%4/", 1),
		strings.Replace(good, "-w1-", "-w 1-", 1), strings.Replace(good, "-w1-", "--", 1), strings.Replace(good, "0000000007", "00000+0007", 1),
		strings.Replace(good, "20261120T", "20261320T", 1), strings.Replace(good, "/bundles/", "/index/", 1),
	} {
		if h, err := ParseName("p", name); err == nil {
			t.Errorf("%q: %s", name, h)
		}
	}
}

func TestNamesSortByTimeAndDiffer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []Header
	for range 2000 {
		all = append(all, Header{
			Flow: stream.Flow{Source: "A"}, Writer: []string{"a", "a-1", "a-1-0000000001", "b"}[rnd.IntN(4)],
			Generation: rnd.Int64N(12), Sequence: rnd.Int64N(12), CreatedAt: time.UnixMilli(1.7e12 + rnd.Int64N(100)*rnd.Int64N(1e9)),
		})
	}
	slices.SortFunc(all, func(a, b Header) int { return strings.Compare(Name("", a), Name("", b)) })
	for i, h := range all[1:] {
		before := all[i]
		if h.CreatedAt.Before(before.CreatedAt) {
			t.Errorf("%s comes before %s", Name("", before), Name("", h))
		}
		if Name("", h) == Name("", before) && (h.Writer != before.Writer || h.Generation != before.Generation || h.Sequence != before.Sequence) {
			t.Errorf("%s and %s have one name", before, h)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("p", Name("p", header()))
	f.Fuzz(func(t *testing.T, prefix, name string) {
		h, err := ParseName(prefix, name)
		if err == nil && (Name(prefix, h) != name || !named(name, h)) {
			t.Errorf("%q is parsed as %s, which is %q", name, h, Name(prefix, h))
		}
	})
}
