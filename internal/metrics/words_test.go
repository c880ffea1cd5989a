package metrics

import (
	"slices"
	"strings"
	"testing"

	"tandem/internal/batch"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// What docs/metrics.md says of the values of a label is what the packages say that know them.
func TestLabelsAreDescribedInTheWordsOfOthers(t *testing.T) {
	words := map[string][]string{}
	for _, s := range replicate.States {
		words["state"] = append(words["state"], s.String())
	}
	for _, c := range replicate.Causes {
		words["cause"] = append(words["cause"], string(c))
	}
	for _, f := range []batch.Form{batch.FormStamp, batch.FormMerge, batch.FormRecode, batch.FormSplit} {
		words["form"] = append(words["form"], f.String())
	}
	for _, c := range []stream.Class{stream.Exact, stream.Clamped, stream.Ahead, stream.Unknown} {
		words["class"] = append(words["class"], c.String())
	}
	for label, values := range words {
		at := slices.IndexFunc(labelled, func(l [2]string) bool { return l[0] == label })
		for _, value := range values {
			if !strings.Contains(labelled[at][1], "`"+value+"`") {
				t.Errorf("nothing is said of %s=%q", label, value)
			}
		}
		if n := strings.Count(labelled[at][1], "`"); n != 2*len(values) {
			t.Errorf("%d values of %s are described, there are %d", n/2, label, len(values))
		}
	}
	if !slices.Contains(words["cause"], unnamed) {
		t.Errorf("no cause is %s", unnamed)
	}
}
