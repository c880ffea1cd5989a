package status

import (
	"embed"
	"io"
	"net/http"
	"path"
)

// What a browser gets: files of our own, without anything from elsewhere.
//
//go:embed assets
var assets embed.FS

// policy lets the page use its own files and its own API, and nothing else: not even a script that a topic's name might smuggle in.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// kinds are those of the files: what the machine thinks of an extension does not count.
var kinds = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

// page answers with one of the files. It is asked for anew each time: there are few, and after an update no old one must be mixed with new ones.
func page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		file, err := assets.Open("assets/" + path.Base(name))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		h := w.Header()
		h.Set("Content-Type", kinds[path.Ext(name)])
		h.Set("Content-Security-Policy", policy)
		_, _ = io.Copy(w, file) // a client that went away is no concern of ours
	}
}
