package status

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type scene struct {
	all     []Partition
	started bool
	waiting string
	teed    []Archive
}

func (s *scene) Partitions(context.Context) ([]Partition, bool, string) {
	return s.all, s.started, s.waiting
}

func (s *scene) Archives() []Archive { return s.teed }

func serve(t *testing.T, s *scene) (get func(path string) (int, string)) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "something"}, func() float64 { return 42 }))
	server, err := Listen("127.0.0.1:0", s, registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + server.Address() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

func TestReadiness(t *testing.T) {
	moving := Partition{Flow: "A->B", Source: "orders/0", State: "live", Ready: true}
	standing := Partition{Flow: "A->B", Source: "orders/1", State: "quarantined", Reason: "too large", Since: time.Unix(1700000000, 0), Lag: 12}
	for name, c := range map[string]struct {
		scene scene
		code  int
		says  []string
	}{
		"before a flow has started": {scene{waiting: "flow A->B has not started"}, 503, []string{`"ready":false`, "A->B has not started"}},
		"everything moves":          {scene{all: []Partition{moving}, started: true}, 200, []string{`"ready":true`, `"standing_still":[]`, `"partitions":1`}},
		"one stands still":          {scene{all: []Partition{moving, standing}, started: true}, 503, []string{`"ready":false`, `"orders/1"`, `"too large"`, `"lag_records":12`}},
		"nothing to replicate yet":  {scene{started: true}, 200, []string{`"partitions":0`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := serve(t, &c.scene)("/readyz")
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
			if c.code == 503 && strings.Contains(body, "orders/0") {
				t.Errorf("%s names a partition that moves", body)
			}
		})
	}
}

func TestHealthAndMetrics(t *testing.T) {
	get := serve(t, &scene{})
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "something 42") {
		t.Errorf("/metrics: %d %q", code, body)
	}
	if code, _ := get("/"); code != 404 {
		t.Errorf("/: %d", code)
	}
}

func TestListenOnATakenAddress(t *testing.T) {
	first, err := Listen("127.0.0.1:0", &scene{}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer first.listener.Close()
	if _, err := Listen(first.Address(), &scene{}, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), first.Address()) {
		t.Errorf("error is %v", err)
	}
}

func TestArchivesAreTold(t *testing.T) {
	get := serve(t, &scene{started: true, teed: []Archive{{Flow: "A->B", State: "failed", Age: 2.5, Behind: 3}}})
	code, body := get("/readyz")
	if code != http.StatusOK || !strings.Contains(body, `"archives":[{"flow":"A->B","state":"failed","age_seconds":2.5,"behind_partitions":3}]`) {
		t.Errorf("%d %s", code, body)
	}
}
