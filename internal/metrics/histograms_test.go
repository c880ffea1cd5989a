package metrics

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// exposed is a metric as who asks in this way gets it.
func exposed(t *testing.T, accept, name string) *dto.Metric {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(NewRegistry(options(busyTimes()), busy), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	decoder := expfmt.NewDecoder(w.Result().Body, expfmt.ResponseFormat(w.Result().Header))
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			t.Fatalf("no %s as %s", name, w.Result().Header.Get("Content-Type"))
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetName() == name {
			return f.GetMetric()[0]
		}
	}
}

func TestHistogramsForOldAndNew(t *testing.T) {
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	for name, want := range map[string]struct {
		count uint64
		sum   float64
	}{"tandem_ack_seconds": {2, 0.012}, "tandem_heartbeat_seconds": {1, 0.04}} {
		native := exposed(t, protobuf, name).GetHistogram()
		if native.GetSchema() != 3 || len(native.GetPositiveSpan()) == 0 { // 2^(2^-3) is the largest step that is not above 1.1
			t.Errorf("%s is not native: schema %d, spans %v", name, native.GetSchema(), native.GetPositiveSpan())
		}
		for form, h := range map[string]*dto.Histogram{"native": native, "old": exposed(t, "text/plain", name).GetHistogram()} {
			if h.GetSampleCount() != want.count || h.GetSampleSum() < want.sum*0.999 || h.GetSampleSum() > want.sum*1.001 {
				t.Errorf("%s, %s: %d, %f", name, form, h.GetSampleCount(), h.GetSampleSum())
			}
			if len(h.GetBucket()) < 16 {
				t.Errorf("%s, %s: %d buckets", name, form, len(h.GetBucket()))
			}
		}
	}
}

func TestTimesCostNothing(t *testing.T) {
	f := NewHistograms().ForFlow("A->B")
	f.Acked(5 * time.Millisecond) // the first of a bucket makes it
	f.Heartbeat(5 * time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() {
		f.Acked(5 * time.Millisecond)
		f.Heartbeat(5 * time.Millisecond)
		f.Committed(5 * time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestClocksThatDiffer(t *testing.T) {
	h := NewHistograms()
	h.ForFlow("A->B").Heartbeat(-time.Hour)
	families, err := at(t, options(h), Snapshot{}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "tandem_heartbeat_seconds") {
			if got := f.GetMetric()[0].GetHistogram(); got.GetSampleCount() != 1 || got.GetSampleSum() != 0 {
				t.Errorf("%d, %f", got.GetSampleCount(), got.GetSampleSum())
			}
		}
	}
}

func TestMeanOfCommits(t *testing.T) {
	var m means
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	if _, ok := m.mean(noon); ok {
		t.Error("a mean of nothing")
	}
	m.add(2*time.Second, second(1))
	m.add(4*time.Second, second(20))
	for _, c := range []struct {
		at   int
		want time.Duration
		ok   bool
	}{{25, 3 * time.Second, true}, {40, 3 * time.Second, true}, {75, 0, false}} {
		if got, ok := m.mean(second(c.at)); got != c.want || ok != c.ok {
			t.Errorf("at %d s: %v %t", c.at, got, ok)
		}
	}
	m.add(time.Second, second(80))
	m.add(3*time.Second, second(115))
	if got, _ := m.mean(second(116)); got != 2*time.Second {
		t.Errorf("%v over two samples", got)
	}
	if _, ok := m.mean(second(500)); ok {
		t.Error("a mean of long ago")
	}
}
