package store

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	s3kit "tandem/internal/testkit/s3"
)

// A store other than AWS's is asked by the path, unless the URL says that each bucket has a host name of its own.
func TestHostsOfBuckets(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for _, tt := range []struct{ query, host string }{
		{"&endpoint=http://nowhere.invalid:1", "nowhere.invalid"},
		{"&endpoint=http://nowhere.invalid:1&use_path_style=true", "nowhere.invalid"},
		{"&endpoint=http://nowhere.invalid:1&use_path_style=false", "bucket.nowhere.invalid"},
	} {
		s := opened(t, "s3://bucket/p?region=r"+tt.query, Options{Patience: -1})
		err := put(t.Context(), s, "a", "content")
		if Classify(err) == NotFound || !strings.Contains(fmt.Sprint(err), "lookup "+tt.host) && !strings.Contains(fmt.Sprint(err), "//"+tt.host) {
			t.Errorf("%s: %v", tt.query, err)
		}
	}
}

// plainStore speaks as much of S3 as older stores do: no checksums of its own are told, an ETag is whatever it is, and what the SDK
// of today adds by itself (checksums behind the body, chunked signatures) it does not understand.
type plainStore struct {
	mu      sync.Mutex
	objects map[string][]byte
	strange []string // headers that it does not understand
}

func (s *plainStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"X-Amz-Trailer", "X-Amz-Decoded-Content-Length", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc64nvme", "Content-Encoding"} {
		if v := r.Header.Get(name); v != "" {
			s.strange = append(s.strange, r.Method+" "+name+": "+v)
		}
	}
	if r.ContentLength < 0 || strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
		s.strange = append(s.strange, r.Method+" in pieces")
	}
	fail := func(status int, code string) {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
		}
	}
	b, there := s.objects[r.URL.Path]
	switch r.Method {
	case http.MethodPut:
		if there && r.Header.Get("If-None-Match") == "*" {
			fail(http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.objects[r.URL.Path] = body
		w.Header().Set("ETag", `"not-a-digest-7"`)
	case http.MethodGet, http.MethodHead:
		if r.URL.Query().Get("list-type") == "2" {
			s.list(w, r.URL.Query().Get("prefix"))
			return
		}
		if !there {
			fail(http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", `"not-a-digest-7"`)
		from, to := 0, len(b)-1
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); from > 0 || err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, min(to, len(b)-1), len(b)))
			w.Header().Set("Content-Length", strconv.Itoa(min(to, len(b)-1)+1-from))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(b[from : min(to, len(b)-1)+1])
		}
	}
}

func (s *plainStore) list(w io.Writer, prefix string) {
	type content struct {
		Key  string
		Size int
	}
	out := struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Name     string
		Contents []content
	}{Name: "bucket"}
	for path, b := range s.objects {
		if key, ok := strings.CutPrefix(path, "/bucket/"); ok && strings.HasPrefix(key, prefix) {
			out.Contents = append(out.Contents, content{key, len(b)})
		}
	}
	_ = xml.NewEncoder(w).Encode(out)
}

// Against a store without checksums: what is written is read, a second writer of a name is told from a second try of the same bytes by
// what the object holds, and nothing is asked that such a store does not know.
func TestAStoreWithoutChecksums(t *testing.T) {
	s3kit.Start(t) // sets credentials
	plain := &plainStore{objects: make(map[string][]byte)}
	server := httptest.NewServer(plain)
	defer server.Close()
	s := opened(t, s3kit.URL(server.URL, "bucket", "p"), Options{Patience: -1})
	mustPut(t, s, "a", "the content of a")
	if plain.objects["/bucket/p/a"] == nil {
		t.Fatalf("objects %v", plain.objects)
	}
	mustPut(t, s, "a", "the content of a") // the same bytes once more
	wantKind(t, put(t.Context(), s, "a", "the content of b"), Conflict)
	wantKind(t, put(t.Context(), s, "a", "the content of a, and more"), Conflict)
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "the content of a"}, {4, 7, "content"}, {12, -1, "of a"}} {
		if got, err := read(t.Context(), s, "a", c.offset, c.length); err != nil || got != c.want {
			t.Errorf("from %d, %d bytes: %q, %v", c.offset, c.length, got, err)
		}
	}
	n := 0
	for info, err := range s.List(t.Context(), "", "") {
		if n++; err != nil || info.Name != "a" || info.Size != 16 {
			t.Errorf("%+v, %v", info, err)
		}
	}
	_, err := read(t.Context(), s, "b", 0, -1)
	wantKind(t, err, NotFound)
	if len(plain.strange) > 0 || n != 1 {
		t.Errorf("%d listed; asked with %q", n, plain.strange)
	}
}
