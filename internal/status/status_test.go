package status

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scene is a source whose answers a test writes.
type scene struct {
	report  Report
	all     []Partition
	samples []Sample
	asked   atomic.Int64 // reports
}

func (s *scene) Report(context.Context) Report          { s.asked.Add(1); return s.report }
func (s *scene) Partitions(context.Context) []Partition { return s.all }
func (s *scene) Samples(context.Context) []Sample       { return s.samples }
func (s *scene) Settings() []Setting {
	return []Setting{{Flow: "A->B", Key: "topics", Value: "orders.*", From: "line 3"}}
}

// served is a server that runs for the length of the test.
type served struct {
	*Server
	t *testing.T
}

func serve(t *testing.T, s *scene, options Options) served {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "something"}, func() float64 { return 42 }))
	server, err := Listen("127.0.0.1:0", options, s, registry)
	if err != nil {
		t.Fatal(err)
	}
	server.Reload(func(_ context.Context, dry bool) (any, error) { return map[string]bool{"dry": dry}, nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return served{server, t}
}

// ask makes a request with headers given as name, value, ...; Host is one of them.
func (s served) ask(method, path string, headers ...string) (int, http.Header, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.Address()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

func (s served) get(path string) (int, string) {
	s.t.Helper()
	code, _, body := s.ask(http.MethodGet, path)
	return code, body
}

func TestReadiness(t *testing.T) {
	standing := Partition{Flow: "A->B", Source: "orders/1", State: "quarantined", Reason: "too large", Since: time.Unix(1700000000, 0), Lag: 12}
	many := make([]Partition, 1000)
	for name, c := range map[string]struct {
		report Report
		code   int
		says   []string
	}{
		"before a flow has started": {Report{Waiting: "flow A->B has not started"}, 503, []string{`"ready":false`, "A->B has not started", `"problems":[]`}},
		"everything moves": {Report{Ready: true, Flows: []Flow{{Partitions: map[string]int{"live": 3, "catching up": 2}}}}, 200,
			[]string{`"ready":true`, `"standing_still":[]`, `"partitions":5`}},
		"one stands still": {Report{Flows: []Flow{{Partitions: map[string]int{"live": 1, "quarantined": 1}, Standing: []Partition{standing}}}}, 503,
			[]string{`"ready":false`, `"orders/1"`, `"too large"`, `"lag_records":12`, `"partitions":2`, `"standing_still_total":1`}},
		"very many do":             {Report{Flows: []Flow{{Standing: many}, {Standing: many}}}, 503, []string{`"standing_still_total":2000`}},
		"nothing to replicate yet": {Report{Ready: true}, 200, []string{`"partitions":0`}},
		"the archive has failed, which leaves replication ready": {
			Report{Ready: true, Archives: []Archive{{Flow: "A->B", State: "failed", Age: 2.5, Behind: 3, Restorable: &Restorable{Objects: 7}}},
				Problems: []Problem{{Severity: Critical, Alert: "TandemArchiveDown", What: "the store does not answer"}}}, 200,
			[]string{`"state":"failed"`, `"behind_partitions":3`, "TandemArchiveDown", "the store does not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := serve(t, &scene{report: c.report}, Options{}).get("/readyz")
			if code != c.code {
				t.Errorf("status %d, want %d", code, c.code)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("not JSON: %s", body)
			}
			for _, want := range c.says {
				if !strings.Contains(body, want) {
					t.Errorf("%s lacks %s", body, want)
				}
			}
			if strings.Count(body, `"remote"`) > listedMax || strings.Contains(body, `"objects"`) {
				t.Errorf("more than a probe asks for: %.500s", body)
			}
		})
	}
}

func TestHealthMetricsAndPage(t *testing.T) {
	s := serve(t, &scene{}, Options{})
	if code, body := s.get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := s.get("/metrics"); code != 200 || !strings.Contains(body, "something 42") {
		t.Errorf("/metrics: %d %q", code, body)
	}
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/app.css": "text/css; charset=utf-8"} {
		code, header, body := s.ask(http.MethodGet, path)
		if code != 200 || header.Get("Content-Type") != kind || len(body) < 50 || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, code, header)
		}
		if code, _, body := s.ask(http.MethodHead, path); code != 200 || body != "" {
			t.Errorf("HEAD %s: %d %q", path, code, body)
		}
	}
	for _, path := range []string{"/nothing", "/assets/", "/assets/nothing.js", "/assets/..%2fserver.go", "/api/nothing"} {
		if code, _ := s.get(path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	for _, path := range []string{"/", "/healthz", "/api/status", "/api/partitions"} {
		if code, header, _ := s.ask(http.MethodGet, path); code != 200 || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, code, header)
		}
	}
	if code, _, _ := s.ask(http.MethodDelete, "/api/status"); code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", code)
	}
}

