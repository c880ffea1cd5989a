package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const eastToWest = "east->west.enabled = true\neast->west.topics = orders\n"

// get asks the status page of a run.
func (p *running) get(path string) (status int, body string) {
	p.t.Helper()
	p.waitFor("status is served")
	found := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(p.err.linesWith("status is served")[0])
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+found[1]+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

// ready waits until /readyz says so and returns its answer.
func (p *running) ready() (body string) {
	p.t.Helper()
	p.until("readiness", func() error {
		var status int
		if status, body = p.get("/readyz"); status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	return body
}

// taken listens on an address for the length of the test; that somebody else does is as good.
func taken(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return address
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestReady: what /readyz and /metrics say of a flow that has caught up.
func TestReady(t *testing.T) {
	east, west, path := pair(t, eastToWest+"status.address = 127.0.0.1:0\n")
	orders := written(t, east, "orders")
	p := start(t, path)
	p.arrives(west, "east.orders", orders)
	var answer struct {
		Ready      bool  `json:"ready"`
		Partitions int   `json:"partitions"`
		Standing   []any `json:"standing_still"`
	}
	body := p.ready()
	if err := json.Unmarshal([]byte(body), &answer); err != nil || !answer.Ready || answer.Partitions < 2 || len(answer.Standing) != 0 {
		t.Errorf("/readyz: %s: %v", body, err)
	}
	if status, body := p.get("/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	p.until("the metrics to count the orders", func() error { // which are on the target a moment before mirror knows
		status, metrics := p.get("/metrics")
		if want := fmt.Sprintf("tandem_records_total{flow=\"east->west\"} %d\n", orders); status != http.StatusOK || !strings.Contains(metrics, want) {
			return fmt.Errorf("/metrics, %d, lacks %s:\n%s", status, want, metrics)
		}
		return nil
	})
	p.stop()
}

// TestNotReady: while the clusters do not answer it lives, but is not ready, and says what it waits for.
func TestNotReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	p := start(t, file(t, fmt.Sprintf("clusters = east, west\neast.bootstrap.servers = %s\nwest.bootstrap.servers = %s\n%sstatus.address = 127.0.0.1:0\n", nobody, nobody, eastToWest)))
	status, body := p.get("/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"waiting_for":"flow east->west has not started"`) {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _ := p.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	p.stop()
}

// TestStatusAddress: the default may be missed, since nobody asked for it; what the user names must be had.
func TestStatusAddress(t *testing.T) {
	for _, c := range []struct {
		story, setting string
		warnings       int
		served         bool
	}{
		{"the default, which another process has", "", 1, false},
		{"none", "status.address =\n", 0, false},
		{"a free one", "status.address = 127.0.0.1:0\n", 0, true},
	} {
		t.Run(c.story, func(t *testing.T) {
			taken(t, "127.0.0.1:8383")
			east, west, path := pair(t, eastToWest+c.setting)
			orders := written(t, east, "orders")
			p := start(t, path)
			p.arrives(west, "east.orders", orders)
			p.stop()
			if warned := p.err.linesWith(`"level":"warn"`); len(warned) != c.warnings {
				t.Errorf("%d warnings, want %d: %q", len(warned), c.warnings, warned)
			}
			if told := p.err.linesWith("127.0.0.1:8383 is taken", "status.address"); len(told) != c.warnings {
				t.Errorf("told %q", told)
			}
			if served := len(p.err.linesWith("status is served")) == 1; served != c.served {
				t.Errorf("served: %v, want %v", served, c.served)
			}
		})
	}
	t.Run("one that the user names and another process has", func(t *testing.T) {
		address := taken(t, "127.0.0.1:0")
		_, _, path := pair(t, eastToWest+"status.address = "+address+"\n")
		p := start(t, path)
		if status := p.exit(); status != 2 {
			t.Errorf("exit status %d, want 2", status)
		}
		if told := p.err.linesWith("mirror: ", "status.address", address); len(told) != 1 {
			t.Errorf("told %q", told)
		}
	})
}
