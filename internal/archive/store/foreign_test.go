package store

import (
	"errors"
	"net/http"
	"testing"

	s3kit "tandem/internal/testkit/s3"
)

// A proxy's page, or nothing at all, with a status of 200 is no answer of a store: nothing is taken for stored, deleted, empty or read.
func TestAPageIsNoAnswer(t *testing.T) {
	s, proxy, _ := behindProxy(t, Options{Patience: -1})
	for name, page := range map[string]string{
		"a page": "<html><body>Please log in</body></html>", "nothing": " ", "another document": `<?xml version="1.0"?><Fine/>`,
	} {
		t.Run(name, func(t *testing.T) {
			proxy.Script(func(*http.Request) s3kit.Fault { return s3kit.Fault{Status: 200, Page: page} })
			wantKind(t, put(t.Context(), s, "b", "content"), Transient)
			listed := errors.New("an empty listing")
			for _, err := range s.List(t.Context(), "", "") {
				listed = err
			}
			wantKind(t, listed, Transient)
			if _, err := read(t.Context(), s, "a", 3, 10); err == nil || Classify(err) == NotFound {
				t.Errorf("a range of an object: %v", err)
			}
			if err := s.Delete(t.Context(), "a"); err == nil {
				t.Error("taken for deleted")
			}
			if info, err := s.Stat(t.Context(), "a"); err == nil || Classify(err) == NotFound {
				t.Errorf("stat: %+v, %v", info, err)
			}
		})
	}
	proxy.Script(nil)
	_, err := s.Stat(t.Context(), "b")
	wantKind(t, err, NotFound)
	if _, err := s.Stat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