func TestATakenAddress(t *testing.T) {
	first := serve(t, &scene{}, Options{})
	if _, err := Listen(first.Address(), Options{}, &scene{}, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), first.Address()) {
		t.Errorf("error is %v", err)
	}
}

// TestStatusHasNoNull: whoever reads it can go through every list.
func TestStatusHasNoNull(t *testing.T) {
	code, body := serve(t, &scene{report: Report{Flows: []Flow{{Name: "A->B"}}}}, Options{}).get("/api/status")
	for _, key := range []string{"problems", "archives", "drills", "certificates", "members", "standing_still", "partitions"} {
		if !strings.Contains(body, `"`+key+`":[]`) && !strings.Contains(body, `"`+key+`":{}`) {
			t.Errorf("%d: %s is not empty in %s", code, key, body)
		}
	}
	if !strings.Contains(body, `"A->B"`) {
		t.Errorf("not readable: %s", body)
	}
}

// TestManyWhoAskCostAsOne: pages that look at the same moment share an answer.
func TestManyWhoAskCostAsOne(t *testing.T) {
	sc := &scene{report: Report{Ready: true}}
	s := serve(t, sc, Options{})
	began := time.Now()
	for range 50 {
		s.get("/readyz")
		s.get("/api/status")
	}
	if most := int64(time.Since(began)/freshFor) + 1; sc.asked.Load() > most {
		t.Errorf("the source was asked %d times, want at most %d", sc.asked.Load(), most)
	}
}

func TestPartitions(t *testing.T) {
	all := []Partition{
		{Flow: "A->B", Source: "orders/0", Remote: "A.orders/0", State: "live", Ready: true},
		{Flow: "A->B", Source: "orders/1", Remote: "A.orders/1", State: "catching up", Lag: 5, Ready: true},
		{Flow: "A->B", Source: "carts/0", Remote: "A.carts/0", State: "quarantined", Lag: 2},
		{Flow: "B->A", Source: "orders/0", Remote: "B.orders/0", State: "live", Ready: true},
	}
	s := serve(t, &scene{all: all}, Options{})
	for _, c := range []struct {
		query string
		total int
		shown string
	}{
		{"", 4, "A.carts/0 A.orders/1 A.orders/0 B.orders/0"},
		{"flow=B-%3EA", 1, "B.orders/0"},
		{"state=live", 2, "A.orders/0 B.orders/0"},
		{"state=standing+still", 1, "A.carts/0"},
		{"topic=ORD", 3, "A.orders/1 A.orders/0 B.orders/0"},
		{"topic=a.c", 1, "A.carts/0"},
		{"topic=none", 0, ""},
		{"limit=2", 4, "A.carts/0 A.orders/1"},
		{"limit=2&offset=3", 4, "B.orders/0"},
		{"offset=99", 4, ""},
		{"flow=&state=&topic=&limit=&offset=", 4, "A.carts/0 A.orders/1 A.orders/0 B.orders/0"},
	} {
		code, body := s.get("/api/partitions?" + c.query)
		var page partitionsPage
		if err := json.Unmarshal([]byte(body), &page); err != nil || code != 200 {
			t.Fatalf("%s: %d %s %v", c.query, code, body, err)
		}
		var shown []string
		for _, p := range page.Partitions {
			shown = append(shown, p.Remote)
		}
		if got := strings.Join(shown, " "); got != c.shown || page.Total != c.total || page.All != 4 {
			t.Errorf("%s: %d of %d: %s, want %d: %s", c.query, page.Total, page.All, got, c.total, c.shown)
		}
	}
	for _, wrong := range []string{"limit=0", "limit=1001", "limit=x", "offset=-1", "topics=x", "flow=%zz"} {
		if code, body := s.get("/api/partitions?" + wrong); code != 400 {
			t.Errorf("%s: %d %s", wrong, code, body)
		}
	}
}

// TestListsHaveAnEnd: a page of a process in which everything stands still is no larger than that of another.
func TestListsHaveAnEnd(t *testing.T) {
	flow := Flow{Name: "A->B", Standing: make([]Partition, 9000), Groups: &Groups{Listed: make([]Group, 9000)}}
	_, body := serve(t, &scene{report: Report{Flows: []Flow{flow, flow}}}, Options{}).get("/api/status")
	var report Report
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Flows {
		if len(f.Standing) != listedMax || f.Stands != 9000 || len(f.Groups.Listed) != listedMax {
			t.Errorf("%d of %d that stand still, %d groups", len(f.Standing), f.Stands, len(f.Groups.Listed))
		}
	}
}

func TestSettings(t *testing.T) {
	if code, body := serve(t, &scene{}, Options{}).get("/api/settings"); code != 200 || !strings.Contains(body, `{"flow":"A->B","key":"topics","value":"orders.*","from":"line 3"}`) {
		t.Errorf("%d %s", code, body)
	}
}
