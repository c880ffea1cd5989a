package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"tandem/internal/stream"
)

// The level is changed by what curl -d sends, which calls it a form; what is no level changes nothing.
func TestLogLevelAtRunTime(t *testing.T) {
	level := zap.NewAtomicLevel()
	var told []string
	handler := levelAt(level, func(e stream.Event) { told = append(told, e.Message) })
	for _, c := range []struct {
		method, body string
		code         int
		answer       string
	}{
		{http.MethodGet, "", 200, `{"level":"info"}`},
		{http.MethodPut, `{"level":"warn"}`, 200, `{"level":"warn"}`},
		{http.MethodPut, `{"level":"warn"}`, 200, `{"level":"warn"}`},
		{http.MethodPut, `{"level":"loud"}`, 400, "one of debug, info, warn, error"},
		{http.MethodPut, `{"level":"fatal"}`, 400, "one of debug, info, warn, error"},
		{http.MethodPut, "debug", 400, "one of debug, info, warn, error"},
		{http.MethodPut, `{"level":"` + strings.Repeat("x", mostLevel) + `"}`, 400, "one of debug, info, warn, error"},
		{http.MethodDelete, "", 405, "PUT changes it"},
		{http.MethodGet, "", 200, `{"level":"warn"}`},
	} {
		r := httptest.NewRequest(c.method, "/api/log-level", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		said := strings.ReplaceAll(w.Body.String(), `\"`, `"`)
		if w.Code != c.code || !strings.Contains(said, c.answer) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: status %d, %s", c.method, c.body, w.Code, said)
		}
	}
	if len(told) != 1 || told[0] != "log.level is warn until the next reload or restart" {
		t.Errorf("told %q", told)
	}
}
