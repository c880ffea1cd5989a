package status

import (
	"context"
	"encoding/json"
	"net/http"
)

// Reload makes POST /api/reload available, before Run: do reads the settings anew and answers what has changed, or with dry=true in the
// query only what would. An error of do is the caller's to mend: status 422, with its text.
func (s *Server) Reload(do func(ctx context.Context, dry bool) (any, error)) {
	s.handler.HandleFunc("POST /api/reload", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" { // a web page of somebody else's, in a browser that can reach us
			http.Error(w, "not for web pages", http.StatusForbidden)
			return
		}
		dry := r.URL.Query().Get("dry")
		if dry != "" && dry != "true" && dry != "false" {
			http.Error(w, "dry must be true or false", http.StatusBadRequest)
			return
		}
		done, err := do(r.Context(), dry == "true")
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			done = struct {
				Error string `json:"error"`
			}{err.Error()}
		}
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(done) // a client that went away is no concern of ours
	})
}
