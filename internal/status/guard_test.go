package status

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

const guarded = "/api/status /api/history?flow=x /api/partitions /api/settings /metrics"

func TestToken(t *testing.T) {
	s := serve(t, &scene{}, Options{Token: "s3cret"})
	for path := range strings.FieldsSeq(guarded) {
		for given, code := range map[string]int{
			"": 401, "Bearer": 401, "Bearer ": 401, "Bearer wrong": 401, "Bearer s3cre": 401, "Bearer s3crett": 401, "Basic s3cret": 401, "s3cret": 401,
			"Bearer s3cret": 200, "bearer s3cret": 200,
		} {
			got, header, body := s.ask(http.MethodGet, path, "Authorization", given)
			if got != code || (code == 401) != (header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s with %q: %d, want %d; %v", path, given, got, code, header)
			}
			if strings.Contains(body, "s3cret") {
				t.Errorf("%s tells the token: %s", path, body)
			}
		}
	}
	if code, _, _ := s.ask(http.MethodPost, "/api/reload"); code != 401 {
		t.Errorf("reload: %d", code)
	}
	if code, _, _ := s.ask(http.MethodPost, "/api/reload", "Authorization", "Bearer s3cret"); code != 200 {
		t.Errorf("reload with the token: %d", code)
	}
	for _, path := range []string{"/", "/assets/app.js", "/healthz"} {
		if code, _ := s.get(path); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := s.get("/readyz"); code != 503 {
		t.Errorf("/readyz: %d", code)
	}
	// whoever has it may come by any name
	if code, _, _ := s.ask(http.MethodGet, "/api/status", "Authorization", "Bearer s3cret", "Host", "mirror.kafka.svc:8383"); code != 200 {
		t.Errorf("by another name: %d", code)
	}
}

// TestPagesOfOthers: what a browser of somebody who can reach the process would send for a page that is not ours.
func TestPagesOfOthers(t *testing.T) {
	s := serve(t, &scene{}, Options{})
	own := s.Address()
	for _, c := range []struct {
		story, method, path string
		headers             []string
		code                int
	}{
		{"curl", "GET", "/api/status", nil, 200},
		{"our own page", "GET", "/api/status", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},
		{"our own page, with Origin", "GET", "/api/status", []string{"Origin", "http://" + own}, 200},
		{"a page that fetches", "GET", "/api/status", []string{"Origin", "https://example.com"}, 403},
		{"a page without an origin", "GET", "/api/status", []string{"Origin", "null"}, 403},
		{"a page that fetches without cors", "GET", "/metrics", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"another port of this machine", "GET", "/api/status", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"a link that is followed", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a name that was made to mean us", "GET", "/api/status", []string{"Host", "evil.example:8383"}, 403},
		{"it, at what is open", "GET", "/readyz", []string{"Host", "evil.example"}, 403},
		{"localhost", "GET", "/api/status", []string{"Host", "localhost:1234"}, 200},
		{"a name below localhost", "GET", "/api/status", []string{"Host", "mirror.localhost"}, 200},
		{"an address", "GET", "/api/status", []string{"Host", "[::1]:8383"}, 200},
		{"an address without a port", "GET", "/api/status", []string{"Host", "[::1]"}, 200},
		{"mirror reload", "POST", "/api/reload", nil, 200},
		{"mirror reload --dry", "POST", "/api/reload?dry=true", nil, 200},
		{"a form of a page", "POST", "/api/reload", []string{"Origin", "https://example.com"}, 403},
		{"a form of a page in our name", "POST", "/api/reload", []string{"Origin", "http://" + own}, 403},
		{"a form that is followed", "POST", "/api/reload", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		{"neither", "POST", "/api/reload?dry=maybe", nil, 400},
	} {
		if code, _, body := s.ask(c.method, c.path, c.headers...); code == 503 && c.code == 200 || code != c.code {
			t.Errorf("%s: %d, want %d: %s", c.story, code, c.code, body)
		}
	}
}

// TestNamesOfAProcess: one that listens to the network is reached by names that nobody told it.
func TestNamesOfAProcess(t *testing.T) {
	everywhere, loopback := &net.TCPAddr{IP: net.IPv4zero, Port: 8383}, &net.TCPAddr{IP: net.IPv6loopback, Port: 8383}
	for _, c := range []struct {
		address string
		listens net.Addr
		token   string
		host    string
		known   bool
	}{
		{"0.0.0.0:8383", everywhere, "", "mirror.kafka.svc.cluster.local:8383", true},
		{":8383", everywhere, "", "status.example.com", true},
		{"[::1]:8383", loopback, "", "status.example.com", false},
		{"[::1]:8383", loopback, "token", "status.example.com", true},
		{"mirror.internal:8383", loopback, "", "Mirror.Internal:8383", true},
		{"mirror.internal:8383", loopback, "", "mirror.internal.evil.example", false},
		{"[::1]:8383", loopback, "", "", false},
	} {
		if got := newGuard(c.address, c.listens, c.token).known(c.host); got != c.known {
			t.Errorf("%s, called %q: %v", c.address, c.host, got)
		}
	}
}

// A probe learns from /readyz what it needs; what is named there is for those who have the token.
func TestReadyWithoutTheToken(t *testing.T) {
	report := Report{
		Flows: []Flow{{
			Name: "A->B", Partitions: map[string]int{"halted": 1},
			Standing: []Partition{{Source: "payroll/0", State: "halted"}},
		}},
		Archives: []Archive{{Flow: "A->B", State: "failed", Reason: "bucket payroll"}},
		Problems: []Problem{{Severity: Critical, Where: "payroll/0"}},
	}
	s := serve(t, &scene{report: report}, Options{Token: "s3cret"})
	code, _, body := s.ask(http.MethodGet, "/readyz")
	if code != 503 || strings.Contains(body, "payroll") || !strings.Contains(body, `"standing_still_total":1`) {
		t.Errorf("%d %s", code, body)
	}
	if _, _, body := s.ask(http.MethodGet, "/readyz", "Authorization", "Bearer s3cret"); strings.Count(body, "payroll") != 3 {
		t.Errorf("with the token: %s", body)
	}
	if _, _, body := serve(t, &scene{report: report}, Options{}).ask(http.MethodGet, "/readyz"); strings.Count(body, "payroll") != 3 {
		t.Errorf("where none is asked for: %s", body)
	}
}
