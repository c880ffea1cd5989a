package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tandem/internal/stream"
)

// logLevels are those that log.level takes.
var logLevels = []string{"debug", "info", "warn", "error"}

// mostLevel bounds the body of a PUT, in bytes.
const mostLevel = 1 << 10

// levelSaid is a level as /api/log-level takes and gives it.
type levelSaid struct {
	Level string `json:"level"`
}

// levelAt serves /api/log-level: GET shows the level, and PUT of {"level":"warn"} changes it, whatever Content-Type says, since
// curl -d says that it sends a form.
func levelAt(level zap.AtomicLevel, report stream.Report) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
		case http.MethodPut:
			var want levelSaid
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostLevel)).Decode(&want)
			next, known := parsedLevel(want.Level)
			if err != nil || !known {
				refuseLevel(w, http.StatusBadRequest, `say {"level":"LEVEL"}, one of `+strings.Join(logLevels, ", "))
				return
			}
			if was := level.Level(); was != next {
				level.SetLevel(min(was, next)) // so that this is told, unless neither of both shows it
				report(stream.Event{Message: fmt.Sprintf("log.level is %s until the next reload or restart", next), Fields: []stream.Field{stream.F("was", was.String())}})
				level.SetLevel(next)
			}
		default:
			w.Header().Set("Allow", "GET, PUT")
			refuseLevel(w, http.StatusMethodNotAllowed, "GET shows the level, PUT changes it")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(levelSaid{level.Level().String()})
	})
}

func parsedLevel(name string) (zapcore.Level, bool) {
	return levelNamed(name), slices.Contains(logLevels, name)
}

func refuseLevel(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}
