package status

import (
	"context"
	"net/http"
)

// Reload makes POST /api/reload available, before Run: do reads the settings anew and answers what has changed, or with dry=true in the
// query only what would. An error of do is the caller's to mend: status 422, with its text.
func (s *Server) Reload(do func(ctx context.Context, dry bool) (any, error)) {
	s.mux.HandleFunc("POST /api/reload", func(w http.ResponseWriter, r *http.Request) {
		dry := r.URL.Query().Get("dry")
		if dry != "" && dry != "true" && dry != "false" {
			http.Error(w, "dry must be true or false", http.StatusBadRequest)
			return
		}
		done, err := do(r.Context(), dry == "true")
		if err != nil {
			tell(w, http.StatusUnprocessableEntity, struct {
				Error string `json:"error"`
			}{err.Error()})
			return
		}
		tell(w, http.StatusOK, done)
	})
}
